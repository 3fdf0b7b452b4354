"""REINFORCE, RLOO, GRPO and PPO against the exact gradient of the expected reward, and against each other."""

import copy
import math
from functools import partial
from typing import Any

import pytest
import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.policy_gradient import (
    clipped_surrogate,
    completion_log_probs,
    generalized_advantages,
    leave_one_out_advantages,
)
from sdpo_ref.protocols import Trainer
from sdpo_ref.simulation.policies.prefix_sum import PrefixSumPolicy
from sdpo_ref.trainers.grpo import GrpoTrainer
from sdpo_ref.trainers.ppo import PpoTrainer, ValueTable
from sdpo_ref.trainers.reinforce import ReinforceTrainer
from sdpo_ref.trainers.rloo import RlooTrainer
from sdpo_ref.trainers.update import Penalty, PolicyGradient
from tests.trainers.problems import (
    EVERY_COMPLETION,
    REWARDS,
    TIME,
    Maker,
    assert_same,
    change,
    exact_gradient,
    expected_change,
    flat,
    judged,
    rollouts_of,
    sampled,
    small_policy,
)


def ppo(
    policy: PrefixSumPolicy, optimizer: torch.optim.Optimizer, *, value: ValueTable | None = None, **options: Any
) -> PpoTrainer:
    """PPO with a value of zero that stays zero, unless one is given."""
    value = ValueTable(3, 8) if value is None else value
    return PpoTrainer(
        policy, optimizer, value=value, value_optimizer=torch.optim.SGD(value.parameters(), lr=0.0), **options
    )


MAKERS: dict[str, Maker] = {"reinforce": ReinforceTrainer, "rloo": RlooTrainer, "grpo": GrpoTrainer, "ppo": ppo}


@pytest.mark.parametrize("name", MAKERS)
def test_it_is_a_trainer(name: str) -> None:
    """Each has the parts of the protocol and trains the policy that it was given."""
    policy = small_policy()
    trainer = MAKERS[name](policy, torch.optim.SGD(policy.parameters(), lr=0.1))
    assert isinstance(trainer, Trainer)
    assert trainer.policy is policy


@pytest.mark.parametrize("baseline", [0.0, 0.7])
def test_reinforce_is_unbiased_with_any_baseline(baseline: float) -> None:
    """The expected step is the gradient of the expected reward, whatever the baseline (SIM-090, SIM-091)."""
    policy = small_policy()
    found = expected_change(policy, partial(ReinforceTrainer, baseline=baseline), group_size=1)
    assert_same(found, exact_gradient(policy))


def test_reinforce_without_a_baseline_shortens_its_first_step() -> None:
    """The mean of the step's own N rewards as baseline gives 1 - 1/N of the gradient."""
    policy = small_policy()
    found = expected_change(policy, ReinforceTrainer, group_size=2)
    assert_same(found, exact_gradient(policy) / 2)


@pytest.mark.parametrize("group_size", [2, 3])
def test_rloo_is_unbiased(group_size: int) -> None:
    """The leave-one-out baseline leaves the expected gradient as it is (SIM-092)."""
    policy = small_policy()
    found = expected_change(policy, RlooTrainer, group_size=group_size)
    assert_same(found, exact_gradient(policy))


def test_the_leave_one_out_baseline_lowers_the_variance() -> None:
    """With two completions a step, the squared step averages less with the baseline than without."""
    policy = small_policy()
    chances = rollouts_of(policy, EVERY_COMPLETION, [0] * 9).behaviour_log_probs.sum(-1).exp()
    spread = {}
    for name, make in (("with", RlooTrainer), ("without", partial(ReinforceTrainer, baseline=0.0))):
        spread[name] = sum(
            float(chances[a] * chances[b])
            * float(
                change(policy, make, rollouts_of(policy, EVERY_COMPLETION[[a, b]], [0, 0]), REWARDS[[a, b]])[0]
                .square()
                .sum()
            )
            for a in range(9)
            for b in range(9)
        )
    assert spread["with"] < 0.5 * spread["without"]


def test_grpo_without_division_is_the_gradient_shortened() -> None:
    """Centred rewards of a group of n give 1 - 1/n of the gradient, over the length of the completions (SIM-173)."""
    policy = small_policy()
    found = expected_change(policy, partial(GrpoTrainer, standardize=False), group_size=3)
    assert_same(found, exact_gradient(policy) * (2 / 3) / TIME)


def test_grpo_with_division_follows_another_direction() -> None:
    """Divided by the deviation, the expected step is no multiple of the gradient of the expected reward (SIM-173)."""
    policy = small_policy()
    for group_size in (2, 3):
        found = expected_change(policy, GrpoTrainer, group_size=group_size)
        cosine = float(torch.cosine_similarity(found, exact_gradient(policy), dim=0))
        assert 0.5 < cosine < 0.999


