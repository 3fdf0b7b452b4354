"""The simulated world: what each token is worth to each prompt's evaluator (spec/06-simulation, section A).

Its neighbours: ``exact`` computes what a policy can expect in it, ``corpus`` is what a model may learn about it
beforehand. The evaluator's taste and the quality are ground truth: no policy and no reader may look at them.
"""

import hashlib
import json
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.settings import WorldSettings

_SEED_BYTES = 8


def random_stream(seed: int, *path: int | str) -> torch.Generator:
    """A fresh generator that depends on the seed and on the path, and on nothing else.

    The name ``[seed, *path]``, written as JSON so that ``1`` and ``"1"`` differ, is hashed to the generator's seed.
    PyTorch's CPU generator uses 32 bits of it: among n streams about n²/2³³ pairs coincide, which is below 1e-4 for
    the 800 streams of a run of 200 steps.
    Implements: SIM-001.

    Args:
        seed: the run's seed.
        path: what the numbers are for, such as a step and a purpose: ``random_stream(seed, step, "rollouts")``.

    Returns:
        A CPU generator at its beginning.

    Example:
        >>> again = [torch.rand(1, generator=random_stream(7, 0, "rollouts")).item() for _ in range(2)]
        >>> again[0] == again[1] != torch.rand(1, generator=random_stream(7, 0, "judgements")).item()
        True
    """
    name = json.dumps([seed, *path], ensure_ascii=True)
    digest = hashlib.sha256(name.encode("ascii")).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:_SEED_BYTES], "little", signed=True))


