"""Self-BLEU against values worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.simulation.world.diversity import self_bleu


def test_alike_completions_score_one_and_different_ones_zero() -> None:
    """The ends of the scale."""
    assert self_bleu([[1, 2, 3, 4, 5]] * 3) == pytest.approx(1.0)
    assert self_bleu([[1, 2, 3, 4], [5, 6, 7, 8]]) == 0.0


def test_half_alike_by_hand() -> None:
    """1 2 3 4 against 1 2 5 6: two of four tokens, one of three bigrams, no longer n-gram."""
    expected = ((2 / 4) * (2 / 4) * (1 / 3) * (1 / 2)) ** (1 / 4)
    assert self_bleu([[1, 2, 3, 4], [1, 2, 5, 6]]) == pytest.approx(expected)


def test_counts_are_clipped() -> None:
    """A token that is said four times matches only as often as one of the others says it."""
    assert self_bleu([[7, 7, 7, 7], [7, 1, 2, 3]], longest=1) == pytest.approx((1 / 4 + 1 / 4) / 2)


@given(st.lists(st.lists(st.integers(0, 4), min_size=4, max_size=4), min_size=2, max_size=5))
def test_the_order_of_completions_does_not_count(completions: list[list[int]]) -> None:
    """Between 0 and 1, and equal for every order."""
    shuffled = completions[1:] + completions[:1]
    assert 0.0 <= self_bleu(completions) <= 1.0
    assert self_bleu(shuffled) == pytest.approx(self_bleu(completions))


def test_counts_are_clipped_by_one_reference_and_not_by_all() -> None:
    """Two others that say a token once each are not one that says it twice."""
    first, second, third = [7, 7, 1, 2], [7, 3, 4, 5], [7, 6, 8, 9]
    assert self_bleu([first, second, third], longest=1) == pytest.approx((1 / 4 + 1 / 4 + 1 / 4) / 3)
