"""Whose weights a teacher has: one class a kind, each with any way to condition a policy on a judgement.

In this order: the live student, its moving average, the initial student, a mixture of initial and live student, and the
live student moved by what feedback means to the initial one.
"""

import copy
from typing import Protocol, runtime_checkable

import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.averaging import exponential_moving_average_, trust_region_log_probs
from sdpo_ref.functional.log_probs import log_probs
from sdpo_ref.protocols import Policy
from sdpo_ref.types import Judgement, Rollouts, TeacherView


@runtime_checkable
class Conditioning(Protocol):
    """**Protocol:** conditions a policy on feedback: through its prompt, or through a posterior."""

    def view(self, policy: Policy, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """Scores of the policy for the rollouts once it has read the judgement; without gradient."""
        ...


class LiveTeacher:
    """The student itself, conditioned on feedback; its scores carry no gradient.

    Departs from :class:`~sdpo_ref.teachers.weights.EmaTeacher`: nothing is copied, so nothing lags. The SDPO paper sees
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


class TrustRegionTeacher:
    """Geometric mixture of the initial and the live student, both conditioned on feedback.

    Departs from :class:`~sdpo_ref.teachers.weights.EmaTeacher`: distributions are averaged, not weights, and only two
    of them; the paper's best teacher.
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


class FrozenDifferenceTeacher:
    r"""The live student, moved by the initial student's surprise at the feedback.

    .. math::
        \ell_T(v) = \log \pi_\theta(v \mid x, y_{<t}) + \log \pi_0(v \mid x, c, y_{<t}) - \log \pi_0(v \mid x, y_{<t})

    Departs from :class:`~sdpo_ref.teachers.weights.LiveTeacher`: the feedback is read by weights that do not drift.
    Departs from :class:`~sdpo_ref.teachers.weights.FrozenTeacher`: the student is not pulled back to where it started.
    A token that the initial student rules out is ruled out here.
    Implements: SIM-073.

    Args:
        student: the policy that is going to be trained; the initial one is its copy in memory (TEACH-022).
        conditioning: how the initial policy reads the judgement.
    """

    def __init__(self, student: Policy, conditioning: Conditioning) -> None:
        self._initial = copy.deepcopy(student)
        self._student = student
        self._conditioning = conditioning

    def view(self, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """Unnormalised log-probabilities; without gradient."""
        view_of_initial = self._conditioning.view(self._initial, rollouts, judgement)
        with torch.no_grad():
            before, current = (
                log_probs(policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask))
                for policy in (self._initial, self._student)
            )
        after = log_probs(view_of_initial.logits)
        difference = torch.where(after > -torch.inf, after - before, after)
        return TeacherView((current + difference).detach(), view_of_initial.self_distillation_mask)

    def update(self, student: Policy) -> None:
        """Follow ``student`` from now on (usually the same object); the initial policy stays."""
        self._student = student
