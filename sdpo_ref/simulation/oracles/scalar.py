"""One number: the noisy overall rating."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from sdpo_ref.simulation.oracles.evidence import Evidence
from sdpo_ref.simulation.oracles.regime import Regime
from sdpo_ref.simulation.oracles.staged import Ratings


@dataclass(frozen=True)
class ScalarOracle(Regime):
    """The noisy overall rating; reward and feedback are the same number.

    Implements: SIM-031.
    """

    def parts(self, evidence: Evidence) -> Float[Tensor, "rollout part"]:
        """None."""
        return evidence.quality[:, :0]

    def on_scale(self, noisy: Ratings) -> Ratings:
        """Clipped to the ends of the scale."""
        return noisy.clamp(0, 1)

    def told(self, ratings: Ratings) -> Float[Tensor, "rollout told"]:
        """The overall rating."""
        return ratings

    def reward(self, ratings: Ratings) -> Float[Tensor, " rollout"]:
        """The overall rating."""
        return ratings[:, 0]

    @property
    def labels(self) -> tuple[str, ...]:
        """One."""
        return ("Overall",)
