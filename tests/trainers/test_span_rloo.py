"""Span RLOO: equal to RLOO where they must be, credit where it was said, and what does not take part."""

import copy
import itertools
import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.policy_gradient import leave_one_out_advantages
from sdpo_ref.protocols import Trainer
from sdpo_ref.simulation.oracles import CritiqueOracle
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.world import World
from sdpo_ref.trainers.rloo import RlooTrainer
from sdpo_ref.trainers.span_rloo import SpanRlooTrainer, span_advantages
from sdpo_ref.types import Feedback, Judgement, Prompts, Rollouts
from tests.simulation.reader.problems import SMALL, problem
from tests.trainers.problems import Maker, assert_same, flat, judged, rollouts_of, sampled, small_policy

GROUPS = [0, 1, 0, 1, 0]


def critique(ratings: list[list[float] | None]) -> Judgement:
    """Feedback from rows of ratings; the rewards contradict it, and must not matter."""
    said = tuple(None if row is None else Feedback("", tuple(row)) for row in ratings)
    return Judgement(torch.arange(len(ratings)).double() * -7, said)


def moved(make: Maker, rollouts: Rollouts, judgement: Judgement) -> Tensor:
    """By how much one step of plain gradient descent moves the small policy."""
    policy = small_policy()
    before = flat(policy)
    make(policy, torch.optim.SGD(policy.parameters(), lr=1.0)).step(rollouts, judgement)
    return flat(policy) - before


def test_it_is_a_trainer() -> None:
    """It has the parts of the protocol and trains the policy that it was given."""
    policy = small_policy()
    trainer = SpanRlooTrainer(policy, torch.optim.SGD(policy.parameters(), lr=0.1), spans=2)
    assert isinstance(trainer, Trainer)
    assert trainer.policy is policy


