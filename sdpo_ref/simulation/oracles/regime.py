"""What the four regimes share: the pipeline from rollouts to a judgement (spec/06-simulation, B).

A regime says which parts it rates, what scale it rates on, what it tells and what it rewards; one file each:
``ordinal``, ``scalar``, ``rubric``, ``critique``.
"""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.simulation.oracles.draws import Draws
from sdpo_ref.simulation.oracles.evidence import Evidence, evidence_of
from sdpo_ref.simulation.oracles.rendering import rendered
from sdpo_ref.simulation.oracles.staged import Lens, Ratings, StagedOracle, refuse_outside
from sdpo_ref.simulation.world import World
from sdpo_ref.types import Feedback, Judgement, Rollouts


@dataclass(frozen=True)
class Regime(StagedOracle):
    r"""An evaluator that rates with noise.

    .. math::
        r_j = \mathrm{clip}_{[0, 1]} \big( b(\sigma(\beta h_j)) + \nu\, \epsilon_j \big), \qquad
        \epsilon_j \sim \mathcal N(0, 1)

    with :math:`h_0` the latent score of the whole, :math:`h_1, h_2, \ldots` those of the parts, and b the biases.
    Implements: SIM-031, SIM-035.

    Attributes:
        world: the ground truth that it judges by.
        noise: standard deviation of every rating's noise, as a fraction of the scale; at least 0.

    Raises:
        InvalidInputError: if the noise is below 0 or not finite.
    """

    world: World
    noise: float = 0.15

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        refuse_outside("noise", self.noise, low=0.0, high=float("inf"))

    @abstractmethod
    def parts(self, evidence: Evidence) -> Float[Tensor, "rollout part"]:
        """Latent scores of what is rated beside the whole."""

    @abstractmethod
    def on_scale(self, noisy: Ratings) -> Ratings:
        """Ratings that the scale allows."""

    @abstractmethod
    def told(self, ratings: Ratings) -> Float[Tensor, "rollout told"]:
        """Those ratings that the feedback tells."""

    @abstractmethod
    def reward(self, ratings: Ratings) -> Float[Tensor, " rollout"]:
        """The scalar that methods without feedback see."""

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """What each told rating is about."""

    def assess(self, rollouts: Rollouts, *, draws: Draws, lens: Lens) -> Judgement:
        """Run the stages; see ``staged``."""
        evidence = lens.perceive(evidence_of(self.world, rollouts), rollouts)
        scores = torch.cat([evidence.whole()[:, None], self.parts(evidence)], dim=-1)
        clean = lens.rate(torch.sigmoid(self.world.settings.slope * scores))
        noise = lens.noise(self.noise) * draws.normal("noise", clean.shape[-1])
        ratings = self.on_scale(clean + noise)
        told = self.told(lens.tell(ratings, rollouts))
        texts = rendered(self.labels, told)
        numbers: list[list[float]] = told.tolist()
        feedback = tuple(Feedback(text, tuple(row)) for text, row in zip(texts, numbers, strict=True))
        return Judgement(self.reward(ratings), feedback)
