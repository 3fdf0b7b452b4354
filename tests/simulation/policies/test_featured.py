"""The student with features: the base policy at first, and exact about itself once it has learned to combine them."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.log_probs import log_probs
from sdpo_ref.functional.policy_gradient import completion_log_probs
from sdpo_ref.protocols import Policy
from sdpo_ref.simulation.measure import Gauge
from sdpo_ref.simulation.policies.featured import FeaturedPolicy
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.teachers.read_feedback import ReadFeedback
from sdpo_ref.simulation.world import random_stream
from sdpo_ref.teachers.weights import EmaTeacher
from sdpo_ref.types import Prompts, Rollouts
from tests.simulation.reader.problems import SMALL, problem

GIVEN = problem("scalar")
FEATURES = torch.randn(SMALL.time, SMALL.vocab, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def untrained() -> FeaturedPolicy:
    return FeaturedPolicy.base(GIVEN.world, FEATURES)


def trained(seed: int = 1) -> FeaturedPolicy:
    """A policy that has learned something, in table and combination."""
    policy = untrained()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in policy.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator, dtype=torch.float64))
    return policy


def as_table(policy: FeaturedPolicy) -> FirstOrderPolicy:
    """The policy without features that should be the same: table entry plus combination, in loops."""
    table, learned = policy.table.detach().clone(), policy.combination.tolist()
    for x, t, v in torch.cartesian_prod(*map(torch.arange, table.shape)).tolist():
        table[x, t, v] += sum(learned[x][k] * float(FEATURES[t, v, k]) for k in range(2))
    return FirstOrderPolicy(table, policy.grammar)


def asked(count: int, prompt: int = 1) -> Prompts:
    """Rollouts of one prompt."""
    return Prompts(torch.zeros(count, 1).long(), torch.ones(count, 1).bool(), torch.full((count,), prompt))


def scored(policy: FirstOrderPolicy, rollouts: Rollouts = GIVEN.rollouts) -> Tensor:
    return policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)


def test_it_starts_as_the_base_policy() -> None:
    """With a combination of zero, logits, table and samples are those without features, bit for bit (SIM-026)."""
    policy, base = untrained(), FirstOrderPolicy.base(GIVEN.world)
    assert isinstance(policy, Policy)
    assert torch.equal(scored(policy), scored(base))
    assert torch.equal(policy.transition_log_probs(), base.transition_log_probs())
    samples = [
        one.sample(GIVEN.rollouts.prompts, num_tokens=4, generator=random_stream(0, "rollouts"))
        for one in (policy, base)
    ]
    assert torch.equal(samples[0].completions, samples[1].completions)
    assert torch.equal(samples[0].behaviour_log_probs, samples[1].behaviour_log_probs)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**16))
def test_it_is_the_policy_with_the_combined_table(seed: int) -> None:
    """Whatever was learned, everything about it is that of the first-order policy with the sum as table (SIM-026)."""
    policy = trained(seed)
    plain = as_table(policy)
    torch.testing.assert_close(scored(policy), scored(plain), rtol=0, atol=1e-12)
    torch.testing.assert_close(policy.transition_log_probs(), plain.transition_log_probs(), rtol=0, atol=1e-12)
    samples = [one.sample(asked(50), num_tokens=4, generator=random_stream(seed)) for one in (policy, plain)]
    assert torch.equal(samples[0].completions, samples[1].completions)


def test_transition_table_agrees_with_logits() -> None:
    """The measurements' table holds what the logits say after each previous token."""
    policy = trained()
    table, scores = policy.transition_log_probs(), log_probs(scored(policy))
    for row, (prompt, completion) in enumerate(
        zip(GIVEN.rollouts.prompts.group_ids.tolist(), GIVEN.rollouts.completions.tolist(), strict=True)
    ):
        for t, previous in enumerate([0, *completion[:-1]]):
            torch.testing.assert_close(table[prompt, t, previous], scores[row, t], rtol=0, atol=1e-14)