def test_with_one_span_it_is_rloo() -> None:
    """One rating, equal to the reward: the same weights to the last bit, with a penalty too (SIM-174)."""
    rollouts = sampled(small_policy(), GROUPS)
    rewards = torch.rand(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    judgement = Judgement(rewards, tuple(Feedback("", (reward,)) for reward in rewards.tolist()))
    for options in ({}, {"reference": small_policy(1), "kl_weight": 0.1, "aggregation": "token_mean"}):
        span = moved(partial(SpanRlooTrainer, spans=1, **options), rollouts, judgement)  # type: ignore[arg-type]
        plain = moved(partial(RlooTrainer, **options), rollouts, judged(rewards))  # type: ignore[arg-type]
        assert torch.equal(span, plain)
        assert span.abs().max() > 1e-3


def test_equal_spans_are_rloo() -> None:
    """When every span is rated as the whole, where it was said makes no difference."""
    rollouts = sampled(small_policy(), GROUPS)
    rewards = [0.3, 0.9, 0.1, 0.5, 0.8]
    span = moved(partial(SpanRlooTrainer, spans=3), rollouts, critique([[reward] * 3 for reward in rewards]))
    assert_same(span, moved(RlooTrainer, rollouts, judged(torch.tensor(rewards, dtype=torch.float64))))


def test_advantages_by_hand() -> None:
    """Each span against the same span of its siblings; five positions in two spans are three and two (SIM-174)."""
    rollouts = sampled(small_policy(), GROUPS, time=5)
    found = span_advantages(rollouts, critique([[1.0, 0.0], [0.5, 0.5], [0.0, 0.6], [0.0, 1.0], [0.2, 0.0]]), spans=2)
    expected = [[0.9, -0.3], [0.5, -0.5], [-0.6, 0.6], [-0.5, 0.5], [-0.3, -0.3]]
    assert_same(found, torch.tensor([[a, a, a, b, b] for a, b in expected], dtype=torch.float64))


def test_spans_are_those_of_the_critique() -> None:
    """A position whose worth is changed changes the rating of the span whose tokens get the advantage (SIM-034)."""
    world = World.draw(SMALL, seed=3)
    rollouts = problem("critique").rollouts
    plain = CritiqueOracle(world, 0.0, 3).judge(rollouts, generator=torch.Generator().manual_seed(0))
    for position in range(SMALL.time):
        quality = world.quality.clone()
        quality[rollouts.prompts.group_ids[0], position, rollouts.completions[0, position]] += 3.0
        changed = replace(world, quality=quality)
        other = CritiqueOracle(changed, 0.0, 3).judge(rollouts, generator=torch.Generator().manual_seed(0))
        before, after = (span_advantages(rollouts, judgement, spans=3) for judgement in (plain, other))
        differs = (after - before)[0].abs() > 1e-9
        spans = torch.arange(SMALL.time).tensor_split(3)
        (own,) = (span for span in spans if position in span)
        assert differs.nonzero()[:, 0].tolist() == own.tolist()


def test_the_expected_step_is_the_gradient_of_the_ratings_where_spans_do_not_depend_on_each_other() -> None:
    """Without a grammar, one token a span: d/dw of the sum of the expected ratings, by enumeration."""
    table = torch.randn(1, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    worth = torch.rand(2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    start = FirstOrderPolicy(table, torch.zeros(3, 3).double())
    completions = torch.tensor(list(itertools.product(range(3), repeat=2)))
    ratings = worth[torch.arange(2), completions]
    (expected,) = torch.autograd.grad((start.table[0].softmax(-1) * worth).sum(), start.table)
    found = torch.zeros_like(table)
    for pair in itertools.product(range(9), repeat=2):
        policy, rows = copy.deepcopy(start), list(pair)
        rollouts = rollouts_of(policy, completions[rows], [0, 0])
        trainer = SpanRlooTrainer(policy, torch.optim.SGD(policy.parameters(), lr=1.0), spans=2)
        trainer.step(rollouts, critique(ratings[rows].tolist()))
        found += rollouts.behaviour_log_probs.sum().exp() * (policy.table.detach() - table)
    assert_same(found, expected)


def test_without_feedback_a_rollout_takes_no_part() -> None:
    """Its advantage is zero, and the others are compared as if it were not there (SIM-175)."""
    rollouts = sampled(small_policy(), GROUPS)
    rows: list[list[float] | None] = [[1.0, 0.0], [0.5, 0.5], None, [0.0, 1.0], [0.2, 0.6]]
    found = span_advantages(rollouts, critique(rows), spans=2)
    assert not found[2].any()
    kept = torch.tensor([0, 1, 3, 4])
    assert torch.equal(found[kept], span_advantages(rollouts.select(kept), critique(rows).select(kept), spans=2))


@pytest.mark.parametrize("rows", [[None] * 5, [[0.1], [0.9], None, None, None], [[0.4]] * 5])
def test_nothing_to_compare_changes_nothing(rows: list[list[float] | None]) -> None:
    """No feedback at all, one rollout a group with feedback, or equal ratings (SIM-107)."""
    change = moved(partial(SpanRlooTrainer, spans=1), sampled(small_policy(), GROUPS), critique(rows))
    assert change.abs().max() < 1e-15


def test_masked_positions_hold_anything() -> None:
    """What stands behind the end of a completion has no say; positions keep their spans (SIM-107)."""
    mask = torch.tensor([[True, True, True, False], [True, True, False, False], [False] * 4])
    said = critique([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    found = []
    for junk, chance in ((2, 0.0), (0, math.nan)):
        completions = torch.where(mask, torch.tensor([[0, 1, 2, 0]]), junk)
        rollouts = rollouts_of(small_policy(), completions, [0, 0, 0], mask)
        rollouts.behaviour_log_probs[~mask] = chance
        found.append(moved(partial(SpanRlooTrainer, spans=2), rollouts, said))
    assert torch.isfinite(found[0]).all()
    assert found[0].any()
    assert_same(found[0], found[1])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 6).flatmap(lambda time: st.tuples(st.just(time), st.integers(1, time))),
    st.lists(st.tuples(st.integers(-2, 2), st.booleans()), min_size=1, max_size=9),
    st.integers(0, 2**16),
)
def test_each_span_is_rloo_on_its_rating(sizes: tuple[int, int], members: list[tuple[int, bool]], seed: int) -> None:
    """Any groups, gaps, lengths and spans: a span's advantages are RLOO's with its rating as reward (SIM-174)."""
    time, spans = sizes
    count = len(members)
    groups = torch.tensor([group for group, _ in members])
    told = torch.tensor([has for _, has in members])
    ratings = torch.rand(count, spans, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    said = critique([row if has else None for row, (_, has) in zip(ratings.tolist(), members, strict=True)])
    everything = torch.ones(count, time).bool()
    prompts = Prompts(groups[:, None], torch.ones(count, 1).bool(), groups)
    found = span_advantages(Rollouts(prompts, everything.long(), everything, everything.double()), said, spans=spans)
    for span, positions in enumerate(torch.arange(time).tensor_split(spans)):
        expected = torch.zeros(count).double()
        expected[told] = leave_one_out_advantages(ratings[told, span], groups[told])
        for position in positions.tolist():
            assert_same(found[:, position], expected)


def test_strange_feedback_is_refused() -> None:
    """Another number of ratings, a rating that is no number, and spans that cannot be."""
    policy, rollouts = small_policy(), sampled(small_policy(), GROUPS)
    optimizer = torch.optim.SGD(policy.parameters(), lr=1.0)
    before = flat(policy)
    with pytest.raises(InvalidInputError, match="2 ratings, allowed is one for each of 3 spans"):
        SpanRlooTrainer(policy, optimizer, spans=3).step(rollouts, critique([None, *[[0.1, 0.2]] * 4]))
    with pytest.raises(InvalidInputError, match="ratings must be finite"):
        SpanRlooTrainer(policy, optimizer, spans=1).step(rollouts, critique([*[[0.1]] * 4, [math.nan]]))
    with pytest.raises(InvalidInputError, match=r"spans must lie in \[1, 4\]"):
        SpanRlooTrainer(policy, optimizer, spans=5).step(rollouts, critique([[0.1] * 5] * 5))
    with pytest.raises(InvalidInputError, match="spans must be at least 1, received 0"):
        SpanRlooTrainer(policy, optimizer, spans=0)
    assert torch.equal(flat(policy), before)
