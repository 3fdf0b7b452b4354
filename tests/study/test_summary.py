"""Means, paired differences and ratios over seeds, against numbers worked out elsewhere."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.study.summary import estimate, paired_difference, paired_ratio, standard_deviation

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8)
T_OF_4 = 2.7764451051977987
"""0.975 quantile of Student's t with 4 degrees of freedom, from a printed table."""


def test_an_interval_is_that_of_students_t() -> None:
    """Five values 1 to 5: standard deviation sqrt(5/2), so half the width is t sqrt(1/2)."""
    found = estimate([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found is not None
    assert (found.mean, found.count) == (3.0, 5)
    assert found.half_width == pytest.approx(T_OF_4 * math.sqrt(0.5), rel=1e-9)
    assert (found.low, found.high) == (3.0 - (found.half_width or 0), 3.0 + (found.half_width or 0))


def test_one_value_has_no_interval_and_none_no_mean() -> None:
    """A single seed says nothing about its own spread."""
    alone = estimate([2.0])
    assert alone is not None
    assert (alone.half_width, alone.low, alone.high) == (None, 2.0, 2.0)
    assert estimate([]) is None
    assert standard_deviation([2.0]) is None


@given(VALUES, st.floats(-1e3, 1e3))
def test_what_two_arms_share_cancels_in_pairs(values: list[float], luck: float) -> None:
    """The luck of a seed, added to both arms, leaves the difference and its interval as they are."""
    left = dict(enumerate(values))
    right = {seed: 0.5 * value for seed, value in left.items()}
    shared = {seed: luck * math.sin(seed) for seed in left}
    plain = paired_difference(left, right)
    lucky = paired_difference(
        {seed: value + shared[seed] for seed, value in left.items()},
        {seed: value + shared[seed] for seed, value in right.items()},
    )
    assert plain is not None
    assert lucky is not None
    assert lucky.mean == pytest.approx(plain.mean, abs=1e-8)
    assert lucky.half_width == pytest.approx(plain.half_width, abs=1e-8)


def test_only_shared_seeds_are_compared() -> None:
    """A seed that one arm lacks is no evidence about the difference."""
    found = paired_difference({0: 1.0, 1: 2.0, 7: 100.0}, {0: 0.0, 1: 0.0, 8: -100.0})
    assert found is not None
    assert (found.mean, found.count) == (1.5, 2)
    assert paired_difference({0: 1.0}, {1: 1.0}) is None


@given(VALUES, st.floats(0.1, 3.0))
def test_a_constant_ratio_is_certain(values: list[float], ratio: float) -> None:
    """If every seed has the same ratio there is nothing to be uncertain about, however the seeds differ."""
    below = {seed: 3000.0 + value for seed, value in enumerate(values)}
    spread = max(values) - min(values)
    found = paired_ratio({seed: ratio * value for seed, value in below.items()}, below)
    if found is None:
        assert spread > 100  # two far apart values do not even determine the sign of their mean
        return
    assert found.mean == pytest.approx(ratio)
    assert found.half_width == pytest.approx(0.0, abs=1e-9)


def test_a_ratio_to_what_may_be_zero_is_not_given() -> None:
    """It could be anything."""
    assert paired_ratio({0: 1.0, 1: 1.0}, {0: -1.0, 1: 2.0}) is None
    assert paired_ratio({0: 1.0}, {0: 0.0}) is None
