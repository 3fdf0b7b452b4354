"""The hybrid: its ends are its parents, its gate follows the sign of a derivative, and a closed gate is silent."""

import copy
from functools import partial
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.agreement import groups_that_agree
from sdpo_ref.functional.implicit_reward import implicit_reward
from sdpo_ref.losses.reference import hybrid_loss
from sdpo_ref.protocols import Trainer
from sdpo_ref.simulation.policies.prefix_sum import PrefixSumPolicy
from sdpo_ref.trainers.grpo import GrpoTrainer
from sdpo_ref.trainers.hybrid import HybridTrainer
from sdpo_ref.trainers.sdpo import SdpoTrainer
from sdpo_ref.types import FULL, SAMPLED_TOKEN, DistillationBatch, Rollouts, Support
from tests.trainers.problems import (
    EVERY_COMPLETION,
    REWARDS,
    GivenTeacher,
    Maker,
    assert_same,
    change,
    judged,
    rollouts_of,
    small_policy,
)

Mixing = Literal["advantage", "loss"]
WAYS: list[tuple[Mixing, Support]] = [("advantage", SAMPLED_TOKEN), ("loss", SAMPLED_TOKEN), ("loss", FULL)]
GROUPS = [0, 0, 0, 1, 1, 1]
USABLE = torch.tensor([True, True, True, True, True, False])
POLICY = small_policy()
ROLLOUTS = rollouts_of(POLICY, EVERY_COMPLETION[[0, 4, 7, 2, 5, 8]], GROUPS)


def teacher_logits(rollouts: Rollouts = ROLLOUTS) -> Tensor:
    """What another policy says about the rollouts."""
    with torch.no_grad():
        return small_policy(1).logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)


def opinions() -> Tensor:
    """The teacher's implicit reward of each rollout."""
    with torch.no_grad():
        student = POLICY.logits(ROLLOUTS.prompts, ROLLOUTS.completions, ROLLOUTS.completion_mask)
    return implicit_reward(teacher_logits(), student, ROLLOUTS.completions, ROLLOUTS.completion_mask)


def half_wrong() -> Tensor:
    """Rewards with which the teacher agrees in group 0 and disagrees in group 1."""
    score = opinions()
    return torch.where(torch.tensor(GROUPS) == 0, score, -score)


def hybrid(usable: Tensor = USABLE, logits: Tensor | None = None, **options: Any) -> Maker:
    """A maker of hybrids with a given teacher."""
    given = teacher_logits() if logits is None else logits

    def make(policy: PrefixSumPolicy, optimizer: torch.optim.Optimizer) -> Trainer:
        return HybridTrainer(policy, GivenTeacher(given, usable), optimizer, **options)

    return make


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize(("mixing", "support"), WAYS)
def test_with_all_weight_on_the_reward_it_is_the_policy_gradient(mixing: Mixing, support: Support, gated: bool) -> None:  # noqa: FBT001
    """Weight 1 is centred GRPO without clip or length normalisation, gate or no gate (SIM-104)."""
    moved, _ = change(
        POLICY, hybrid(reward_weight=1.0, mixing=mixing, support=support, gated=gated), ROLLOUTS, half_wrong()
    )
    parent = partial(GrpoTrainer, standardize=False, aggregation="token_mean")
    expected, _ = change(POLICY, parent, ROLLOUTS, half_wrong())
    assert_same(moved, expected)


@pytest.mark.parametrize(("mixing", "support"), WAYS)
def test_with_no_weight_on_the_reward_it_is_self_distillation(mixing: Mixing, support: Support) -> None:
    """Weight 0 is SDPO with reverse KL on the same support, where every row has a teacher (SIM-104)."""
    everyone = torch.ones(6).bool()
    moved, _ = change(
        POLICY, hybrid(everyone, reward_weight=0.0, mixing=mixing, support=support), ROLLOUTS, REWARDS[:6]
    )

    def sdpo(policy: PrefixSumPolicy, optimizer: torch.optim.Optimizer) -> Trainer:
        return SdpoTrainer(policy, GivenTeacher(teacher_logits()), optimizer, support=support)

    expected, _ = change(POLICY, sdpo, ROLLOUTS, REWARDS[:6])
    assert_same(moved, expected)


