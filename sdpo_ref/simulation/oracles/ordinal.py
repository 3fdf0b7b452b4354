"""The poorest regime: one level of a five-point Likert scale. Departs from ``scalar`` in the scale alone."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.simulation.oracles.evidence import Evidence
from sdpo_ref.simulation.oracles.regime import Regime
from sdpo_ref.simulation.oracles.staged import Ratings

LEVELS = 5
"""Points of the scale; they stand at 0, 1/4, 1/2, 3/4 and 1."""


@dataclass(frozen=True)
class OrdinalOracle(Regime):
    """The noisy overall rating, moved to the nearest of five levels; reward and feedback are this level.

    Implements: SIM-032.
    """

    def parts(self, evidence: Evidence) -> Float[Tensor, "rollout part"]:
        """None."""
        return evidence.quality[:, :0]

    def on_scale(self, noisy: Ratings) -> Ratings:
        """The nearest level."""
        return torch.round(noisy.clamp(0, 1) * (LEVELS - 1)) / (LEVELS - 1)

    def told(self, ratings: Ratings) -> Float[Tensor, "rollout told"]:
        """The overall level."""
        return ratings

    def reward(self, ratings: Ratings) -> Float[Tensor, " rollout"]:
        """The overall level."""
        return ratings[:, 0]

    @property
    def labels(self) -> tuple[str, ...]:
        """One."""
        return ("Overall",)