def test_grpo_with_division_ignores_the_unit_of_the_reward() -> None:
    """Rewards a thousand times as large give the same step, up to the small number in the denominator."""
    policy = small_policy()
    rollouts = rollouts_of(policy, EVERY_COMPLETION[[0, 4, 7]], [0, 0, 0])
    rewards = torch.tensor([30.0, 50.0, 20.0], dtype=torch.float64)
    one, _ = change(policy, GrpoTrainer, rollouts, rewards)
    assert one.abs().max() > 0.01
    other, _ = change(policy, GrpoTrainer, rollouts, 1000 * rewards)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=0)


def test_ppo_with_one_epoch_and_no_value_is_reinforce() -> None:
    """Value zero, lambda one, one epoch: the advantage is the reward and no ratio has moved (SIM-097)."""
    policy = small_policy()
    rollouts, rewards = sampled(policy, [0, 0, 1, 1]), torch.tensor([0.3, 0.9, 0.1, 0.5], dtype=torch.float64)
    proximal, _ = change(policy, partial(ppo, epochs=1, trace=1.0, aggregation="row_sum"), rollouts, rewards)
    plain, _ = change(policy, partial(ReinforceTrainer, baseline=0.0), rollouts, rewards)
    assert_same(proximal, plain)


def test_ppo_with_one_epoch_and_a_constant_value_is_reinforce_with_that_baseline() -> None:
    """With lambda one, what the value expects is what is taken off the reward (SIM-095, SIM-097)."""
    policy = small_policy()
    value = ValueTable(2, 4)
    torch.nn.init.constant_(value.values, 0.4)
    rollouts, rewards = sampled(policy, [0, 0, 1, 1]), torch.tensor([0.3, 0.9, 0.1, 0.5], dtype=torch.float64)
    make = partial(ppo, value=value, epochs=1, trace=1.0, aggregation="row_sum")
    plain, _ = change(policy, partial(ReinforceTrainer, baseline=0.4), rollouts, rewards)
    assert_same(change(policy, make, rollouts, rewards)[0], plain)


def test_ppo_is_unbiased_with_a_wrong_value() -> None:
    """With lambda one, one epoch and a value that is anything before the token, the step is the gradient."""
    policy = small_policy()
    value = ValueTable(1, TIME)
    torch.nn.init.normal_(value.values, generator=torch.Generator().manual_seed(3))
    make = partial(ppo, value=value, epochs=1, trace=1.0, aggregation="row_sum")
    assert_same(expected_change(policy, make, group_size=1), exact_gradient(policy))


def test_ppo_teaches_its_value_after_the_policy_has_used_it() -> None:
    """The value of a prompt tends to its mean reward, and the first step uses the value from before (SIM-095)."""
    policy = small_policy()
    value = ValueTable(2, 4)
    trainer = PpoTrainer(
        policy,
        torch.optim.SGD(policy.parameters(), lr=0.0),
        value=value,
        value_optimizer=torch.optim.SGD(value.parameters(), lr=2.0),
        trace=1.0,
    )
    rollouts, rewards = sampled(policy, [0, 0, 1, 1]), torch.tensor([0.2, 0.4, 0.8, 1.0], dtype=torch.float64)
    first = trainer.step(rollouts, judged(rewards))
    assert first.metrics["value/loss"] == pytest.approx(float(rewards.square().mean()))
    assert first.loss == pytest.approx(-float(rewards.mean()))
    for _ in range(50):
        trainer.step(rollouts, judged(rewards))
    expected = torch.tensor([[0.3], [0.9]], dtype=torch.float64).expand(2, 4)
    torch.testing.assert_close(value.values.detach(), expected)


@pytest.mark.parametrize("trace", [0.0, 0.6, 1.0])
def test_generalized_advantages_by_their_sum(trace: float) -> None:
    """The recursion gives the sum of discounted differences, also over a gap in the mask (SIM-096)."""
    values = torch.tensor([[0.3, 0.5, 9.0, 0.1], [0.2, 9.0, 9.0, 9.0]], dtype=torch.float64)
    mask = torch.tensor([[True, True, False, True], [True, False, False, False]])
    found = generalized_advantages(torch.tensor([1.0, 0.5]).double(), values, mask, trace=trace)
    differences = [0.5 - 0.3, 0.1 - 0.5, 1.0 - 0.1]
    expected = [sum(trace**l * d for l, d in enumerate(differences[start:])) for start in range(3)]  # noqa: E741
    assert found[0, [0, 1, 3]].tolist() == pytest.approx(expected)
    assert found[1, 0] == pytest.approx(0.3)
    assert not found[~mask].any()


