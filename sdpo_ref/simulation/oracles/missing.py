"""Feedback that is not there."""

from dataclasses import dataclass, replace

from sdpo_ref.simulation.oracles.draws import Draws
from sdpo_ref.simulation.oracles.staged import Lens, StagedOracle, refuse_outside
from sdpo_ref.types import Judgement, Rollouts


@dataclass(frozen=True)
class Missing(StagedOracle):
    """Each rollout goes without feedback with a given probability; the rewards stay as they are.

    The same rollouts go without at a higher share as at a lower one, and some more.
    Implements: SIM-049.

    Attributes:
        inner: the oracle whose feedback is lost.
        share: probability of loss, in [0, 1].

    Raises:
        InvalidInputError: if the share is outside [0, 1].
    """

    inner: StagedOracle
    share: float

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        refuse_outside("share", self.share, low=0.0, high=1.0)

    def assess(self, rollouts: Rollouts, *, draws: Draws, lens: Lens) -> Judgement:
        """The inner judgement with gaps."""
        judgement = self.inner.assess(rollouts, draws=draws, lens=lens)
        lost: list[bool] = (draws.uniform("missing") < self.share).tolist()
        kept = [None if gone else said for said, gone in zip(judgement.feedback, lost, strict=True)]
        return replace(judgement, feedback=tuple(kept))
