"""The magnitude rule: two bands, and an interval that has to be inside one or clear of the other."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.claims.statistics.magnitude import MagnitudeRule
from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.errors import InvalidInputError

CLAIMED, TOLERATED = (0.15, 0.2), (0.1, 0.25)
RULE = MagnitudeRule((8, 16, 32, 64), alpha=0.05, beta=0.01, claimed=CLAIMED, tolerated=TOLERATED)
T_OF_15_FOR_90 = 1.7530503556925547
"""0.95 quantile of Student's t with 15 degrees of freedom, from a printed table."""


def around(mean: float, deviation: float, seeds: int) -> list[float]:
    """Values whose mean and sample standard deviation are as given, for an even number of seeds."""
    step = deviation * math.sqrt((seeds - 1) / seeds)
    return [mean + step, mean - step] * (seeds // 2)


@pytest.mark.parametrize(
    ("mean", "outcome"),
    [
        (0.175, ClaimOutcome.PASS),
        (0.11, ClaimOutcome.PASS),
        (0.099, ClaimOutcome.FAIL),
        (0.3, ClaimOutcome.FAIL),
        (-1.0, ClaimOutcome.FAIL),
    ],
)
def test_a_certain_mean_is_inside_or_outside(mean: float, outcome: ClaimOutcome) -> None:
    """Without spread the interval is a point: PASS wherever that is tolerated, FAIL elsewhere, at the first look."""
    decision = RULE.decide([mean] * 64)
    assert (decision.outcome, decision.look, decision.seeds) == (outcome, 1, 16)
    assert decision.interval == (mean, mean)


def test_the_edge_of_the_tolerated_band_belongs_to_it() -> None:
    """Exactly 0.25 is tolerated; and the claimed band's own edge does not refute it."""
    assert RULE.decide([0.25] * 16).outcome is ClaimOutcome.PASS
    claimed_only = MagnitudeRule((16,), alpha=0.05, beta=0.01, claimed=CLAIMED, tolerated=CLAIMED)
    assert claimed_only.decide([0.2] * 16).outcome is ClaimOutcome.PASS


@pytest.mark.parametrize(("factor", "outcome"), [(0.999, ClaimOutcome.PASS), (1.001, ClaimOutcome.INCONCLUSIVE)])
def test_pass_needs_students_90_percent_interval_inside(factor: float, outcome: ClaimOutcome) -> None:
    """With one look and alpha 5 %, half a width of t/sqrt(n) standard deviations must fit beside the mean."""
    rule = MagnitudeRule((16,), alpha=0.05, beta=0.01, claimed=CLAIMED, tolerated=TOLERATED)
    deviation = factor * 0.075 * math.sqrt(16) / T_OF_15_FOR_90
    decision = rule.decide(around(0.175, deviation, 16))
    assert decision.outcome is outcome
    assert decision.interval == pytest.approx((0.175 - factor * 0.075, 0.175 + factor * 0.075))


def test_looks_below_the_least_seeds_decide_and_spend_nothing() -> None:
    """Looks at 4 and 8 change neither the outcome nor the confidence; they only shift the index of the look."""
    plain = MagnitudeRule((16, 32), alpha=0.05, beta=0.01, claimed=CLAIMED, tolerated=TOLERATED)
    early = MagnitudeRule((4, 8, 16, 32), alpha=0.05, beta=0.01, claimed=CLAIMED, tolerated=TOLERATED)
    for deviation in (0.01, 0.1, 0.14, 0.15, 0.16, 0.2):
        values = around(0.175, deviation, 32)
        one, other = plain.decide(values), early.decide(values)
        assert (one.outcome, one.reason, one.further_seeds) == (other.outcome, other.reason, other.further_seeds)
        assert one.look is None or other.look == one.look + 2
    waiting = early.decide([0.175] * 8)
    assert (waiting.outcome, waiting.further_seeds) == (ClaimOutcome.INCONCLUSIVE, 8)


def test_more_comparisons_make_fail_harder_and_leave_pass_alone() -> None:
    """FAIL is a union over comparisons and shares beta; PASS is an intersection."""
    alone = MagnitudeRule((16,), alpha=0.05, beta=0.01, claimed=CLAIMED, tolerated=TOLERATED)
    many = MagnitudeRule((16,), alpha=0.05, beta=0.01, claimed=CLAIMED, tolerated=TOLERATED, comparisons=50)
    refuting, passing = around(0.28, 0.1, 16), around(0.175, 0.16, 16)
    assert (alone.decide(refuting).outcome, many.decide(refuting).outcome) == (
        ClaimOutcome.FAIL,
        ClaimOutcome.INCONCLUSIVE,
    )
    assert (alone.decide(passing).outcome, many.decide(passing).outcome) == (ClaimOutcome.PASS, ClaimOutcome.PASS)


def test_an_outlier_keeps_a_look_from_deciding() -> None:
    """One of 64 values far from the rest: 7.9 standard deviations, whatever its size, where 4.5 are allowed."""
    rule = MagnitudeRule((64,), alpha=0.05, beta=0.01, claimed=CLAIMED, tolerated=TOLERATED)
    values = [*around(0.175, 0.0001, 62), 0.175, 0.275]
    decision = rule.decide(values)
    assert (decision.outcome, decision.further_seeds) == (ClaimOutcome.INCONCLUSIVE, None)
    assert "standard deviations" in decision.reason
    lenient = MagnitudeRule((64,), alpha=0.05, beta=0.01, claimed=CLAIMED, tolerated=TOLERATED, largest_residual=8.0)
    assert lenient.decide(values).outcome is ClaimOutcome.PASS


def test_no_residual_can_exceed_the_bound_below_23_seeds() -> None:
    """The largest possible residual of n values is (n - 1)/sqrt(n): 4.48 for 22, 4.59 for 23."""
    for seeds, outcome in ((22, ClaimOutcome.PASS), (23, ClaimOutcome.INCONCLUSIVE)):
        rule = MagnitudeRule((seeds,), alpha=0.05, beta=0.01, claimed=CLAIMED, tolerated=TOLERATED)
        assert rule.decide([0.175] * (seeds - 1) + [0.18]).outcome is outcome


@given(st.floats(-0.2, 0.5), st.floats(0.001, 0.5), st.sampled_from([16, 20, 32, 64]))
def test_further_seeds_would_decide_and_one_look_less_would_not(mean: float, deviation: float, seeds: int) -> None:
    """The same mean and spread over the named number of seeds decide; within the looks, the look before does not."""
    decision = RULE.decide(around(mean, deviation, seeds))
    if decision.further_seeds is None:
        return
    needed = seeds + decision.further_seeds
    if needed <= 64:
        assert needed in RULE.looks
        later = around(mean, deviation, needed)
        assert RULE.decide(later).outcome is not ClaimOutcome.INCONCLUSIVE
    elif needed < 100_000:
        longer = [
            MagnitudeRule((16, 32, count), alpha=0.05, beta=0.01, claimed=CLAIMED, tolerated=TOLERATED)
            for count in (needed + needed % 2, needed - 2 - needed % 2)
        ]
        assert longer[0].decide(around(mean, deviation, needed + needed % 2)).outcome is not ClaimOutcome.INCONCLUSIVE
        if needed - 2 - needed % 2 > 64:
            before = longer[1].decide(around(mean, deviation, needed - 2 - needed % 2))
            assert before.outcome is ClaimOutcome.INCONCLUSIVE


def test_a_mean_on_a_shared_edge_is_never_decided() -> None:
    """Where the bands share an edge and the mean is on it, no number of seeds tells inside from outside."""
    rule = MagnitudeRule((16,), alpha=0.05, beta=0.01, claimed=(0.0, 0.25), tolerated=(-1.0, 0.25))
    values = [0.0, 0.5] * 8
    assert rule.decide(values).outcome is ClaimOutcome.INCONCLUSIVE
    assert rule.decide(values).further_seeds is None


@given(st.lists(st.floats(-1.0, 1.0), min_size=16, max_size=64), st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_the_unit_of_the_values_does_not_matter(values: list[float], unit: float) -> None:
    """Values and bands in another unit, a power of two so that nothing is rounded, give the same decision."""
    scaled = MagnitudeRule(
        RULE.looks,
        alpha=0.05,
        beta=0.01,
        claimed=(CLAIMED[0] * unit, CLAIMED[1] * unit),
        tolerated=(TOLERATED[0] * unit, TOLERATED[1] * unit),
    )
    plain, other = RULE.decide(values), scaled.decide([one * unit for one in values])
    assert (plain.outcome, plain.look, plain.further_seeds) == (other.outcome, other.look, other.further_seeds)


def test_a_value_that_is_not_finite_invalidates_what_uses_it() -> None:
    """It is named by its index; after the deciding look it is not used."""
    decision = RULE.decide([0.175] * 5 + [math.nan] + [0.175] * 26)
    assert (decision.outcome, decision.mean, decision.interval) == (ClaimOutcome.INVALID, None, None)
    assert "value 5" in decision.reason
    assert RULE.decide([0.175] * 16 + [math.inf]).outcome is ClaimOutcome.PASS
    assert RULE.decide([math.nan]).outcome is ClaimOutcome.INVALID


def test_before_two_values_there_is_no_interval() -> None:
    """The first look that may decide is named."""
    for values in ([], [0.175]):
        decision = RULE.decide(values)
        assert (decision.outcome, decision.mean, decision.further_seeds) == (
            ClaimOutcome.INCONCLUSIVE,
            None,
            16 - len(values),
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"claimed": (0.2, 0.15)},
        {"claimed": (0.05, 0.2)},
        {"tolerated": (0.1, math.inf)},
        {"looks": (8,)},
        {"least_seeds": 1},
        {"largest_residual": 0.0},
        {"alpha": 0.6},
        {"comparisons": 0},
    ],
)
def test_a_design_that_cannot_work_is_refused(wrong: dict[str, object]) -> None:
    """Bands are finite and nested, and a look has the seeds that a decision needs."""
    design: dict[str, object] = {
        "looks": (16,),
        "alpha": 0.05,
        "beta": 0.01,
        "claimed": CLAIMED,
        "tolerated": TOLERATED,
    }
    with pytest.raises(InvalidInputError, match="received"):
        MagnitudeRule(**{**design, **wrong})  # type: ignore[arg-type]


def test_collapsed_runs_are_found_though_the_theory_assumes_none() -> None:
    """Drawn without replacement from a store in which 5 % of seeds collapse, a rule passes far more rarely."""
    rule = MagnitudeRule((16,), alpha=0.05, beta=0.01, claimed=(-0.5, 0.5), tolerated=(-1.0, 1.0))
    generator = np.random.default_rng(5)
    normal = generator.standard_normal(256)
    collapsing = np.where(np.arange(256) < 13, -20.0, normal)
    passed = [
        sum(rule.decide(generator.permutation(stored)[:16].tolist()).outcome is ClaimOutcome.PASS for _ in range(100))
        for stored in (normal, collapsing)
    ]
    assert passed[0] > 90
    assert passed[1] < 70
