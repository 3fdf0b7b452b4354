"""Entropy, distinctness, distinct-n and KL against their enumeration, to 1e-12."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.settings import WorldSettings
from sdpo_ref.simulation.world.diversity import completion_entropy, distinct_n, distinctness, policy_kl
from sdpo_ref.simulation.world.exact import marginals
from sdpo_ref.simulation.world.world import World
from tests.simulation.world.brute_force import TINY, enumerated
from tests.simulation.world.conftest import Tiny

CLOSE = 1e-12


def test_entropy(tiny: Tiny) -> None:
    """The chain rule gives the entropy of the distribution over whole completions."""
    found = completion_entropy(tiny.log_probs)
    for prompt, truth in enumerate(tiny.truth):
        assert abs(float(found[prompt]) + sum(p * math.log(p) for p in truth.chances)) < CLOSE


def test_distinctness(tiny: Tiny) -> None:
    """Over all pairs of completions, the chance of differing at a position."""
    found = distinctness(tiny.log_probs)
    for prompt, truth in enumerate(tiny.truth):
        pairs = list(product(zip(truth.completions, truth.chances, strict=True), repeat=2))
        for position in range(tiny.world.settings.time):
            expected = sum(p * q for (y, p), (other, q) in pairs if y[position] != other[position])
            assert abs(float(found[prompt, position]) - expected) < CLOSE


@pytest.mark.parametrize("completions", [1, 2])
@pytest.mark.parametrize("n", [1, 2])
def test_distinct_n(tiny: Tiny, n: int, completions: int) -> None:
    """Over all samples of G completions, the mean of different n-grams over all n-grams."""
    time = tiny.world.settings.time
    if n > time:
        with pytest.raises(InvalidInputError, match="at most the length"):
            distinct_n(tiny.log_probs, n=n, completions=completions)
        return
    found = distinct_n(tiny.log_probs, n=n, completions=completions)
    for prompt, truth in enumerate(tiny.truth):
        expected = 0.0
        for sample in product(zip(truth.completions, truth.chances, strict=True), repeat=completions):
            different = {y[start : start + n] for y, _ in sample for start in range(time - n + 1)}
            expected += math.prod(p for _, p in sample) * len(different) / (completions * (time - n + 1))
        assert abs(float(found[prompt]) - expected) < CLOSE


@pytest.mark.parametrize(("n", "completions"), [(0, 1), (3, 1), (1, 0)])
def test_distinct_n_without_closed_form_is_refused(n: int, completions: int) -> None:
    """Longer n-grams are for samples, and the message says so."""
    with pytest.raises(InvalidInputError, match="in samples"):
        distinct_n(torch.full((1, 4, 2, 2), 0.5).log(), n=n, completions=completions)


def test_policy_kl(tiny: Tiny, other: FirstOrderPolicy) -> None:
    """The chain rule gives the KL between the distributions over whole completions."""
    found = policy_kl(tiny.log_probs, other.transition_log_probs().detach())
    for prompt, truth in enumerate(tiny.truth):
        compared = enumerated(tiny.world, other, prompt)
        expected = sum(p * math.log(p / q) for p, q in zip(truth.chances, compared.chances, strict=True))
        assert abs(float(found[prompt]) - expected) < CLOSE


def test_kl_of_unreachable_prefixes() -> None:
    """Where p never gets to, q may forbid what it likes; where p gets to and q cannot, KL is infinite."""
    never_one = torch.tensor([[1.0, 0.0], [0.5, 0.5]]).log().expand(1, 2, 2, 2).clone()
    never_one[:, 0] = torch.tensor([1.0, 0.0]).log()
    also_not_after_one = never_one.clone()
    also_not_after_one[:, 1, 1] = torch.tensor([1.0, 0.0]).log()
    assert policy_kl(never_one, also_not_after_one).tolist() == [0.0]
    assert policy_kl(torch.full((1, 2, 2, 2), 0.5).log(), never_one).tolist() == [math.inf]


@given(seed=st.integers(0, 10**6), time=st.integers(1, 5), vocab=st.integers(2, 6), spread=st.floats(0, 30))
def test_properties(seed: int, time: int, vocab: int, spread: float) -> None:
    """Ranges, for policies from uniform to certain; of itself, a policy has no KL."""
    sizes = {"prompts": 2, "time": time, "vocab": vocab, "aspects": 1, "embedding": 1}
    world = World.draw(WorldSettings(**sizes, base_spread=spread, grammar_spread=spread), seed=seed)
    log_probs = FirstOrderPolicy.base(world).transition_log_probs().detach()
    uniform = torch.full_like(log_probs, 1 / vocab).log()
    entropy, kl = completion_entropy(log_probs), policy_kl(log_probs, uniform)
    assert bool((entropy >= 0).all())
    assert float((entropy + kl - time * math.log(vocab)).abs().max()) < 1e-10
    assert bool((policy_kl(uniform, log_probs) >= 0).all())
    assert policy_kl(log_probs, log_probs).tolist() == [0.0, 0.0]
    assert bool((distinctness(log_probs) >= -CLOSE).all())
    assert bool((distinctness(log_probs) <= 1 - 1 / vocab + CLOSE).all())
    share = distinct_n(log_probs, n=1, completions=3)
    assert bool((share <= min(1, vocab / (3 * time)) + CLOSE).all())
    assert bool((share >= 1 / (3 * time) - CLOSE).all())


def test_grammar_lowers_entropy_below_that_of_marginals() -> None:
    """Whole-completion entropy sees what the previous token settles; that of the marginals does not."""
    world = World.draw(TINY.model_copy(update={"grammar_spread": 5.0}), seed=2)
    log_probs = FirstOrderPolicy.base(world).transition_log_probs().detach()
    of_marginals = torch.special.entr(marginals(log_probs)).sum((-2, -1))
    assert bool((completion_entropy(log_probs) < of_marginals - 0.1).all())
