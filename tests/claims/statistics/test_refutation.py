"""What a refuted direction is instead (STAT-030 to STAT-033)."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.claims.statistics.refutation import Kind, refutation
from sdpo_ref.claims.statistics.sign_rule import SignRule

RULE = SignRule(looks=(8, 16, 32, 64), alpha=0.05, beta=0.01, comparisons=4)
RESOLUTION = 0.001

VALUES = st.lists(
    st.one_of(st.floats(-0.05, 0.05), st.sampled_from([0.0, 0.0009, -0.001, 0.009, 0.011, -0.011])),
    min_size=2,
    max_size=80,
)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([-0.02] * 8, Kind.REVERSED),
        ([0.1, *[-0.02] * 8, 0.1, 0.1, *[-0.02] * 5], Kind.REVERSED),  # 13 of 16, at the second look
        ([0.03, -0.01] * 16, Kind.SMALLER),
        ([0.002] * 5 + [0.0001] * 5, Kind.SMALLER),  # above zero and within the margin: the sign comes first
        ([0.009, -0.009] * 8, Kind.LEVEL),
        ([0.0] * 8, Kind.LEVEL),
        ([0.1, -0.1] * 8, None),
        ([-0.03, -0.03, -0.03], None),  # behind, and too few for a look
    ],
)
def test_kinds_by_hand(values: list[float], kind: Kind | None) -> None:
    """Eight, or thirteen of sixteen, are the rule's boundaries; the margin is .01."""
    found = refutation(values, RULE, resolution=RESOLUTION)
    assert found is not None
    assert found.kind == kind


@pytest.mark.parametrize("values", [[], [0.1], [0.1] * 8 + [math.nan], [0.1] * 8 + [math.inf]])
def test_nothing_is_said_where_a_value_is_missing(values: list[float]) -> None:
    """Also beyond the looks: the mean needs every one."""
    assert refutation(values, RULE, resolution=RESOLUTION) is None


@given(VALUES)
def test_a_kind_is_what_its_definition_says(values: list[float]) -> None:
    """Against scipy's interval and the rule on the opposites, in the order REVERSED, SMALLER, LEVEL."""
    found = refutation(values, RULE, resolution=RESOLUTION)
    assert found is not None
    count, mean = len(values), math.fsum(values) / len(values)
    scale = statistics.stdev(values) / math.sqrt(count)
    low, high = (mean, mean) if scale == 0.0 else stats.t.interval(0.9, count - 1, mean, scale)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert found.wins == sum(value >= RESOLUTION for value in values)
    reversed_ = RULE.decide([-value for value in values], resolution=RESOLUTION).outcome is ClaimOutcome.PASS
    expected = (
        Kind.REVERSED
        if reversed_
        else Kind.SMALLER
        if found.low > 0
        else Kind.LEVEL
        if max(-found.low, found.high) <= 10 * RESOLUTION
        else None
    )
    assert found.kind is expected


@given(VALUES)
def test_what_passes_is_not_reversed(values: list[float]) -> None:
    """One sequence cannot pass the rule both ways at its first deciding look."""
    first = SignRule(RULE.looks[:1], RULE.alpha, RULE.beta, RULE.comparisons)
    found = refutation(values, first, resolution=RESOLUTION)
    assert found is not None
    if first.decide(values, resolution=RESOLUTION).outcome is ClaimOutcome.PASS:
        assert found.kind is not Kind.REVERSED


@given(VALUES, st.integers(-8, 8))
def test_the_unit_does_not_matter(values: list[float], power: int) -> None:
    """Values and resolution in another unit have the same kind."""
    scale = 2.0**power
    here = refutation(values, RULE, resolution=RESOLUTION)
    there = refutation([scale * value for value in values], RULE, resolution=scale * RESOLUTION)
    assert here is not None
    assert there is not None
    assert here.kind is there.kind
