"""The teacher with the student's own current weights (TEACH-025)."""

from sdpo_ref.protocols import Policy
from sdpo_ref.teachers.conditioning import Conditioning
from sdpo_ref.types import Judgement, Rollouts, TeacherView


class LiveTeacher:
    """The student itself, conditioned on feedback; its scores carry no gradient.

    Departs from :class:`~sdpo_ref.teachers.ema.EmaTeacher`: nothing is copied, so nothing lags. The SDPO paper sees
    it diverge.
    Implements: TEACH-025.

    Args:
        student: the policy that is trained.
        conditioning: how it reads the judgement.
    """

    def __init__(self, student: Policy, conditioning: Conditioning) -> None:
        self._student = student
        self._conditioning = conditioning

    def view(self, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """The student's scores under the context."""
        return self._conditioning.view(self._student, rollouts, judgement)

    def update(self, student: Policy) -> None:
        """Follow ``student`` from now on (usually the same object)."""
        self._student = student
