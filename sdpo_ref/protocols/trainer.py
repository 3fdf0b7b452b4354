"""The Protocol of a trainer: turns judged rollouts into an update of its policy (spec/05-trainer)."""

from typing import Protocol, runtime_checkable

from sdpo_ref.protocols.policy import Policy
from sdpo_ref.types import Judgement, Rollouts, StepReport


@runtime_checkable
class Trainer(Protocol):
    """**Protocol:** an algorithm such as SDPO, GRPO or DPO."""

    @property
    def policy(self) -> Policy:
        """The policy as trained so far."""
        ...

    def step(self, rollouts: Rollouts, judgement: Judgement) -> StepReport:
        """Update the policy from rollouts that it sampled and their judgement."""
        ...
