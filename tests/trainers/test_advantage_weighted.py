"""The advantage-weighted baseline: the published gradient with the teacher's preference for the truth."""

import pytest
import torch
from torch import Tensor

from sdpo_ref.protocols import Trainer
from sdpo_ref.published.gradients import advantage_weighted_gradient
from sdpo_ref.published.objects import TablePolicy
from sdpo_ref.simulation.policies.prefix_sum import PrefixSumPolicy
from sdpo_ref.trainers.advantage_weighted import AdvantageWeightedTrainer, weighted_advantages
from sdpo_ref.types import Judgement, Prompts, Rollouts, TeacherView
from tests.trainers.problems import (
    EVERY_COMPLETION,
    REWARDS,
    GivenTeacher,
    assert_same,
    change,
    judged,
    rollouts_of,
    small_policy,
)


def free(table: Tensor) -> TablePolicy:
    """The published student with given logits."""
    policy = TablePolicy(*table.shape)
    with torch.no_grad():
        policy.table.copy_(table)
    return policy


def test_the_step_is_the_published_gradient() -> None:
    """Where the teacher's logits are the student's plus the quality (PUB-015, SIM-187, SIM-188)."""
    stream = torch.Generator().manual_seed(3)
    table, quality = (torch.randn(4, 5, generator=stream, dtype=torch.float64) for _ in range(2))
    tokens, rewards = torch.randint(5, (7, 4), generator=stream), torch.rand(7, generator=stream, dtype=torch.float64)
    policy = free(table)
    every = torch.ones(7, 1).bool()
    rollouts = Rollouts(
        Prompts(every.long(), every, torch.zeros(7).long()), tokens, every.expand(7, 4), table[:1, :4].expand(7, 4)
    )
    teacher = GivenTeacher((table + quality + 3.0).expand(7, -1, -1))  # a shift of all logits means nothing
    trainer = AdvantageWeightedTrainer(policy, teacher, torch.optim.SGD(policy.parameters(), lr=1.0))
    report = trainer.step(rollouts, judged(rewards))
    published = advantage_weighted_gradient(table.softmax(-1)[None], tokens[None], rewards[None], quality[None])[0]
    assert_same(policy.table.detach() - table, -published)
    assert (report.teacher_updates, teacher.updates) == (1, 1)


PREFERENCE = torch.tensor([[[2.0, -1.0, -1.0], [0.5, 0.5, -1.0]]], dtype=torch.float64)


def advantages(completion: list[int], *, signed: bool = True, mask: Tensor | None = None, **changes: Tensor) -> Tensor:
    """Of a completion that is .2 above the mean of a group of two, beside the one that is .2 below."""
    ids = torch.tensor([completion] * 2)
    counts = torch.ones(2, 2).bool() if mask is None else mask
    rollouts = Rollouts(
        Prompts(ids[:, :1], counts[:, :1] | True, torch.zeros(2).long()), ids, counts, torch.zeros(2, 2)
    )
    usable = changes.get("usable", torch.ones(2).bool())
    view = TeacherView(changes.get("logits", PREFERENCE.expand(2, -1, -1)), usable)
    judgement = Judgement(torch.tensor([0.9, 0.5], dtype=torch.float64), (None, None))
    return weighted_advantages(rollouts, judgement, view, torch.zeros(2, 2, 3, dtype=torch.float64), signed=signed)


def test_shares_by_hand() -> None:
    """Preferences 2 and -1 above the mean 0 share .2 as two to one, with their sign or without (SIM-187)."""
    two, one = 0.2 * 2 / 3, 0.2 / 3
    assert advantages([0, 2])[0].tolist() == pytest.approx([two, -one])
    assert advantages([0, 2], signed=False)[0].tolist() == pytest.approx([two, one])
    assert advantages([0, 2], signed=False)[1].tolist() == pytest.approx([-two, -one])


def test_only_counted_tokens_share() -> None:
    """A masked token has no share and may hold anything; without feedback there is none to give (SIM-107, SIM-188)."""
    mask = torch.tensor([[True, False], [True, True]])
    spoilt = PREFERENCE.expand(2, -1, -1).clone()
    spoilt[0, 1] = torch.nan
    assert advantages([0, 2], mask=mask, logits=spoilt)[0].tolist() == pytest.approx([0.2, 0.0])
    assert advantages([0, 2], usable=torch.tensor([False, True]))[0].tolist() == [0.0, 0.0]


def test_an_impossible_token_does_not_count_in_the_mean() -> None:
    """A logit of minus infinity on either side leaves the mean to the others: .5 and .5 are then not above it."""
    cut = PREFERENCE.expand(2, -1, -1).clone()
    cut[:, 1, 2] = -torch.inf
    assert advantages([0, 0], logits=cut)[0].tolist() == pytest.approx([0.2, 0.0], abs=1e-8)


def test_where_the_teacher_prefers_nothing_nothing_moves() -> None:
    """Under constant feedback, to the last bit (SIM-071)."""
    policy = small_policy()
    rollouts = rollouts_of(policy, EVERY_COMPLETION, [0] * 9)
    own = policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask).detach()

    def make(trained: PrefixSumPolicy, optimizer: torch.optim.Optimizer) -> Trainer:
        return AdvantageWeightedTrainer(trained, GivenTeacher(own), optimizer, signed=False)

    moved, _ = change(policy, make, rollouts, REWARDS)
    assert not bool(moved.any())


@pytest.mark.parametrize(("signed", "gain"), [(True, 0.0), (False, 2 / 9)])
def test_with_their_sign_both_ends_rise_and_the_reward_does_not(signed: bool, gain: float) -> None:  # noqa: FBT001
    """One token of three, worth -1, 0 or 1, each equally likely; by hand, over all that can be sampled.

    Rewards times shares are 1, 0, 1 with signs and -1, 0, 1 without. The gradient of log p(v) is [v] - 1/3, so that the
    logits move by (1, -2, 1)/9 or by (-1, 0, 1)/3, and the gradient of the expected reward is (-1, 0, 1)/3.
    """
    policy = free(torch.zeros(1, 3, dtype=torch.float64))
    worth, tokens = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64), torch.tensor([[0], [1], [2]])
    every = torch.ones(3, 1).bool()
    rollouts = Rollouts(Prompts(tokens, every, torch.zeros(3).long()), tokens, every, torch.full((3, 1), 1 / 3).log())
    trainer = AdvantageWeightedTrainer(
        policy, GivenTeacher(worth.expand(3, 1, 3)), torch.optim.SGD(policy.parameters(), lr=1.0), signed=signed
    )
    trainer.step(rollouts, judged(worth))
    found = float((policy.table.detach()[0] * worth / 3).sum())
    assert found == pytest.approx(gain, abs=1e-7)