def test_leave_one_out_by_hand() -> None:
    """The mean of the others is taken off, group by group, wherever the rows of a group stand (SIM-092)."""
    found = leave_one_out_advantages(torch.tensor([3.0, 1.0, 0.0, 5.0, 2.0]), torch.tensor([7, 2, 7, 2, 7]))
    assert found.tolist() == pytest.approx([2.0, -4.0, -2.5, 4.0, 0.5])


def test_clipped_surrogate_and_its_gradient() -> None:
    """Zero gradient only where the token went beyond 1 ± clip in the direction of its advantage (SIM-094)."""
    ratios = torch.tensor([[1.5, 1.5, 0.5, 0.5, 1.1, 1.1]], dtype=torch.float64)
    gains = torch.tensor([[2.0, -2.0, 2.0, -2.0, 2.0, -2.0]], dtype=torch.float64)
    now = ratios.log().requires_grad_()
    losses = clipped_surrogate(now, torch.zeros_like(ratios), gains, clip=0.2)
    assert losses[0].tolist() == pytest.approx([-2.4, 3.0, -1.0, 1.6, -2.2, 2.2])
    (gradient,) = torch.autograd.grad(losses.sum(), now)
    assert gradient[0].tolist() == pytest.approx([0.0, 3.0, -1.0, 0.0, -2.2, 2.2])


def test_epochs_stop_at_the_clip() -> None:
    """Many epochs on the same rollouts stop near the clip, where without one they go on (SIM-094).

    Near, not at: a clipped token may still be carried on by the updates of tokens that share its weights.
    """
    policy = small_policy()
    rollouts, rewards = rollouts_of(policy, EVERY_COMPLETION[[0, 4]], [0, 0]), torch.tensor([1.0, 0.0]).double()

    def largest_ratio(clip: float) -> tuple[float, float]:
        trained = copy.deepcopy(policy)
        optimizer = torch.optim.SGD(trained.parameters(), lr=0.05)
        report = GrpoTrainer(trained, optimizer, clip=clip, epochs=60).step(rollouts, judged(rewards))
        assert report.optimizer_steps == 60
        after = rollouts_of(trained, rollouts.completions, [0, 0]).behaviour_log_probs
        return float((after - rollouts.behaviour_log_probs)[0].exp().max()), report.metrics["policy/clipped_share"]

    near, clipped = largest_ratio(0.2)
    far, unclipped = largest_ratio(100.0)
    assert 1.15 < near < 1.5
    assert far > 1.7
    assert clipped > 0.2
    assert unclipped == 0.0


@pytest.mark.parametrize("name", MAKERS)
def test_better_completions_become_likelier(name: str) -> None:
    """A small step raises the best of a group and lowers the worst, and lifts the expected reward."""
    policy = small_policy()
    rollouts = rollouts_of(policy, EVERY_COMPLETION, [0] * 9)
    trained = copy.deepcopy(policy)
    trainer = MAKERS[name](trained, torch.optim.SGD(trained.parameters(), lr=1e-3))
    report = trainer.step(rollouts, judged(REWARDS - REWARDS.mean()))
    after = rollouts_of(trained, EVERY_COMPLETION, [0] * 9).behaviour_log_probs.sum(-1)
    before = rollouts.behaviour_log_probs.sum(-1)
    gain = after - before
    assert float(((gain - gain.mean()) * (REWARDS - REWARDS.mean())).sum()) > 0
    assert gain[REWARDS.argmax()] > 0 > gain[REWARDS.argmin()]
    assert report.teacher_updates == 0


@pytest.mark.parametrize("name", ["rloo", "grpo", "reinforce"])
@pytest.mark.parametrize(("groups", "rewards"), [([0, 1, 2], [0.1, 0.9, 0.4]), ([0, 0, 0], [0.1, 0.1, 0.1])])
def test_nothing_to_compare_changes_nothing(name: str, groups: list[int], rewards: list[float]) -> None:
    """Groups of one and equal rewards leave the weights as they are; REINFORCE learns from the former."""
    policy = small_policy()
    moved, report = change(policy, MAKERS[name], sampled(policy, groups), torch.tensor(rewards).double())
    assert math.isfinite(report.loss)
    if name == "reinforce" and len(set(groups)) > 1:
        assert moved.abs().max() > 1e-3
    else:
        assert moved.abs().max() < 1e-11


