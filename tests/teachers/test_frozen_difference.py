"""The live student plus what feedback means to the initial one."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sdpo_ref.functional.log_probs import log_probs
from sdpo_ref.protocols import Policy, Teacher
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.teachers.weights import FrozenDifferenceTeacher, FrozenTeacher, LiveTeacher
from sdpo_ref.types import Judgement, Rollouts, TeacherView
from tests.simulation.reader.problems import Problem, problem, without_feedback


@dataclass(frozen=True)
class Sharpening:
    """A way to read that depends on the weights: twice the logits, so that the tilt is the policy's own opinion."""

    def view(self, policy: Policy, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """Twice the logits; the second token is ruled out."""
        logits = 2 * policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask).detach()
        logits[..., 1] = -torch.inf
        return TeacherView(logits, torch.ones(len(judgement.feedback), dtype=torch.bool))


def log_probs_of(policy: FirstOrderPolicy, given: Problem) -> Tensor:
    """Log-probabilities of a policy along the rollouts."""
    rollouts = given.rollouts
    return log_probs(policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)).detach()


def moved(policy: FirstOrderPolicy) -> None:
    """Train it, in a manner of speaking."""
    with torch.no_grad():
        policy.table.add_(torch.randn(policy.table.shape, generator=torch.Generator().manual_seed(0)))


def test_is_the_student_plus_a_frozen_difference() -> None:
    """Log-probabilities add up as the definition says, with the initial weights in the difference (SIM-073)."""
    given = problem("scalar")
    before = log_probs_of(given.policy, given)
    teacher = FrozenDifferenceTeacher(given.policy, Sharpening())
    moved(given.policy)
    view = teacher.view(given.rollouts, given.judgement)
    kept = [0, 2, 3, 4]
    sharpened = log_probs(2 * before[..., kept])
    expected = log_probs_of(given.policy, given)[..., kept] + sharpened - before[..., kept]
    torch.testing.assert_close(view.logits[..., kept], expected, rtol=0, atol=1e-12)
    assert bool((view.logits[..., 1] == -torch.inf).all())
    assert not view.logits.requires_grad
    assert isinstance(teacher, Teacher)


@dataclass(frozen=True)
class Attached:
    """A way to read that forgets to cut its gradient."""

    def view(self, policy: Policy, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """The policy's own logits, on its graph."""
        logits = policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
        return TeacherView(logits, torch.ones(len(judgement.feedback), dtype=torch.bool))


def test_no_gradient_reaches_the_initial_policy() -> None:
    """Whatever the reading leaves attached."""
    given = problem("scalar")
    view = FrozenDifferenceTeacher(given.policy, Attached()).view(given.rollouts, given.judgement)
    assert not view.logits.requires_grad


def test_before_training_it_is_the_frozen_teacher() -> None:
    """The student and its copy cancel, also where the initial student ruled a token out already."""
    given = problem("rubric")
    with torch.no_grad():
        given.policy.table[:, :, 3] = -torch.inf
    teachers = FrozenDifferenceTeacher(given.policy, Sharpening()), FrozenTeacher(given.policy, Sharpening())
    views = [log_probs(teacher.view(given.rollouts, given.judgement).logits) for teacher in teachers]
    torch.testing.assert_close(views[0], views[1], rtol=0, atol=1e-12)
    assert not bool(views[0].isnan().any())


def test_a_tilt_that_does_not_depend_on_weights_makes_it_live() -> None:
    """A reader's tilt is the same for all weights, so nothing is left of the difference between the two teachers."""
    given = problem("critique")
    teachers = (
        FrozenDifferenceTeacher(given.policy, given.conditioning),
        LiveTeacher(given.policy, given.conditioning),
    )
    moved(given.policy)
    views = [log_probs(teacher.view(given.rollouts, given.judgement).logits) for teacher in teachers]
    torch.testing.assert_close(views[0], views[1], rtol=0, atol=1e-12)


def test_follows_the_student_and_keeps_the_mask() -> None:
    """After an update it speaks for the new student; rows without feedback stay unusable."""
    given = problem("scalar")
    teacher = FrozenDifferenceTeacher(given.policy, given.conditioning)
    other = FirstOrderPolicy(given.policy.table.detach() * 3, given.policy.grammar)
    teacher.update(other)
    silent = without_feedback(given.judgement, set(range(6)))
    view = teacher.view(given.rollouts, silent)
    assert view.self_distillation_mask.tolist() == [False] * 6 + [True] * 12
    torch.testing.assert_close(log_probs(view.logits)[:6], log_probs_of(other, given)[:6], rtol=0, atol=1e-12)
