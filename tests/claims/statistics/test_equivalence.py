"""The equivalence rule, paired and unpaired, and Welch's interval."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from sdpo_ref.claims.statistics.equivalence import EquivalenceRule
from sdpo_ref.claims.statistics.interval import Sample, welch_half_width
from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.errors import InvalidInputError
from sdpo_ref.study.summary import estimate, student_half_width

RULE = EquivalenceRule((8, 16, 32), alpha=0.05, beta=0.01, margin=0.1)
VALUES = st.lists(st.floats(-1.0, 1.0), min_size=8, max_size=40)


@pytest.mark.parametrize(
    ("difference", "outcome"),
    [
        (0.0, ClaimOutcome.PASS),
        (0.1, ClaimOutcome.PASS),
        (-0.1, ClaimOutcome.PASS),
        (0.101, ClaimOutcome.FAIL),
        (-0.101, ClaimOutcome.FAIL),
    ],
)
def test_a_certain_difference_is_within_the_margin_or_beyond(difference: float, outcome: ClaimOutcome) -> None:
    """Without spread the interval is a point, paired and unpaired; the margin itself is equivalent."""
    paired = RULE.decide([difference] * 8)
    assert (paired.outcome, paired.look, paired.interval) == (outcome, 0, (difference, difference))
    assert RULE.decide_unpaired([difference] * 8, [0.0] * 4).outcome is outcome


def test_no_difference_found_is_not_equivalence() -> None:
    """A mean of zero with a wide interval stays open, and says how many seeds would narrow it."""
    decision = RULE.decide([1.0, -1.0] * 16)
    assert decision.outcome is ClaimOutcome.INCONCLUSIVE
    assert decision.further_seeds is not None
    assert decision.further_seeds > 300


@given(VALUES)
def test_both_directions_are_the_same(differences: list[float]) -> None:
    """Left against right is as equivalent as right against left."""
    one, other = RULE.decide(differences), RULE.decide([-value for value in differences])
    assert (one.outcome, one.look, one.further_seeds) == (other.outcome, other.look, other.further_seeds)


@given(VALUES, st.floats(0.01, 1.0), st.floats(1.0, 3.0))
def test_a_wider_margin_never_takes_a_pass_away(differences: list[float], margin: float, factor: float) -> None:
    """Nor does it refute what a narrower one did not, at one look."""
    looks = (len(differences),)
    narrow, wide = (
        EquivalenceRule(looks, alpha=0.05, beta=0.01, margin=one).decide(differences).outcome
        for one in (margin, margin * factor)
    )
    order = [ClaimOutcome.FAIL, ClaimOutcome.INCONCLUSIVE, ClaimOutcome.PASS]
    assert order.index(wide) >= order.index(narrow)


@given(VALUES, VALUES)
def test_welchs_interval_is_that_of_the_test(left: list[float], right: list[float]) -> None:
    """Against SciPy's interval for the difference of two means with unequal spreads."""
    one, other = Sample.from_values(left), Sample.from_values(right)
    if one.spread < 1e-6 or other.spread < 1e-6:
        return
    low, high = ttest_ind(left, right, equal_var=False).confidence_interval(0.9)
    half = welch_half_width(one.spread, one.count, other, 0.9)
    assert (one.mean - other.mean - half, one.mean - other.mean + half) == pytest.approx((low, high), abs=1e-9)


@given(st.lists(st.floats(-10.0, 10.0), min_size=2, max_size=20))
def test_students_interval_is_that_of_the_study(values: list[float]) -> None:
    """The intervals that decide and those that the report shows are of one kind."""
    sample, shown = Sample.from_values(values), estimate(values)
    assert shown is not None
    assert student_half_width(sample.spread, sample.count, 0.95) == pytest.approx(shown.half_width, abs=1e-12)


def test_without_spread_there_is_no_width() -> None:
    """Neither Student's nor Welch's interval divides by zero, and equal values that round badly have no spread."""
    still = Sample.from_values([0.1] * 7)
    assert (still.mean, still.spread, still.largest_residual) == (0.1, 0.0, 0.0)
    assert student_half_width(0.0, 7, 0.9) == 0.0
    assert welch_half_width(0.0, 7, still, 0.9) == 0.0
    moving = Sample.from_values([0.0, 1.0, 2.0])
    assert welch_half_width(0.0, 7, moving, 0.9) == pytest.approx(student_half_width(moving.spread, 3, 0.9))
    with pytest.raises(InvalidInputError, match="at least 2"):
        Sample.from_values([1.0])


def test_a_reference_that_is_too_uncertain_cannot_be_cured_by_more_seeds() -> None:
    """Three stored values bound the difference by their own spread, however many seeds are run."""
    decision = RULE.decide_unpaired([0.0, 0.01] * 16, [-0.5, 0.0, 0.5])
    assert (decision.outcome, decision.further_seeds) == (ClaimOutcome.INCONCLUSIVE, None)


def test_the_reference_is_used_whole_at_every_look() -> None:
    """Its mean is 0.05 only over all of its values; the first eight alone would give 0."""
    stored = [0.0] * 8 + [0.1] * 8
    decision = RULE.decide_unpaired([0.05] * 8, stored)
    assert decision.mean == pytest.approx(0.0)
    assert (decision.outcome, decision.look) == (ClaimOutcome.PASS, 0)


def test_values_that_are_not_finite() -> None:
    """In the implementation they make the outcome INVALID; in the stored reference they are an error."""
    assert RULE.decide([0.0] * 7 + [math.nan]).outcome is ClaimOutcome.INVALID
    decision = RULE.decide_unpaired([0.0] * 3 + [math.inf] * 5, [0.0, 1.0])
    assert decision.outcome is ClaimOutcome.INVALID
    assert "value 3" in decision.reason
    with pytest.raises(InvalidInputError, match="store the reference anew"):
        RULE.decide_unpaired([0.0] * 8, [0.0, math.nan])


@pytest.mark.parametrize("wrong", [{"margin": 0.0}, {"margin": math.inf}, {"looks": (4,)}, {"beta": 0.0}])
def test_a_design_that_cannot_work_is_refused(wrong: dict[str, object]) -> None:
    """A margin is a finite positive number, and a look has the seeds that a decision needs."""
    design: dict[str, object] = {"looks": (8,), "alpha": 0.05, "beta": 0.01, "margin": 0.1}
    with pytest.raises(InvalidInputError, match="received"):
        EquivalenceRule(**{**design, **wrong})  # type: ignore[arg-type]