@pytest.mark.parametrize("name", MAKERS)
def test_masked_positions_hold_anything(name: str) -> None:
    """Tokens after the end, and rows without a token, have no say, whatever stands there (SIM-107)."""
    policy = small_policy()
    completions = torch.tensor([[0, 1, 2], [1, 1, 0], [2, 2, 2], [0, 0, 0]])
    mask = torch.tensor([[True, True, False], [True, True, True], [True, False, False], [False, False, False]])
    rewards = torch.tensor([0.1, 0.8, 0.3, 0.6]).double()
    found = []
    for junk, chance in ((2, 0.0), (0, math.nan)):
        ids = torch.where(mask, completions, junk)
        rollouts = rollouts_of(policy, ids, [0, 0, 1, 1], mask)
        rollouts.behaviour_log_probs[~mask] = chance
        found.append(change(policy, MAKERS[name], rollouts, rewards)[0])
    assert torch.isfinite(found[0]).all()
    assert_same(found[0], found[1])


def test_masked_logits_hold_anything() -> None:
    """NaN at a masked position is in neither the log-probabilities nor their gradient (SIM-107)."""
    logits = torch.tensor([[[0.0, 1.0], [math.nan, 0.0]]]).requires_grad_()
    chances = completion_log_probs(logits, torch.tensor([[1, 9]]), torch.tensor([[True, False]]))
    (gradient,) = torch.autograd.grad(chances.sum(), logits)
    assert chances[0, 1] == 0
    assert torch.isfinite(gradient).all()


def test_rewards_in_another_precision() -> None:
    """An oracle that judges in float32 trains a policy in float64."""
    policy = small_policy()
    rollouts = rollouts_of(policy, EVERY_COMPLETION[[0, 4, 7, 2]], [0, 0, 1, 1])
    rewards = torch.tensor([0.5, 1.0, 0.0, 0.25])
    for make in MAKERS.values():
        moved, _ = change(policy, make, rollouts, rewards)
        precise, _ = change(policy, make, rollouts, rewards.double())
        assert moved.abs().max() > 1e-3
        torch.testing.assert_close(moved, precise, rtol=1e-5, atol=1e-7)


def test_the_moving_baseline_and_its_state() -> None:
    """It moves by the rate after each step, and a trainer that is given it goes on as if never stopped (SIM-091)."""
    policy = small_policy()
    rollouts = sampled(policy, [0, 0])
    rewards = [torch.tensor(pair).double() for pair in ([1.0, 3.0], [4.0, 8.0], [0.0, 0.0])]
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.0)
    trainer = ReinforceTrainer(policy, optimizer, baseline_rate=0.25)
    assert ReinforceTrainer(policy, optimizer).baseline is None
    used = [trainer.step(rollouts, judged(pair)).metrics["reinforce/baseline"] for pair in rewards]
    assert used == [2.0, 2.0, 3.0]
    assert trainer.baseline == 2.25
    resumed = ReinforceTrainer(policy, optimizer, baseline=trainer.baseline, baseline_rate=0.25)
    assert resumed.step(rollouts, judged(rewards[0])).metrics["reinforce/baseline"] == 2.25


def test_out_of_range() -> None:
    """Options that would silently be another algorithm are refused by value."""
    policy = small_policy()
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    bad: dict[str, Maker] = {
        "baseline_rate": partial(ReinforceTrainer, baseline_rate=1.5),
        "clip": partial(GrpoTrainer, clip=0.0),
        "epochs": partial(GrpoTrainer, epochs=0),
        "kl_weight": partial(RlooTrainer, kl_weight=-1.0),
        "needs a reference": partial(RlooTrainer, kl_weight=0.1),
        "policy itself": partial(RlooTrainer, reference=policy),
    }
    for name, make in bad.items():
        with pytest.raises(InvalidInputError, match=name):
            make(policy, optimizer)
    with pytest.raises(InvalidInputError, match="needs a clip"):
        PolicyGradient(policy, optimizer, Penalty(policy, None, 0.0), "row_sum", epochs=2)
    with pytest.raises(InvalidInputError, match="trace"):
        generalized_advantages(torch.ones(1), torch.ones(1, 1), torch.ones(1, 1).bool(), trace=2.0)
    with pytest.raises(InvalidInputError, match="clip"):
        clipped_surrogate(torch.ones(1, 1), torch.ones(1, 1), torch.ones(1, 1), clip=-0.1)


def test_only_the_policy_moves() -> None:
    """The reference of a penalty keeps its weights through several steps."""
    policy = small_policy()
    reference = small_policy(1)
    before = flat(reference)
    trainer = RlooTrainer(policy, torch.optim.SGD(policy.parameters(), lr=0.1), reference=reference, kl_weight=0.5)
    for _ in range(3):
        trainer.step(sampled(policy, [0, 0]), judged(torch.tensor([0.0, 1.0])))
    assert torch.equal(flat(reference), before)
    assert all(weight.grad is None for weight in reference.parameters())
