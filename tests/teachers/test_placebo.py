"""Feedback that says nothing about the attempt: constant, or another prompt's."""

from collections import Counter
from dataclasses import FrozenInstanceError, dataclass, field

import pytest
import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.protocols import Policy
from sdpo_ref.simulation.settings import RegimeName
from sdpo_ref.simulation.teachers.placebo import ConstantFeedback, DerangedFeedback, deranged, derangement
from sdpo_ref.simulation.world import random_stream
from sdpo_ref.teachers.weights import Conditioning
from sdpo_ref.types import Feedback, Judgement, Rollouts, TeacherView
from tests.simulation.reader.problems import REGIMES, problem, rows_of, said_of


@dataclass
class Listening:
    """A conditioning that keeps what it is given to read."""

    received: list[Judgement] = field(default_factory=list)

    def view(self, policy: Policy, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """Nothing but the policy."""
        self.received.append(judgement)
        logits = policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
        return TeacherView(logits.detach(), torch.ones(len(judgement.feedback), dtype=torch.bool))


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("rating", [0.0, 0.3, 0.5, 0.7, 1.0])
def test_constant_feedback_leaves_the_student(regime: RegimeName, rating: float) -> None:
    """The teacher's logits are the student's, bit for bit (SIM-071)."""
    given = problem(regime)
    kinds = given.conditioning.reader.design.positions.shape[0]
    placebo = ConstantFeedback(given.conditioning, Feedback("So it is.", (rating,) * kinds))
    view = placebo.view(given.policy, given.rollouts, given.judgement)
    rollouts = given.rollouts
    expected = given.policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
    assert torch.equal(view.logits, expected.detach())
    honest = given.conditioning.view(given.policy, rollouts, given.judgement)
    assert not torch.equal(honest.logits, expected.detach())


def test_constant_feedback_says_one_thing() -> None:
    """Every rollout gets the same words and reward; ratings that differ among themselves are refused."""
    given, inner = problem("scalar"), Listening()
    given_feedback = Feedback("So it is.", (0.4,))
    ConstantFeedback(inner, given_feedback, reward=0.25).view(given.policy, given.rollouts, given.judgement)
    assert inner.received[0].feedback == (given_feedback,) * 18
    assert inner.received[0].rewards.tolist() == [0.25] * 18
    with pytest.raises(InvalidInputError, match="one number throughout"):
        ConstantFeedback(inner, Feedback("", (0.4, 0.5)))
    assert isinstance(ConstantFeedback(inner, given_feedback), Conditioning)


def test_constant_feedback_praises_nobody_and_stays_as_it_is() -> None:
    """By default its reward is zero, below every threshold of success; it cannot be changed later."""
    given, inner = problem("scalar"), Listening()
    placebo = ConstantFeedback(inner, Feedback("So it is."))
    placebo.view(given.policy, given.rollouts, given.judgement)
    assert inner.received[0].rewards.tolist() == [0.0] * 18
    with pytest.raises(FrozenInstanceError):
        placebo.reward = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("count", [2, 3, 4, 16])
def test_derangements_have_no_fixed_point(count: int) -> None:
    """Nothing stays in its place, in hundreds of draws (SIM-072)."""
    for seed in range(300):
        order = derangement(count, generator=random_stream(seed))
        assert sorted(order.tolist()) == list(range(count))
        assert not bool((order == torch.arange(count)).any())


def test_derangements_are_equally_likely() -> None:
    """All nine of four things occur about equally often."""
    seen = Counter(tuple(derangement(4, generator=random_stream(seed)).tolist()) for seed in range(1800))
    assert len(seen) == 9
    assert min(seen.values()) > 140
    assert max(seen.values()) < 265


@pytest.mark.parametrize("count", [0, 1])
def test_one_prompt_has_no_other_to_swap_with(count: int) -> None:
    """A batch of one prompt is refused, not left as it is."""
    with pytest.raises(InvalidInputError, match="2 or more prompts"):
        derangement(count, generator=random_stream(0))
    given = problem("scalar")
    rows = torch.arange(6)
    with pytest.raises(InvalidInputError, match="2 or more prompts"):
        DerangedFeedback(given.conditioning, seed=0).view(
            given.policy, rows_of(given.rollouts, rows), said_of(given.judgement, rows)
        )


def test_whole_groups_are_swapped() -> None:
    """Every rollout gets the feedback of another prompt's, each group of one other, in turn; rewards stay."""
    group_ids = torch.tensor([5, 5, 3, 3, 3, 9])
    given_feedback = tuple(Feedback(f"{group}.{row}") for row, group in enumerate(group_ids.tolist()))
    judgement = Judgement(torch.arange(6.0), given_feedback)
    found = deranged(judgement, group_ids, generator=random_stream(2))
    received = [one.text.split(".") for one in found.feedback if one is not None]
    source = {int(own): int(other) for own, (other, _) in zip(group_ids, received, strict=True)}
    assert sorted(source.values()) == [3, 5, 9]
    assert all(own != other for own, other in source.items())
    for own, other in source.items():
        rows = (group_ids == own).nonzero()[:, 0].tolist()
        others = (group_ids == other).nonzero()[:, 0].tolist()
        expected = [others[place % len(others)] for place in range(len(rows))]
        assert [int(received[row][1]) for row in rows] == expected
    assert torch.equal(found.rewards, judgement.rewards)


def test_the_swap_depends_on_seed_and_batch_alone() -> None:
    """Looking twice shows the same; another seed or another batch shows another swap, sooner or later."""
    inner = Listening()
    given, other = problem("scalar"), problem("scalar", seed=1)

    def received(seed: int, number: int) -> Judgement:
        one = (given, other)[number]
        DerangedFeedback(inner, seed=seed).view(one.policy, one.rollouts, one.judgement)
        return inner.received[-1]

    first = [received(seed, 0) for seed in range(8)]
    assert [received(seed, 0).feedback for seed in range(8)] == [one.feedback for one in first]
    assert len({one.feedback for one in first}) == 2  # three prompts have two derangements
    moved = [_source(first[seed], given.judgement) for seed in range(8)]
    elsewhere = [_source(received(seed, 1), other.judgement) for seed in range(8)]
    assert moved != elsewhere


def _source(received: Judgement, given_feedback: Judgement) -> int:
    return given_feedback.feedback.index(received.feedback[0])
