"""The collapse rule and its exact bound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from sdpo_ref.claims.statistics.collapse import CollapseRule, collapse_bound
from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.errors import InvalidInputError

RULE = CollapseRule((8, 16, 32, 64, 128, 256), alpha=0.05, beta=0.01)
LAST = CollapseRule((64,), alpha=0.05, beta=0.01)


@given(st.integers(1, 300), st.data(), st.floats(0.5, 0.999))
def test_the_bound_is_the_rate_at_which_so_few_are_unlikely(seeds: int, data: st.DataObject, confidence: float) -> None:
    """At the bound itself, so many collapses or fewer have exactly the probability that confidence leaves."""
    count = data.draw(st.integers(0, seeds - 1))
    bound = collapse_bound(count, seeds, confidence)
    assert binom.cdf(count, seeds, bound) == pytest.approx(1.0 - confidence, rel=1e-6)


@pytest.mark.parametrize(("seeds", "bound"), [(5, 0.451), (20, 0.139), (59, 0.0495)])
def test_no_collapse_bounds_the_rate_only_so_far(seeds: int, bound: float) -> None:
    """1 - 0.05^(1/n): five clean seeds still allow a rate of 45 %, and 59 are the first to allow less than 5 %."""
    assert collapse_bound(0, seeds, 0.95) == pytest.approx(1 - 0.05 ** (1 / seeds))
    assert collapse_bound(0, seeds, 0.95) == pytest.approx(bound, abs=6e-4)
    assert collapse_bound(seeds, seeds, 0.95) == 1.0
    assert collapse_bound(0, 58, 0.95) > 0.05


def test_64_clean_seeds_pass_and_one_collapse_keeps_them_open() -> None:
    """With one look; four of 64 refute, because so many have a probability of 0.4 % at the usual rate."""
    outcomes = [LAST.decide([True] * count + [False] * (64 - count)).outcome for count in (0, 1, 3, 4, 64)]
    assert outcomes == [
        ClaimOutcome.PASS,
        ClaimOutcome.INCONCLUSIVE,
        ClaimOutcome.INCONCLUSIVE,
        ClaimOutcome.FAIL,
        ClaimOutcome.FAIL,
    ]
    assert float(binom.sf(3, 64, 0.01)) < 0.01 < float(binom.sf(2, 64, 0.01))


def test_looks_that_could_never_pass_spend_nothing() -> None:
    """Eight to 64 clean seeds are too few once the rate is shared, so that only the last two looks share it."""
    assert RULE.deciding == (128, 256)
    assert CollapseRule((8, 16, 32, 64), alpha=0.05, beta=0.01).deciding == (64,)
    assert CollapseRule((64, 128), alpha=0.05, beta=0.01).deciding == (128,)
    decision = RULE.decide([False] * 256)
    assert (decision.outcome, decision.look, decision.seeds) == (ClaimOutcome.PASS, 4, 128)
    assert decision.bound == pytest.approx(1 - 0.025 ** (1 / 128))


def test_more_comparisons_make_fail_harder_and_leave_pass_alone() -> None:
    """FAIL shares beta among the comparisons."""
    many = CollapseRule((64,), alpha=0.05, beta=0.01, comparisons=10)
    four = [True] * 4 + [False] * 60
    assert (LAST.decide(four).outcome, many.decide(four).outcome) == (ClaimOutcome.FAIL, ClaimOutcome.INCONCLUSIVE)
    assert many.decide([False] * 64).outcome is ClaimOutcome.PASS


@given(st.integers(0, 12), st.integers(0, 12))
def test_a_collapse_less_never_refutes(one: int, other: int) -> None:
    """Fewer collapses of 64 leave PASS a PASS and refute nothing that was open."""
    worse, better = (
        LAST.decide([True] * count + [False] * (64 - count)).outcome for count in sorted((one, other), reverse=True)
    )
    order = [ClaimOutcome.FAIL, ClaimOutcome.INCONCLUSIVE, ClaimOutcome.PASS]
    assert order.index(better) >= order.index(worse)


def test_between_usual_and_most_many_seeds_pass() -> None:
    """20 of 1000 are too many for the usual 1 % and surely below 5 %: tolerated."""
    rule = CollapseRule((1000,), alpha=0.05, beta=0.01)
    assert binom.sf(19, 1000, 0.01) < 0.01
    assert rule.decide([True] * 20 + [False] * 980).outcome is ClaimOutcome.PASS


@pytest.mark.parametrize(("count", "seeds"), [(0, 0), (0, 10), (0, 100), (1, 64), (3, 64), (2, 150)])
def test_further_seeds_would_decide(count: int, seeds: int) -> None:
    """At the same rate of collapse, rounded up, the named number decides, and no look before it does."""
    decision = RULE.decide([True] * count + [False] * (seeds - count))
    assert decision.outcome is ClaimOutcome.INCONCLUSIVE
    assert decision.further_seeds is not None
    needed = seeds + decision.further_seeds

    def at(total: int) -> ClaimOutcome:
        expected = -(-total * count // max(seeds, 1))
        return RULE.decide([False] * (total - expected) + [True] * expected).outcome

    open_looks = [look for look in RULE.deciding if seeds < look < needed]
    assert all(at(look) is ClaimOutcome.INCONCLUSIVE for look in open_looks)
    assert needed > RULE.looks[-1] or at(needed) is not ClaimOutcome.INCONCLUSIVE


@pytest.mark.parametrize(
    "wrong", [{"usual": 0.05}, {"usual": 0.0}, {"most": 1.0}, {"looks": (8, 58)}, {"alpha": 0.0}, {"comparisons": 0}]
)
def test_a_design_that_cannot_work_is_refused(wrong: dict[str, object]) -> None:
    """The usual rate is below the one not tolerated, and clean seeds at the last look would pass."""
    design: dict[str, object] = {"looks": (64,), "alpha": 0.05, "beta": 0.01}
    with pytest.raises(InvalidInputError, match="received"):
        CollapseRule(**{**design, **wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("collapsed", "seeds", "confidence"), [(-1, 5, 0.9), (6, 5, 0.9), (0, 0, 0.9), (0, 5, 1.0), (0, 5, 0.0)]
)
def test_a_bound_of_impossible_counts_is_refused(collapsed: int, seeds: int, confidence: float) -> None:
    """Not more collapses than seeds, at least one seed, and a confidence between 0 and 1."""
    with pytest.raises(InvalidInputError, match="confidence"):
        collapse_bound(collapsed, seeds, confidence)