@pytest.mark.parametrize(("mixing", "support"), WAYS)
def test_without_a_gate_it_is_the_loss_of_the_reference(mixing: Mixing, support: Support) -> None:
    """The fixed hybrid descends hybrid_loss, and reports it."""
    moved, report = change(POLICY, hybrid(reward_weight=0.6, mixing=mixing, support=support), ROLLOUTS, half_wrong())
    copied = copy.deepcopy(POLICY)
    batch = DistillationBatch(
        copied.logits(ROLLOUTS.prompts, ROLLOUTS.completions, ROLLOUTS.completion_mask),
        teacher_logits(),
        ROLLOUTS.completions,
        ROLLOUTS.completion_mask,
        USABLE,
    )
    loss = hybrid_loss(
        batch, half_wrong(), ROLLOUTS.prompts.group_ids, reward_weight=0.6, mixing=mixing, support=support
    )
    gradients = torch.autograd.grad(loss, list(copied.parameters()))
    assert_same(moved, -torch.cat([g.flatten() for g in gradients]))
    assert report.loss == pytest.approx(float(loss.detach()))
    assert report.metrics["hybrid/open_share"] == 1.0


@pytest.mark.parametrize(("mixing", "support"), WAYS)
def test_behind_a_closed_gate_only_the_reward_speaks(mixing: Mixing, support: Support) -> None:
    """The gated step is the fixed one in open groups and the policy gradient in closed ones (SIM-106)."""
    everyone = torch.ones(6).bool()
    gated, report = change(
        POLICY, hybrid(everyone, gated=True, reward_weight=0.3, mixing=mixing, support=support), ROLLOUTS, half_wrong()
    )
    expected = torch.zeros_like(gated)
    for group, weight in ((0, 0.3), (1, 1.0)):
        rows = torch.tensor(GROUPS) == group
        part = rollouts_of(POLICY, ROLLOUTS.completions[rows], [group] * 3)
        alone = hybrid(everyone[rows], teacher_logits()[rows], reward_weight=weight, mixing=mixing, support=support)
        expected += change(POLICY, alone, part, half_wrong()[rows])[0] / 2  # each group has half of the tokens
    assert_same(gated, expected)
    assert report.metrics["hybrid/open_share"] == 0.5


def test_the_gate_keeps_a_wrong_teacher_from_being_followed() -> None:
    """Against the reward in every group: the fixed hybrid lowers the reward, the gated one raises it (SIM-106)."""
    rollouts = rollouts_of(POLICY, EVERY_COMPLETION, [0] * 9)
    logits = teacher_logits(rollouts)
    with torch.no_grad():
        student = POLICY.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
    rewards = -implicit_reward(logits, student, rollouts.completions, rollouts.completion_mask)
    gains = {}
    for gated in (False, True):
        make = hybrid(torch.ones(9).bool(), logits, reward_weight=0.1, gated=gated)
        moved = copy.deepcopy(POLICY)
        step, _ = change(POLICY, make, rollouts, rewards)
        torch.nn.utils.vector_to_parameters(
            torch.nn.utils.parameters_to_vector(POLICY.parameters()).detach() + 0.01 * step, moved.parameters()
        )
        after = rollouts_of(moved, EVERY_COMPLETION, [0] * 9).behaviour_log_probs.sum(-1)
        gain = after - rollouts.behaviour_log_probs.sum(-1)
        gains[gated] = float(((gain - gain.mean()) * (rewards - rewards.mean())).sum())
    assert gains[False] < 0 < gains[True]


def test_covariance_is_the_slope_towards_the_teacher() -> None:
    """Why the gate is a covariance: it is d/d eta of the expected reward under p_S exp(eta s), at eta = 0 (SIM-105)."""
    rollouts = rollouts_of(POLICY, EVERY_COMPLETION, [0] * 9)
    chances = rollouts.behaviour_log_probs.sum(-1)
    with torch.no_grad():
        student = POLICY.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
    scores = implicit_reward(teacher_logits(rollouts), student, rollouts.completions, rollouts.completion_mask)

    def expected_reward(eta: float) -> float:
        return float((torch.softmax(chances + eta * scores, 0) * REWARDS).sum())

    p = chances.exp()
    covariance = float((p * scores * REWARDS).sum() - (p * scores).sum() * (p * REWARDS).sum())
    assert (expected_reward(1e-6) - expected_reward(-1e-6)) / 2e-6 == pytest.approx(covariance, rel=1e-6)
    assert expected_reward(1.0) == pytest.approx(float((teacher_chances(rollouts).exp() * REWARDS).sum()))
    pairs = [
        float(p[a] * p[b] * (scores[a] - scores[b]) * (REWARDS[a] - REWARDS[b])) for a in range(9) for b in range(a)
    ]
    assert sum(pairs) == pytest.approx(covariance)  # the group's sum over pairs estimates it without bias


