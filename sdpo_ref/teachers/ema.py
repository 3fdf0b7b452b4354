"""The teacher whose weights follow the student's slowly (TEACH-020 to TEACH-023)."""

import copy

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.averaging import exponential_moving_average_
from sdpo_ref.protocols import Policy
from sdpo_ref.teachers.conditioning import Conditioning
from sdpo_ref.types import Judgement, Rollouts, TeacherView


class EmaTeacher:
    """An exponential moving average of the student's weights, conditioned on feedback: the paper's default.

    Implements: TEACH-020, TEACH-022.

    Args:
        student: the policy that is going to be trained; the average starts as its copy in memory.
        conditioning: how it reads the judgement.
        update_rate: share of the student in each update, in ``[0, 1]``; the paper uses 0.05 and 0.01.

    Raises:
        InvalidInputError: if the rate is out of range.
    """

    def __init__(self, student: Policy, conditioning: Conditioning, *, update_rate: float = 0.05) -> None:
        if not 0.0 <= update_rate <= 1.0:
            raise InvalidInputError(f"update_rate must lie in [0, 1], received {update_rate}")
        self._average = copy.deepcopy(student)
        self._conditioning = conditioning
        self._update_rate = update_rate

    def view(self, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """The average's scores under the context."""
        return self._conditioning.view(self._average, rollouts, judgement)

    def update(self, student: Policy) -> None:
        """Move every weight and buffer towards the student's, by name."""
        exponential_moving_average_(self._average.weights(), student.weights(), update_rate=self._update_rate)
