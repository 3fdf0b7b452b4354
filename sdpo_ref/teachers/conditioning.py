"""The seam between a teacher's weights and what it reads: any way to condition a policy on a judgement."""

from typing import Protocol, runtime_checkable

from sdpo_ref.protocols import Policy
from sdpo_ref.types import Judgement, Rollouts, TeacherView


@runtime_checkable
class Conditioning(Protocol):
    """**Protocol:** conditions a policy on feedback: through its prompt, or through a posterior."""

    def view(self, policy: Policy, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """Scores of the policy for the rollouts once it has read the judgement; without gradient."""
        ...
