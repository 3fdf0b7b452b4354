"""Online DPO: which pairs, the loss and its gradient in closed form, and that nothing is made up."""

import copy
import math
from functools import partial

import pytest
import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.policy_gradient import completion_log_probs
from sdpo_ref.functional.preference import best_and_worst, preference_losses
from sdpo_ref.protocols import Trainer
from sdpo_ref.trainers.dpo import DpoTrainer
from tests.trainers.problems import EVERY_COMPLETION, assert_same, change, flat, judged, rollouts_of, small_policy

BETA = 0.7


def test_pairs_are_the_ends_of_each_group() -> None:
    """Highest against lowest, group by group; a tie and a group of one give none (SIM-098)."""
    rewards = torch.tensor([0.5, 0.1, 0.9, 0.9, 0.4, 0.4, 0.3, 0.2])
    best, worst = best_and_worst(rewards, torch.tensor([3, 3, 3, 3, 1, 1, 0, 2]))
    assert (best.tolist(), worst.tolist()) == ([2], [1])


def test_pairs_do_not_mix_groups() -> None:
    """Rows of interleaved groups are compared with their own group only."""
    rewards = torch.tensor([1.0, 10.0, 2.0, 20.0, 0.0, 15.0])
    best, worst = best_and_worst(rewards, torch.tensor([0, 1, 0, 1, 0, 1]))
    assert (best.tolist(), worst.tolist()) == ([2, 3], [4, 1])


def test_its_gradient_in_closed_form() -> None:
    """A step is beta sigma(-beta margin) (grad log p(best) - grad log p(worst)), averaged over the pairs (SIM-099)."""
    policy, reference = small_policy(), small_policy(1)
    rows = [0, 4, 7, 2, 5]
    rollouts = rollouts_of(policy, EVERY_COMPLETION[rows], [0, 0, 0, 1, 1])
    moved, report = change(
        policy,
        partial(DpoTrainer, reference=reference, beta=BETA),
        rollouts,
        torch.tensor([0.5, 0.9, 0.1, 0.2, 0.8]).double(),
    )
    scored = policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
    chances = completion_log_probs(scored, rollouts.completions, rollouts.completion_mask).sum(-1)
    usual = rollouts_of(reference, rollouts.completions, [0, 0, 0, 1, 1]).behaviour_log_probs.sum(-1)
    expected, loss, right = torch.zeros_like(moved), 0.0, 0.0
    for best, worst in ((1, 2), (4, 3)):
        margin = float((chances[best] - usual[best] - chances[worst] + usual[worst]).detach())
        gradients = torch.autograd.grad(chances[best] - chances[worst], list(policy.parameters()), retain_graph=True)
        pull = BETA / (1 + math.exp(BETA * margin))
        expected += pull * torch.cat([gradient.flatten() for gradient in gradients]) / 2
        loss += math.log1p(math.exp(-BETA * margin)) / 2
        right += (margin > 0) / 2
    assert_same(moved, expected)
    assert report.loss == pytest.approx(loss)
    assert report.metrics == {
        "preference/pairs": 2.0,
        "preference/accuracy": right,
        "kl/reference": report.metrics["kl/reference"],
    }


def test_a_step_widens_the_margin() -> None:
    """The best becomes likelier relative to the worst; a completion between them takes no part."""
    policy = small_policy()
    rollouts = rollouts_of(policy, EVERY_COMPLETION[[0, 4, 8]], [0, 0, 0])
    trained = copy.deepcopy(policy)
    trainer = DpoTrainer(trained, torch.optim.SGD(trained.parameters(), lr=0.05), reference=policy)
    report = trainer.step(rollouts, judged(torch.tensor([0.9, 0.5, 0.1])))
    gain = (rollouts_of(trained, rollouts.completions, [0] * 3).behaviour_log_probs - rollouts.behaviour_log_probs).sum(
        -1
    )
    assert gain[0] > 0 > gain[2]
    assert report.loss == pytest.approx(math.log(2))
    assert report.metrics["preference/accuracy"] == 0.5


def test_a_middle_completion_takes_no_part() -> None:
    """Replacing what was neither best nor worst changes nothing."""
    policy, reference = small_policy(), small_policy(1)
    found = [
        change(
            policy,
            partial(DpoTrainer, reference=reference),
            rollouts_of(policy, EVERY_COMPLETION[[0, middle, 8]], [0, 0, 0]),
            torch.tensor([0.9, 0.5, 0.1]),
        )[0]
        for middle in (3, 7)
    ]
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize(("groups", "rewards"), [([0, 0, 0], [0.3, 0.3, 0.3]), ([0, 1, 2], [0.1, 0.9, 0.5])])
def test_no_preference_is_made_up(groups: list[int], rewards: list[float]) -> None:
    """Ties and groups of one update nothing, not even through the momentum of earlier steps (SIM-098)."""
    policy = small_policy()
    reference = copy.deepcopy(policy)
    trainer = DpoTrainer(policy, torch.optim.Adam(policy.parameters(), lr=0.1), reference=reference)
    rollouts = rollouts_of(policy, EVERY_COMPLETION[[0, 4, 8]], [0, 0, 0])
    assert trainer.step(rollouts, judged(torch.tensor([0.9, 0.5, 0.1]))).optimizer_steps == 1
    before = flat(policy)
    report = trainer.step(rollouts_of(policy, EVERY_COMPLETION[[0, 4, 8]], groups), judged(torch.tensor(rewards)))
    assert torch.equal(flat(policy), before)
    assert (report.loss, report.optimizer_steps, report.metrics["preference/pairs"]) == (0.0, 0, 0.0)
    assert "preference/accuracy" not in report.metrics


def test_only_the_order_counts() -> None:
    """An increasing rescaling of the rewards gives the same step."""
    policy, reference = small_policy(), small_policy(1)
    rollouts = rollouts_of(policy, EVERY_COMPLETION[[0, 4, 8, 2]], [0, 0, 1, 1])
    make = partial(DpoTrainer, reference=reference)
    rewards = torch.tensor([0.1, 0.4, 0.8, 0.2]).double()
    assert torch.equal(change(policy, make, rollouts, rewards)[0], change(policy, make, rollouts, rewards.exp())[0])


def test_saturation() -> None:
    """A pair that is separated by a thousand nats costs nothing; the wrong way round it costs beta for each nat."""
    far = torch.tensor([1000.0, -1000.0])
    assert preference_losses(far, torch.zeros(2), beta=0.1).tolist() == pytest.approx([0.0, 100.0])


def test_it_is_a_trainer_and_refuses_a_bad_beta() -> None:
    """The protocol is met; beta must be positive and finite."""
    policy = small_policy()
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    trainer = DpoTrainer(policy, optimizer, reference=small_policy(1))
    assert isinstance(trainer, Trainer)
    assert trainer.policy is policy
    for beta in (0.0, -1.0, math.nan):
        with pytest.raises(InvalidInputError, match="beta"):
            DpoTrainer(policy, optimizer, reference=small_policy(1), beta=beta)
        with pytest.raises(InvalidInputError, match="beta"):
            preference_losses(torch.ones(1), torch.ones(1), beta=beta)
