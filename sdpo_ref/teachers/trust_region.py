"""The teacher that mixes the initial policy with the current one (TEACH-026)."""

import copy

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.averaging import trust_region_log_probs
from sdpo_ref.protocols import Policy
from sdpo_ref.teachers.conditioning import Conditioning
from sdpo_ref.types import Judgement, Rollouts, TeacherView


class TrustRegionTeacher:
    """Geometric mixture of the initial and the live student, both conditioned on feedback.

    Departs from :class:`~sdpo_ref.teachers.ema.EmaTeacher`: distributions are averaged, not weights, and only two of
    them; the paper's best teacher.
    Implements: TEACH-026.

    Args:
        student: the policy that is going to be trained.
        conditioning: how both read the judgement.
        mix: share of the live student in the logarithm, in ``[0, 1]``.

    Raises:
        InvalidInputError: if ``mix`` is out of range.
    """

    def __init__(self, student: Policy, conditioning: Conditioning, *, mix: float = 0.05) -> None:
        if not 0.0 <= mix <= 1.0:
            raise InvalidInputError(f"mix must lie in [0, 1], received {mix}; 0 is the initial policy")
        self._initial = copy.deepcopy(student)
        self._student = student
        self._conditioning = conditioning
        self._mix = mix

    def view(self, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """The mixture's log-probabilities under the context."""
        reference = self._conditioning.view(self._initial, rollouts, judgement)
        current = self._conditioning.view(self._student, rollouts, judgement)
        mixture = trust_region_log_probs(reference.logits, current.logits, mix=self._mix)
        return TeacherView(mixture, reference.self_distillation_mask)

    def update(self, student: Policy) -> None:
        """Mix with ``student`` from now on (usually the same object)."""
        self._student = student
