"""The teacher with the weights that the student had at the start (TEACH-024)."""

import copy

from sdpo_ref.protocols import Policy
from sdpo_ref.teachers.conditioning import Conditioning
from sdpo_ref.types import Judgement, Rollouts, TeacherView


class FrozenTeacher:
    """The initial student, conditioned on feedback, for ever.

    The copy is taken from memory, from the student as it was given, not from the file it came from.
    Implements: TEACH-022, TEACH-024.

    Args:
        student: the policy that is going to be trained.
        conditioning: how it reads the judgement.
    """

    def __init__(self, student: Policy, conditioning: Conditioning) -> None:
        self._initial = copy.deepcopy(student)
        self._conditioning = conditioning

    def view(self, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """The initial student's scores under the context."""
        return self._conditioning.view(self._initial, rollouts, judgement)

    def update(self, student: Policy) -> None:
        """Nothing: this teacher does not follow."""