@dataclass(frozen=True)
class World:
    r"""One draw of the ground truth, in float64.

    .. math::
        a_{tv} &= \sqrt{s}\, B_t e_v + \sqrt{1 - s}\, \epsilon_{tv}, \qquad B_t B_t^\top = I \\
        q_{xtv} &= \sqrt{1 - \psi}\, w_x^\top a_{tv} + \sqrt{\psi}\, \zeta_{xtv} \\
        z(x, y) &= \frac{1}{\sqrt T} \Big( \sum_t q_{x t y_t} + \sum_{t > 1} C_{y_{t-1} y_t} \Big), \qquad
        R(x, y) = \sigma(\beta z)

    Attributes:
        settings: sizes, shares and scales.
        embeddings: :math:`e_v`, how a token is described to a model; standard normal.
        loadings: :math:`a_{tvk}`, how much token v at position t expresses aspect k; unit variance.
        taste: :math:`w_x`, what the evaluator of prompt x cares about; a unit vector, hidden from every model.
        quality: :math:`q_{xtv}`, what token v at position t adds to the answer to prompt x; unit variance, hidden.
        base_logits: scores of the base policy for each token, before the previous token is read.
        grammar: what the previous token (row) adds to the score of the next (column) in every policy; fixed.
        coherence: :math:`C_{uv}`, what it is worth that v follows u; zero if that is switched off.

    Raises:
        InvalidInputError: if a tensor has a shape that does not fit the settings, or is not float64.
    """

    settings: WorldSettings
    embeddings: Float[Tensor, "vocab embedding"]
    loadings: Float[Tensor, "time vocab aspect"]
    taste: Float[Tensor, "prompt aspect"]
    quality: Float[Tensor, "prompt time vocab"]
    base_logits: Float[Tensor, "prompt time vocab"]
    grammar: Float[Tensor, "vocab vocab"]
    coherence: Float[Tensor, "vocab vocab"]

    def __post_init__(self) -> None:
        """Refuse a world that contradicts its settings."""
        sizes = self.settings
        x, t, v = sizes.prompts, sizes.time, sizes.vocab
        expected = {
            "embeddings": (v, sizes.embedding),
            "loadings": (t, v, sizes.aspects),
            "taste": (x, sizes.aspects),
            "quality": (x, t, v),
            "base_logits": (x, t, v),
            "grammar": (v, v),
            "coherence": (v, v),
        }
        for name, shape in expected.items():
            tensor: Tensor = getattr(self, name)
            if tuple(tensor.shape) != shape or tensor.dtype != torch.float64:
                raise InvalidInputError(
                    f"{name} is {tensor.dtype} of shape {tuple(tensor.shape)}; the settings allow torch.float64 of "
                    f"shape {shape}; change the tensor or the settings"
                )

    @classmethod
    def draw(cls, settings: WorldSettings, *, seed: int) -> "World":
        """The world of a seed.

        Each tensor has its own stream of random numbers, so a setting that changes one of them leaves the others.
        Implements: SIM-001, SIM-002, SIM-003, SIM-004.

        Args:
            settings: sizes, shares and scales.
            seed: which world.

        Returns:
            The world.

        Example:
            >>> calm, coherent = (World.draw(WorldSettings(coherence=c), seed=3) for c in (0.0, 1.0))
            >>> torch.equal(calm.quality, coherent.quality), bool(calm.coherence.any())
            (True, False)
        """
        sizes = settings

        def normal(name: str, *shape: int) -> Tensor:
            return torch.randn(shape, generator=random_stream(seed, "world", name), dtype=torch.float64)

        x, t, v, k = sizes.prompts, sizes.time, sizes.vocab, sizes.aspects
        embeddings = normal("embeddings", v, sizes.embedding)
        directions = torch.linalg.qr(normal("directions", t, sizes.embedding, k)).Q
        share, psi = sizes.low_rank_share, sizes.idiosyncrasy
        loadings = share**0.5 * (embeddings @ directions) + (1 - share) ** 0.5 * normal("loadings", t, v, k)
        taste = torch.nn.functional.normalize(normal("taste", x, k), dim=-1)
        explained = torch.einsum("xk,tvk->xtv", taste, loadings)
        return cls(
            settings=settings,
            embeddings=embeddings,
            loadings=loadings,
            taste=taste,
            quality=(1 - psi) ** 0.5 * explained + psi**0.5 * normal("idiosyncrasy", x, t, v),
            base_logits=sizes.base_spread * normal("base_logits", x, t, v),
            grammar=sizes.grammar_spread * normal("grammar", v, v),
            coherence=sizes.coherence * normal("coherence", v, v),
        )

    def token_quality(
        self, prompt_ids: Int[Tensor, " rollout"], completions: Int[Tensor, "rollout time"]
    ) -> Float[Tensor, "rollout time"]:
        """The quality of each token of each completion, without coherence.

        Args:
            prompt_ids: which prompt each completion answers, in ``[0, prompts)``.
            completions: token ids, in ``[0, vocab)``; of the length in the settings.

        Returns:
            Quality; about standard normal for tokens taken at random.

        Raises:
            InvalidInputError: if an id is out of range or the length is another one.
        """
        self._refuse_strangers(prompt_ids, completions)
        return self.quality[prompt_ids[:, None], torch.arange(self.settings.time), completions]

    def aspect_scores(self, completions: Int[Tensor, "rollout time"]) -> Float[Tensor, "rollout time aspect"]:
        """How much each token of each completion expresses each aspect, whatever the evaluator's taste.

        Args:
            completions: token ids, in ``[0, vocab)``; of the length in the settings.

        Returns:
            True loadings of the tokens; unit variance.

        Raises:
            InvalidInputError: if an id is out of range or the length is another one.
        """
        self._refuse_strangers(torch.zeros_like(completions[:, 0]), completions)
        return self.loadings[torch.arange(self.settings.time), completions]

    def latent_score(
        self, prompt_ids: Int[Tensor, " rollout"], completions: Int[Tensor, "rollout time"]
    ) -> Float[Tensor, " rollout"]:
        """How good each completion is: the sum of its tokens' quality and coherence, over the root of its length.

        Implements: SIM-005.

        Args:
            prompt_ids: which prompt each completion answers, in ``[0, prompts)``.
            completions: token ids, in ``[0, vocab)``; of the length in the settings.

        Returns:
            z; about standard normal for completions taken at random in a world without coherence.

        Raises:
            InvalidInputError: if an id is out of range or the length is another one.

        Example:
            >>> from dataclasses import replace
            >>> world = World.draw(WorldSettings(prompts=1, time=4, vocab=2), seed=0)
            >>> plain = replace(world, quality=torch.tensor([0.0, 3.0]).double().expand(1, 4, 2))
            >>> plain.latent_score(torch.tensor([0]), torch.tensor([[1, 0, 1, 0]])).item()  # (3 + 0 + 3 + 0) / 2
            3.0
        """
        quality = self.token_quality(prompt_ids, completions).sum(-1)
        fitting = self.coherence[completions[:, :-1], completions[:, 1:]].sum(-1)
        return (quality + fitting) / math.sqrt(self.settings.time)

    def true_reward(
        self, prompt_ids: Int[Tensor, " rollout"], completions: Int[Tensor, "rollout time"]
    ) -> Float[Tensor, " rollout"]:
        """The reward that a faultless evaluator gives: the logistic function of the latent score times the slope.

        Implements: SIM-006.

        Args:
            prompt_ids: which prompt each completion answers, in ``[0, prompts)``.
            completions: token ids, in ``[0, vocab)``; of the length in the settings.

        Returns:
            R in (0, 1); higher is better.

        Raises:
            InvalidInputError: if an id is out of range or the length is another one.
        """
        return torch.sigmoid(self.settings.slope * self.latent_score(prompt_ids, completions))

    def step_scores(self) -> Float[Tensor, "prompt time previous vocab"]:
        """What each token adds to the latent score after each previous token: the latent score as a sum of steps.

        Returns:
            Shares of z; at the first position the same for every previous token, because there is none.
        """
        after = self.coherence.expand(self.settings.time, -1, -1).clone()
        after[0] = 0.0
        return (self.quality[:, :, None, :] + after) / math.sqrt(self.settings.time)

    def _refuse_strangers(self, prompt_ids: Tensor, completions: Tensor) -> None:
        if completions.shape[-1] != self.settings.time:
            raise InvalidInputError(
                f"completions have {completions.shape[-1]} tokens, this world judges {self.settings.time}; "
                "sample that many or change the setting time"
            )
        for name, ids, size in (
            ("prompt_ids", prompt_ids, self.settings.prompts),
            ("completions", completions, self.settings.vocab),
        ):
            if ids.numel() and not (int(ids.min()) >= 0 and int(ids.max()) < size):
                raise InvalidInputError(
                    f"{name} holds ids from {int(ids.min())} to {int(ids.max())}, allowed is 0 to {size - 1}; "
                    "take them from this world's policy"
                )
