"""A critique: one rating for each span. Departs from ``rubric`` in saying where, not in which respect."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.oracles.evidence import Evidence
from sdpo_ref.simulation.oracles.regime import Regime
from sdpo_ref.simulation.oracles.staged import Ratings


@dataclass(frozen=True)
class CritiqueOracle(Regime):
    """A rating of each span; the reward is their mean, so that methods without feedback average the noise as well.

    Implements: SIM-034.

    Attributes:
        spans: how many, from 1 to the number of positions.

    Raises:
        InvalidInputError: if there are fewer than one or more spans than positions, or if the noise is below 0.
    """

    spans: int = 4

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        super().__post_init__()
        if not 1 <= self.spans <= self.world.settings.time:
            raise InvalidInputError(
                f"spans must lie in [1, {self.world.settings.time}], the positions of a completion, "
                f"received {self.spans}"
            )

    def parts(self, evidence: Evidence) -> Float[Tensor, "rollout part"]:
        """The spans."""
        return evidence.by_span(self.spans)

    def on_scale(self, noisy: Ratings) -> Ratings:
        """Clipped to the ends of the scale."""
        return noisy.clamp(0, 1)

    def told(self, ratings: Ratings) -> Float[Tensor, "rollout told"]:
        """The ratings of the spans; the overall one stays unsaid."""
        return ratings[:, 1:]

    def reward(self, ratings: Ratings) -> Float[Tensor, " rollout"]:
        """The mean rating of the spans."""
        return ratings[:, 1:].mean(-1)

    @property
    def labels(self) -> tuple[str, ...]:
        """The positions of each span, counted from 1."""
        spans = torch.tensor_split(torch.arange(1, self.world.settings.time + 1), self.spans)
        return tuple(f"Tokens {int(span[0])} to {int(span[-1])}" for span in spans)
