"""A rubric: the overall rating and one for each aspect. Departs from ``scalar`` in telling more, not in the reward."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from sdpo_ref.simulation.oracles.evidence import Evidence
from sdpo_ref.simulation.oracles.regime import Regime
from sdpo_ref.simulation.oracles.staged import Ratings


@dataclass(frozen=True)
class RubricOracle(Regime):
    """The overall rating and a rating of what each aspect contributes to it; the reward is the overall rating.

    Implements: SIM-033.
    """

    def parts(self, evidence: Evidence) -> Float[Tensor, "rollout part"]:
        """The aspects."""
        return evidence.by_aspect()

    def on_scale(self, noisy: Ratings) -> Ratings:
        """Clipped to the ends of the scale."""
        return noisy.clamp(0, 1)

    def told(self, ratings: Ratings) -> Float[Tensor, "rollout told"]:
        """Every rating, the overall one first."""
        return ratings

    def reward(self, ratings: Ratings) -> Float[Tensor, " rollout"]:
        """The overall rating."""
        return ratings[:, 0]

    @property
    def labels(self) -> tuple[str, ...]:
        """The whole, then the aspects by number."""
        return ("Overall", *(f"Aspect {aspect + 1}" for aspect in range(self.world.settings.aspects)))
