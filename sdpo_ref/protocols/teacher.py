"""The Protocol of a self-teacher: the policy again, after it has read the judgement (spec/03-teacher)."""

from typing import Protocol, runtime_checkable

from sdpo_ref.protocols.policy import Policy
from sdpo_ref.types import Judgement, Rollouts, TeacherView


@runtime_checkable
class Teacher(Protocol):
    """**Protocol:** a policy conditioned on feedback, with a rule for its weights."""

    def view(self, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """The teacher's scores for every token of the rollouts; no gradient flows through them (TEACH-029)."""
        ...

    def update(self, student: Policy) -> None:
        """Move the teacher's weights as its kind says; called once for each update of its cadence (TEACH-021)."""
        ...