def teacher_chances(rollouts: Rollouts) -> Tensor:
    """Log-probability of each completion under the teacher."""
    return rollouts_of(small_policy(1), rollouts.completions, [0] * 9).behaviour_log_probs.sum(-1)


@pytest.mark.parametrize(
    ("scores", "rewards", "is_open"),
    [
        ([1.0, 2.0, 3.0], [0.1, 0.2, 0.3], True),
        ([1.0, 2.0, 3.0], [0.3, 0.2, 0.1], False),
        ([1.0, 2.0, 9.0], [0.2, 0.1, 0.3], True),
        ([1.0, 2.0, 3.0, 20.0], [0.3, 0.2, 0.1, 0.4], True),
        ([1.0, 2.0, 3.0], [0.1, 0.1, 0.1], False),
        ([0.7, 0.7, 0.7], [0.1, 0.2, 0.3], False),
        ([1.0, 2.0, 3.0], [0.0, 1.0, 0.0], False),
        ([1.0], [0.1], False),
    ],
)
def test_the_gate_by_hand(scores: list[float], rewards: list[float], is_open: bool) -> None:  # noqa: FBT001
    """Open for a positive covariance only: zero, equal rewards and a single attempt are no agreement (SIM-105)."""
    count = len(scores)
    found = groups_that_agree(
        torch.tensor(scores), torch.tensor(rewards), torch.zeros(count).long(), torch.ones(count).bool()
    )
    assert found.tolist() == [is_open] * count


def test_the_gate_hears_usable_rows_of_its_group_only() -> None:
    """An unusable row and another group have no say, and share the verdict of their own group."""
    groups = torch.tensor([0, 1, 0, 1, 0])
    scores, rewards = torch.tensor([1.0, 1.0, 2.0, 2.0, -50.0]), torch.tensor([0.1, 0.9, 0.2, 0.1, 0.9])
    usable = torch.tensor([True, True, True, True, False])
    assert groups_that_agree(scores, rewards, groups, usable).tolist() == [True, False, True, False, True]
    assert not groups_that_agree(scores, rewards, groups, torch.ones(5).bool()).any()


def test_nothing_to_learn_from_changes_nothing() -> None:
    """Equal rewards and no usable row: finite, and no weight moves (SIM-104)."""
    for gated in (False, True):
        none_usable = torch.zeros(6).bool()
        moved, report = change(POLICY, hybrid(none_usable, gated=gated), ROLLOUTS, torch.full((6,), 0.3).double())
        assert moved.abs().max() < 1e-12
        assert report.metrics["hybrid/open_share"] == 0.0
        assert report.metrics["self_distillation/reprompt_sample_fraction"] == 0.0


def test_unusable_rows_may_hold_anything() -> None:
    """NaN from the teacher in a row without context reaches neither the gate nor the gradient."""
    logits = teacher_logits()
    logits[~USABLE] = torch.nan
    for mixing, support in WAYS:

        def make(
            policy: PrefixSumPolicy,
            optimizer: torch.optim.Optimizer,
            mixing: Mixing = mixing,
            support: Support = support,
        ) -> Trainer:
            return HybridTrainer(
                policy, GivenTeacher(logits, USABLE), optimizer, mixing=mixing, support=support, gated=True
            )

        moved, _ = change(POLICY, make, ROLLOUTS, half_wrong())
        assert torch.isfinite(moved).all()


def test_it_is_a_trainer_whose_teacher_follows() -> None:
    """The protocol is met, and the teacher is updated once a step."""
    policy, teacher = copy.deepcopy(POLICY), GivenTeacher(teacher_logits())
    trainer = HybridTrainer(policy, teacher, torch.optim.SGD(policy.parameters(), lr=0.1))
    assert isinstance(trainer, Trainer)
    assert trainer.policy is policy
    report = trainer.step(ROLLOUTS, judged(REWARDS[:6]))
    assert (report.teacher_updates, teacher.updates) == (1, 1)


def test_out_of_range() -> None:
    """A weight outside the interval, and a support that cannot carry mixed advantages, are refused at once."""
    teacher, optimizer = GivenTeacher(teacher_logits()), torch.optim.SGD(POLICY.parameters(), lr=0.1)
    with pytest.raises(InvalidInputError, match="reward_weight"):
        HybridTrainer(POLICY, teacher, optimizer, reward_weight=1.1)
    with pytest.raises(InvalidInputError, match="sampled_token"):
        HybridTrainer(POLICY, teacher, optimizer, support=FULL)