def test_sampling_follows_the_policy() -> None:
    """Frequencies of bigrams in many samples are those of the table, within five standard errors."""
    policy, count = trained(), 40_000
    rollouts = policy.sample(asked(count), num_tokens=2, generator=random_stream(0, "rollouts"))
    table = policy.transition_log_probs().detach()[1].exp()
    exact = (table[0, 0][:, None] * table[1]).flatten()
    pairs = rollouts.completions[:, 0] * SMALL.vocab + rollouts.completions[:, 1]
    found = torch.bincount(pairs, minlength=SMALL.vocab**2) / count
    assert float(((found - exact).abs() / (exact * (1 - exact) / count).sqrt()).max()) < 5
    chances = log_probs(scored(policy, rollouts)).gather(-1, rollouts.completions[..., None])[..., 0]
    torch.testing.assert_close(rollouts.behaviour_log_probs, chances.detach(), rtol=0, atol=1e-14)


def test_measurements_see_the_combination() -> None:
    """A combination that is good for the world raises the measured reward, without any change of the table."""
    policy, gauge = FeaturedPolicy.base(GIVEN.world, GIVEN.world.loadings), Gauge(GIVEN.world)
    before = gauge.measure(policy, step=0)
    assert before.reward == pytest.approx(0.0, abs=1e-12)
    with torch.no_grad():
        policy.combination.copy_(3 * GIVEN.world.taste)
    assert gauge.measure(policy, step=1).reward > 0.3


@pytest.mark.parametrize("name", ["table", "combination"])
def test_gradient_by_finite_differences(name: str) -> None:
    """Of the log-probability of completions and of the measurements' table, entry by entry."""

    def value(policy: FeaturedPolicy) -> Tensor:
        rollouts = GIVEN.rollouts
        chances = completion_log_probs(scored(policy), rollouts.completions, rollouts.completion_mask)
        return chances[::2].sum() + policy.transition_log_probs()[:, 2, 1, 3].sum()

    policy = trained()
    gradient = torch.autograd.grad(value(policy), dict(policy.named_parameters())[name])[0]
    assert gradient.abs().max() > 0.1
    for index in range(0, gradient.numel(), 1 if name == "combination" else 7):
        ends = []
        for step in (1e-5, -1e-5):
            moved = copy.deepcopy(policy)
            with torch.no_grad():
                dict(moved.named_parameters())[name].view(-1)[index] += step
            ends.append(float(value(moved).detach()))
        assert float(gradient.view(-1)[index]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6, abs=1e-8)


def test_weights_are_everything_and_live() -> None:
    """Table and combination learn, grammar and features do not; all in float64 and under their names."""
    policy = untrained()
    assert [name for name, _ in policy.named_parameters()] == ["table", "combination"]
    weights = policy.weights()
    assert set(weights) == {"table", "combination", "grammar", "features"}
    assert weights["combination"] is policy.combination
    assert not weights["features"].requires_grad
    assert {weight.dtype for weight in weights.values()} == {torch.float64}


def test_a_copy_is_a_policy_of_its_own() -> None:
    """Copies in memory are equal, and training one leaves the other, and the given features stay the reader's."""
    policy = trained()
    copied = copy.deepcopy(policy)
    assert torch.equal(scored(copied), scored(policy))
    before, features = scored(policy).detach().clone(), FEATURES.clone()
    with torch.no_grad():
        for weight in copied.weights().values():
            weight.add_(1.0)
        untrained().features.add_(1.0)
    assert torch.equal(scored(policy), before)
    assert torch.equal(FEATURES, features)


def test_an_averaged_teacher_follows_the_combination() -> None:
    """An EMA teacher moves table and combination by its rate, and its scores with them."""
    student = untrained()
    teacher = EmaTeacher(student, ReadFeedback(GIVEN.conditioning.reader, kappa=0.0), update_rate=0.25)
    start = scored(student).detach()
    with torch.no_grad():
        student.combination.add_(1.0)
        student.table.add_(0.5)
    teacher.update(student)
    found = teacher.view(GIVEN.rollouts, GIVEN.judgement).logits
    torch.testing.assert_close(found, start + 0.25 * (scored(student).detach() - start), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 6, 2), (3, 5, 2)])
def test_features_of_another_world_are_refused(shape: tuple[int, int, int]) -> None:
    """Other tokens, or other positions."""
    with pytest.raises(InvalidInputError, match=r"\[time, vocab, aspect\]"):
        FeaturedPolicy.base(GIVEN.world, torch.zeros(shape))


def test_features_that_are_no_numbers_are_refused() -> None:
    """NaN times zero is NaN, so a policy would be lost before its first step."""
    with pytest.raises(InvalidInputError, match="finite"):
        FeaturedPolicy.base(GIVEN.world, FEATURES.where(FEATURES < 1, torch.nan))
