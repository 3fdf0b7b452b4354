"""What an evaluator perceives in completions, and how good the whole and its parts look (spec/06-simulation, B).

One yardstick measures the whole and every part, so that an evenly good completion gets one rating throughout.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.world import World
from sdpo_ref.types import Rollouts


@dataclass(frozen=True)
class Evidence:
    """The worth of each token in the evaluator's eyes, in units of the latent score.

    Attributes:
        quality: of each token, coherence with the token before it included.
        aspects: what each aspect contributes to that quality under the evaluator's taste; the rest is idiosyncratic.
    """

    quality: Float[Tensor, "rollout time"]
    aspects: Float[Tensor, "rollout time aspect"]

    def plus(self, bonus: Float[Tensor, "rollout time"]) -> "Evidence":
        """Tokens that look better by a bonus, to which every aspect contributes alike.

        Args:
            bonus: of each token, in units of its quality.

        Returns:
            New evidence.

        Example:
            >>> Evidence(torch.zeros(1, 2), torch.zeros(1, 2, 2)).plus(torch.tensor([[1.0, 0.0]])).aspects[0, 0]
            tensor([0.5000, 0.5000])
        """
        return Evidence(self.quality + bonus, self.aspects + bonus[..., None] / self.aspects.shape[-1])

    def times(self, weights: Float[Tensor, " time"]) -> "Evidence":
        """Positions that count more or less than others.

        Args:
            weights: of each position; 1 leaves it as it is.

        Returns:
            New evidence.

        Example:
            >>> Evidence(torch.ones(1, 2), torch.ones(1, 2, 1)).times(torch.tensor([2.0, 0.0])).quality
            tensor([[2., 0.]])
        """
        return Evidence(self.quality * weights, self.aspects * weights[:, None])

    def whole(self) -> Float[Tensor, " rollout"]:
        r"""Latent score of each completion as perceived.

        .. math::
            h_0 = \sqrt T\, \mathrm{mean}_t\, q_t

        Implements: SIM-031.

        Returns:
            The world's z where nothing biases the perception.

        Example:
            >>> Evidence(torch.tensor([[3.0, 1.0, 0.0, 0.0]]), torch.zeros(1, 4, 1)).whole()
            tensor([2.])
        """
        return self._scaled(self.quality)

    def by_aspect(self) -> Float[Tensor, "rollout aspect"]:
        r"""Latent score of each aspect: its share of z times the number of aspects.

        .. math::
            h_k = K \sqrt T\, \mathrm{mean}_t\, \sqrt{1 - \psi}\, w_{xk} a_{t y_t k}

        Taste decides: an aspect that this evaluator dislikes scores low where the completion expresses it. The mean
        over aspects is the part of z that taste explains.
        Implements: SIM-033.

        Returns:
            One score for each aspect.

        Example:
            >>> Evidence(torch.zeros(1, 1), torch.tensor([[[0.5, -0.5]]])).by_aspect()
            tensor([[ 1., -1.]])
        """
        return self._scaled(self.aspects) * self.aspects.shape[-1]

    def by_span(self, spans: int) -> Float[Tensor, "rollout span"]:
        r"""Latent score of each span: what the completion would score if all of it were as good as the span.

        .. math::
            h_s = \sqrt T\, \mathrm{mean}_{t \in s}\, q_t

        Spans are neighbours of equal length; where they do not divide the completion the first are one token longer.
        With equal lengths a span's score is its share of z times the number of spans, and their mean is z.
        Implements: SIM-034.

        Args:
            spans: how many, from 1 to the number of positions.

        Returns:
            One score for each span, in the order of the completion.

        Example:
            >>> Evidence(torch.tensor([[3.0, 1.0, 0.0, 0.0]]), torch.zeros(1, 4, 1)).by_span(2)
            tensor([[4., 0.]])
        """
        means = [span.mean(-1) for span in torch.tensor_split(self.quality, spans, dim=-1)]
        return torch.stack(means, dim=-1) * math.sqrt(self.quality.shape[-1])

    def _scaled(self, worth: Tensor) -> Tensor:
        return worth.mean(1) * math.sqrt(worth.shape[1])


def evidence_of(world: World, rollouts: Rollouts) -> Evidence:
    """What a faultless evaluator perceives: the truth.

    The coherence of two neighbours is counted with the second, which completes the pair.

    Args:
        world: the ground truth.
        rollouts: complete ones; ``prompts.group_ids`` holds each rollout's prompt.

    Returns:
        The evidence, in float64.

    Raises:
        InvalidInputError: if a completion has padding, another length, or a token or prompt that the world lacks.
    """
    if not bool(rollouts.completion_mask.all()):
        raise InvalidInputError(
            f"received completions with padding; every completion of this world has {world.settings.time} tokens"
        )
    prompts, completions = rollouts.prompts.group_ids, rollouts.completions
    quality = world.token_quality(prompts, completions).clone()
    quality[:, 1:] += world.coherence[completions[:, :-1], completions[:, 1:]]
    explained = math.sqrt(1 - world.settings.idiosyncrasy) * world.taste[prompts][:, None, :]
    return Evidence(quality, explained * world.aspect_scores(completions))
