"""The teacher that adds what feedback means to the initial policy to the current one (SIM-073)."""

import copy

import torch

from sdpo_ref.functional.log_probs import log_probs
from sdpo_ref.protocols import Policy
from sdpo_ref.teachers.conditioning import Conditioning
from sdpo_ref.types import Judgement, Rollouts, TeacherView


class FrozenDifferenceTeacher:
    r"""The live student, moved by the initial student's surprise at the feedback.

    .. math::
        \ell_T(v) = \log \pi_\theta(v \mid x, y_{<t}) + \log \pi_0(v \mid x, c, y_{<t}) - \log \pi_0(v \mid x, y_{<t})

    Departs from :class:`~sdpo_ref.teachers.live.LiveTeacher`: the feedback is read by weights that do not drift.
    Departs from :class:`~sdpo_ref.teachers.frozen.FrozenTeacher`: the student is not pulled back to where it started. A
    token that the initial student rules out is ruled out here.
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
