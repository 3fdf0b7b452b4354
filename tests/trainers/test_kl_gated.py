"""The KL-gated hybrid: the published weight, a mixture of both parents' losses, and nothing flows into the gate."""

import copy
import math

import pytest
import torch
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.advantages import group_advantages
from sdpo_ref.protocols import Trainer
from sdpo_ref.published.gradients import hybrid_weight
from sdpo_ref.simulation.policies.prefix_sum import PrefixSumPolicy
from sdpo_ref.trainers.kl_gated import KlGatedTrainer, teacher_weight
from sdpo_ref.types import DistillationBatch, Rollouts
from tests.trainers.problems import (
    EVERY_COMPLETION,
    REWARDS,
    GivenTeacher,
    Maker,
    assert_same,
    change,
    rollouts_of,
    small_policy,
)

GROUPS = [0, 0, 0, 1, 1, 1]
USABLE = torch.tensor([True, True, True, True, True, False])
POLICY = small_policy()
ROLLOUTS = rollouts_of(POLICY, EVERY_COMPLETION[[0, 4, 7, 2, 5, 8]], GROUPS)


def logits_by(policy: PrefixSumPolicy, rollouts: Rollouts = ROLLOUTS) -> Tensor:
    return policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)


TEACHER = logits_by(small_policy(1)).detach()


def kl_gated(threshold: float, *, usable: Tensor = USABLE, logits: Tensor = TEACHER) -> Maker:
    """A maker of trainers with a given teacher."""

    def make(policy: PrefixSumPolicy, optimizer: torch.optim.Optimizer) -> Trainer:
        return KlGatedTrainer(policy, GivenTeacher(logits, usable), optimizer, threshold=threshold)

    return make


def by_hand(threshold: float, usable: Tensor = USABLE) -> tuple[Tensor, float]:
    """The step downhill and the weight, from the equations alone, one row at a time."""
    policy = copy.deepcopy(POLICY)
    p = torch.softmax(logits_by(policy), -1)
    q = torch.softmax(TEACHER, -1)
    counted = int(usable.sum()) * p.shape[1]
    reverse = sum(((p[row] * (p[row] / q[row]).log()).sum() for row in range(6) if usable[row]), torch.tensor(0.0))
    forward = sum(float((q[row] * (q[row] / p[row]).log()).sum().detach()) for row in range(6) if usable[row])
    mean = forward / counted if counted else 0.0
    weight = 1 / (1 + math.exp(-(mean - threshold) / (threshold / 3)))
    rewards = REWARDS[:6]
    above = rewards - rewards.reshape(2, 3).mean(-1).repeat_interleave(3)
    sampled = p.gather(-1, ROLLOUTS.completions[..., None])[..., 0].log()
    of_reward = -(above[:, None] * sampled).sum() / sampled.numel()
    loss = weight * reverse / max(counted, 1) + (1 - weight) * of_reward
    return -torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(policy.parameters()))]), weight


@pytest.mark.parametrize("threshold", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("usable", [USABLE, torch.ones(6).bool(), torch.zeros(6).bool()], ids=["some", "all", "none"])
def test_the_step_is_that_of_the_equations(threshold: float, usable: Tensor) -> None:
    """With the weight as a constant: nothing flows into the gate (SIM-185, SIM-186)."""
    moved, report = change(POLICY, kl_gated(threshold, usable=usable), ROLLOUTS, REWARDS[:6])
    expected, weight = by_hand(threshold, usable)
    assert_same(moved, expected)
    assert report.metrics["hybrid/teacher_weight"] == pytest.approx(weight, rel=1e-12)
    assert report.teacher_updates == report.optimizer_steps == 1


def test_the_weight_is_the_published_one() -> None:
    """By the published study's own function, where all completions stand at one table of logits (PUB-016, SIM-185)."""
    stream = torch.Generator().manual_seed(2)
    student = torch.randn(3, 5, generator=stream, dtype=torch.float64)
    teachers = torch.randn(4, 3, 5, generator=stream, dtype=torch.float64)
    mask, tokens = torch.ones(4, 3).bool(), torch.zeros(4, 3).long()
    batch = DistillationBatch(student.expand(4, -1, -1), teachers, tokens, mask, mask[:, 0])
    for threshold in (0.1, 1.0, 5.0):
        gate = torch.tensor([threshold], dtype=torch.float64)
        published = hybrid_weight(student.softmax(-1)[None], teachers.softmax(-1)[None], gate)
        assert teacher_weight(batch, threshold=threshold) == pytest.approx(float(published), rel=1e-12)


def test_an_agreeing_teacher_leaves_the_step_to_the_reward() -> None:
    """Where teacher and student are one the weight is sigmoid(-3), and the rest is the centred policy gradient."""
    own = logits_by(POLICY).detach()
    moved, report = change(POLICY, kl_gated(0.1, logits=own), ROLLOUTS, REWARDS[:6])
    weight = 1 / (1 + math.exp(3))
    assert report.metrics["hybrid/teacher_weight"] == pytest.approx(weight)
    policy = copy.deepcopy(POLICY)
    chosen = torch.log_softmax(logits_by(policy), -1).gather(-1, ROLLOUTS.completions[..., None])[..., 0]
    above = group_advantages(REWARDS[:6], torch.tensor(GROUPS))
    loss = -(1 - weight) * (above[:, None] * chosen).mean()
    assert_same(moved, -torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(policy.parameters()))]))


def test_what_does_not_count_may_hold_anything() -> None:
    """Masked positions and rows without feedback change neither the weight nor the step (SIM-107)."""
    mask = torch.ones(6, 2).bool()
    mask[1, 1] = mask[4, 1] = False
    rollouts = rollouts_of(POLICY, ROLLOUTS.completions, GROUPS, mask)
    spoilt = TEACHER.clone()
    spoilt[~mask] = torch.nan
    spoilt[~USABLE] = torch.inf
    moved, report = change(POLICY, kl_gated(0.1, logits=spoilt), rollouts, REWARDS[:6])
    expected, clean = change(POLICY, kl_gated(0.1), rollouts, REWARDS[:6])
    assert_same(moved, expected)
    assert report.metrics == clean.metrics
    assert bool(moved.isfinite().all())


@pytest.mark.parametrize("threshold", [0.0, -0.1, math.inf, math.nan])
def test_other_thresholds_are_refused(threshold: float) -> None:
    """The message says what was received and what it is."""
    with pytest.raises(InvalidInputError, match=f"above 0, received {threshold}"):
        change(POLICY, kl_gated(threshold), ROLLOUTS, REWARDS[:6])
