"""What the published study measures: credit, entropy, exact rewards."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpo_ref.published.metrics import (
    METRICS,
    credit,
    distinctness,
    entropy,
    every_completion_reward,
    expected_reward,
)
from sdpo_ref.published.run import run_batch, sample
from sdpo_ref.published.settings import MethodName, PublishedSettings
from sdpo_ref.published.world import World


def _tables(*, time: int, vocab: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.randn(2, 1, time, vocab, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn[0], drawn[1]


tables = st.builds(_tables, time=st.integers(1, 4), vocab=st.integers(2, 6), seed=st.integers(0, 2**32))


@settings(max_examples=25)
@given(tables, st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_credit_is_a_correlation(pair: tuple[torch.Tensor, torch.Tensor], scale: float, shift: float) -> None:
    """In [-1, 1]; size and level do not matter, the sign does, and quality's level is not seen (PUB-021)."""
    update, quality = pair
    found = credit(update, quality)
    assert -1 - 1e-12 <= found.item() <= 1 + 1e-12
    torch.testing.assert_close(credit(scale * update + shift, quality), found)
    torch.testing.assert_close(credit(-scale * update, quality), -found)
    torch.testing.assert_close(credit(update, quality - (quality.softmax(-1) * quality).sum(-1, keepdim=True)), found)
    torch.testing.assert_close(credit(scale * quality, quality), torch.ones_like(found))


def test_credit_is_the_mean_of_pearson_over_positions() -> None:
    """Beside numpy's own correlation."""
    update, quality = _tables(time=3, vocab=5, seed=1)
    each = [float(torch.corrcoef(torch.stack((update[0, t], quality[0, t])))[0, 1]) for t in range(3)]
    assert credit(update, quality).item() == pytest.approx(sum(each) / 3)


def test_a_constant_update_has_no_credit() -> None:
    """Nor has one that is constant up to rounding; one that is not a number stays so."""
    quality = torch.tensor([[[0.3, -0.1, 0.7], [1.0, 2.0, 3.0]]], dtype=torch.float64)
    update = torch.tensor([[[0.25, 0.25, 0.25], [1.0, 2.0, 3.0]]], dtype=torch.float64)
    assert credit(update, quality).item() == pytest.approx(0.5)
    update[0, 0] += 1e-16 * quality[0, 0]
    update[0, 0, 0] += 3e-17
    assert credit(update - 0.25, quality).item() == pytest.approx(0.5)
    tiny = torch.tensor([[[1e-12, 0.0, -1e-12], [0.0, 0.0, 0.0]]], dtype=torch.float64)
    assert abs(credit(tiny, quality).item()) > 0.1
    assert credit(update * torch.nan, quality).isnan().all()


@settings(max_examples=25)
@given(tables)
def test_entropy_and_distinctness_are_largest_where_all_tokens_are_equal(
    pair: tuple[torch.Tensor, torch.Tensor],
) -> None:
    """Between one token and ln V, 1 - 1/V (PUB-022)."""
    student, vocab = pair[0].softmax(-1), pair[0].shape[-1]
    assert 0 < entropy(student).item() <= math.log(vocab) + 1e-12
    assert 0 < distinctness(student).item() <= 1 - 1 / vocab + 1e-12
    uniform = torch.full_like(student, 1 / vocab)
    assert entropy(uniform).item() == pytest.approx(math.log(vocab))
    assert distinctness(uniform).item() == pytest.approx(1 - 1 / vocab)
    certain = torch.nn.functional.one_hot(student.argmax(-1), vocab).to(student)
    assert entropy(certain).item() == distinctness(certain).item() == 0.0
    torch.testing.assert_close(entropy(student), -(student * student.log()).sum(-1).mean(-1))


@pytest.mark.parametrize(("vocab", "time"), [(2, 1), (3, 4), (5, 2)])
def test_the_expected_reward_is_that_of_all_completions(vocab: int, time: int) -> None:
    """One by one, and as a mean of many samples within five standard errors (PUB-023)."""
    world = World.draw(PublishedSettings(vocab=vocab, time=time), seed=vocab)
    student = _tables(time=time, vocab=vocab, seed=vocab)[0].softmax(-1)
    listed = every_completion_reward(world)
    assert listed is not None
    found = expected_reward(student[0], listed)
    brute = 0.0
    for index, tokens in enumerate(product(range(vocab), repeat=time)):
        reward = world.reward(torch.tensor([tokens])).item()
        assert listed[index].item() == pytest.approx(reward)
        brute += reward * math.prod(student[0, t, token].item() for t, token in enumerate(tokens))
    assert found == pytest.approx(brute)
    uniform = torch.rand(1, 20_000, time, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sampled = world.reward(sample(student, uniform)[0])
    assert abs(sampled.mean().item() - found) < 5 * sampled.std().item() / 20_000**0.5


def test_how_many_completions_are_listed() -> None:
    """As many as the published size has, and no more."""
    for vocab, time in ((8, 6), (2, 18)):
        listed = every_completion_reward(World.draw(PublishedSettings(vocab=vocab, time=time), seed=1))
        assert listed is not None
        assert listed.shape == (2**18,)
    for vocab, time in ((9, 6), (2, 19)):
        assert every_completion_reward(World.draw(PublishedSettings(vocab=vocab, time=time), seed=1)) is None


@pytest.mark.parametrize("method", ["sdpo", "hybrid", "reinforce", "advantage_weighted"])
def test_a_run_has_the_metrics_that_exist_for_it(method: MethodName) -> None:
    """Averages over steps are those of its curve; derived ones follow from others (PUB-020, PUB-024)."""
    settings = PublishedSettings(method=method, vocab=3, time=2, rollouts=8, steps=60, learning_rate=0.5)
    (measured,) = run_batch([settings], [1])
    found, weights = measured.metrics, {"weight_first", "weight_last", "weight_gain"}
    absent = {
        "sdpo": weights,
        "hybrid": set(),
        "reinforce": weights | {"mean_feedback"},
        "advantage_weighted": weights | {"mean_feedback"},
    }[method]
    assert found.keys() == METRICS.keys() - absent
    assert measured.steps == (10, 20, 30, 40, 50, 60)
    assert found["final_reward"] == pytest.approx(sum(measured.rewards[-2:]) / 2)
    assert found["early_reward"] == pytest.approx(sum(measured.rewards[3:5]) / 2)
    assert found["final_entropy"] == pytest.approx(measured.entropies[-1])
    assert found["entropy_lost"] == pytest.approx(1 - found["final_entropy"] / math.log(3))
    if method == "hybrid":
        assert found["weight_gain"] == pytest.approx(found["weight_last"] - found["weight_first"])
    assert found["credit_of_gradient"] == -found["credit"] != 0
