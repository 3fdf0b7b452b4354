"""The stated error rates, measured on data drawn from where each of them is largest.

A count of errors is compared with the binomial distribution of that count: at most its quantile where a rate is an
upper bound, within both where it is exact. A quantile of 1e-4 makes a right rule fail for one choice of seed in 10^4.
"""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from sdpo_ref.claims.statistics.collapse import CollapseRule
from sdpo_ref.claims.statistics.equivalence import EquivalenceRule
from sdpo_ref.claims.statistics.magnitude import MagnitudeRule
from sdpo_ref.claims.statistics.outcome import ClaimOutcome, all_of
from sdpo_ref.claims.statistics.sign_rule import SignRule

pytestmark = pytest.mark.slow

TAIL = 1e-4
LOOKS = (8, 16, 32, 64)


def count(outcome: ClaimOutcome, draws: int, rule: Callable[[], ClaimOutcome]) -> int:
    """How often a rule says so."""
    return sum(rule() is outcome for _ in range(draws))


def at_most(found: int, draws: int, rate: float) -> bool:
    """Whether so many errors are compatible with a rate of at most this."""
    return found <= int(binom.ppf(1.0 - TAIL, draws, rate))


def about(found: int, draws: int, rate: float) -> bool:
    """Whether so many errors are compatible with exactly this rate."""
    return int(binom.ppf(TAIL, draws, rate)) <= found <= int(binom.ppf(1.0 - TAIL, draws, rate))


def differences(generator: np.random.Generator, poi: float) -> list[float]:
    """Normal differences, positive with this probability."""
    signs = np.where(generator.random(64) < poi, 1.0, -1.0)
    return [float(one) for one in signs * np.abs(generator.standard_normal(64))]


@pytest.mark.parametrize("comparisons", [1, 4])
def test_direction_passes_two_equals_as_rarely_as_stated(comparisons: int) -> None:
    """One comparison at 1/2, the others surely better: the claim passes at the exact rate, which is below alpha."""
    rule = SignRule(LOOKS, alpha=0.05, beta=0.01, comparisons=comparisons)
    generator = np.random.default_rng(11)
    others = [rule.decide([1.0] * 64, resolution=0.0).outcome] * (comparisons - 1)

    def claim() -> ClaimOutcome:
        return all_of([rule.decide(differences(generator, 0.5), resolution=0.0).outcome, *others])

    assert about(count(ClaimOutcome.PASS, 3000, claim), 3000, rule.false_pass)
    assert rule.false_pass <= 0.05


@pytest.mark.parametrize("comparisons", [1, 4])
def test_direction_fails_a_reproduction_as_rarely_as_stated(comparisons: int) -> None:
    """Every comparison at the least improvement that counts: some comparison fails at the exact rate, below beta."""
    rule = SignRule(LOOKS, alpha=0.05, beta=0.01, comparisons=comparisons)
    generator = np.random.default_rng(12)
    exact = 1.0 - (1.0 - rule.false_fail) ** comparisons

    def claim() -> ClaimOutcome:
        return all_of(rule.decide(differences(generator, 0.8), resolution=0.0).outcome for _ in range(comparisons))

    assert about(count(ClaimOutcome.FAIL, 2000, claim), 2000, exact)
    assert exact <= 0.01


def test_direction_with_ties_errs_no_more_often() -> None:
    """A third of the differences are below the resolution: both rates stay below what is stated."""
    rule = SignRule(LOOKS, alpha=0.05, beta=0.01, comparisons=1)
    generator = np.random.default_rng(13)
    equal = [rule.decide(differences(generator, 0.5), resolution=0.43).outcome for _ in range(300)]
    better = [rule.decide(differences(generator, 0.8), resolution=0.43).outcome for _ in range(300)]
    assert at_most(equal.count(ClaimOutcome.PASS), 300, 0.05)
    assert at_most(better.count(ClaimOutcome.FAIL), 300, 0.01)


def magnitude(looks: tuple[int, ...]) -> MagnitudeRule:
    """A band of two standard deviations around zero inside one of four."""
    return MagnitudeRule(looks, alpha=0.05, beta=0.05, claimed=(-1.0, 1.0), tolerated=(-2.0, 2.0))


def normal(generator: np.random.Generator, mean: float, seeds: int) -> list[float]:
    """Normal values with unit spread."""
    return [float(one) for one in mean + generator.standard_normal(seeds)]


def test_magnitude_passes_the_edge_of_what_is_tolerated_as_rarely_as_stated() -> None:
    """At one look the rate is alpha itself; over three looks it is at most alpha."""
    generator = np.random.default_rng(21)
    once, thrice = magnitude((16,)), magnitude((16, 32, 64))
    found = count(ClaimOutcome.PASS, 1500, lambda: once.decide(normal(generator, 2.0, 16)).outcome)
    assert about(found, 1500, 0.05)
    found = count(ClaimOutcome.PASS, 600, lambda: thrice.decide(normal(generator, -2.0, 64)).outcome)
    assert at_most(found, 600, 0.05)


def test_magnitude_fails_what_is_claimed_as_rarely_as_stated() -> None:
    """On the claimed band's edge one side of the interval can err: half of beta at one look; at most beta over three.

    The spread is that at which PASS does not come first.
    """
    generator = np.random.default_rng(22)
    once, thrice = (
        MagnitudeRule(looks, alpha=0.05, beta=0.05, claimed=(-1.0, 1.0), tolerated=(-1.1, 1.1))
        for looks in ((16,), (16, 32, 64))
    )
    found = count(ClaimOutcome.FAIL, 1500, lambda: once.decide(normal(generator, 1.0, 16)).outcome)
    assert about(found, 1500, 0.025)
    found = count(ClaimOutcome.FAIL, 600, lambda: thrice.decide(normal(generator, 1.0, 64)).outcome)
    assert at_most(found, 600, 0.05)
    found = count(ClaimOutcome.FAIL, 300, lambda: thrice.decide(normal(generator, 0.0, 64)).outcome)
    assert at_most(found, 300, 0.01)


def test_equivalence_passes_the_margin_as_rarely_as_stated_and_finds_sameness() -> None:
    """At the margin PASS at the rate alpha, FAIL at most beta; at zero it passes, and at twice the margin it fails."""
    generator = np.random.default_rng(31)
    once, thrice = (EquivalenceRule(looks, alpha=0.05, beta=0.02, margin=1.0) for looks in ((16,), (8, 16, 32)))
    found = count(ClaimOutcome.PASS, 1500, lambda: once.decide(normal(generator, 1.0, 16)).outcome)
    assert about(found, 1500, 0.05)
    outcomes = [thrice.decide(normal(generator, -1.0, 32)).outcome for _ in range(600)]
    assert at_most(outcomes.count(ClaimOutcome.PASS), 600, 0.05)
    assert at_most(outcomes.count(ClaimOutcome.FAIL), 600, 0.02)
    assert count(ClaimOutcome.PASS, 100, lambda: thrice.decide(normal(generator, 0.0, 32)).outcome) > 95
    assert count(ClaimOutcome.FAIL, 100, lambda: thrice.decide(normal(generator, 2.0, 32)).outcome) > 80


def test_unpaired_equivalence_keeps_its_rate_with_unequal_spreads() -> None:
    """Welch's interval at the margin: about alpha, with a reference three times as spread and of another size."""
    generator = np.random.default_rng(32)
    rule = EquivalenceRule((16,), alpha=0.05, beta=0.01, margin=3.0)

    def once() -> ClaimOutcome:
        stored = (3.0 * generator.standard_normal(40)).tolist()
        return rule.decide_unpaired(normal(generator, 3.0, 16), stored).outcome

    assert about(count(ClaimOutcome.PASS, 1500, once), 1500, 0.05)


def collapses(generator: np.random.Generator, rate: float, seeds: int) -> list[bool]:
    """Whether each seed collapsed."""
    return [bool(one) for one in generator.random(seeds) < rate]


def test_collapse_errs_as_rarely_as_stated() -> None:
    """At the rate not tolerated PASS at most alpha, at the usual rate FAIL at most beta, both exactly at one look."""
    generator = np.random.default_rng(41)
    once = CollapseRule((64,), alpha=0.05, beta=0.01)
    found = count(ClaimOutcome.PASS, 1000, lambda: once.decide(collapses(generator, 0.05, 64)).outcome)
    assert about(found, 1000, 0.95**64)
    found = count(ClaimOutcome.FAIL, 1000, lambda: once.decide(collapses(generator, 0.01, 64)).outcome)
    assert about(found, 1000, float(binom.sf(3, 64, 0.01)))
    twice = CollapseRule((8, 128, 256), alpha=0.05, beta=0.01)
    found = count(ClaimOutcome.PASS, 400, lambda: twice.decide(collapses(generator, 0.05, 256)).outcome)
    assert at_most(found, 400, 0.05)
    found = count(ClaimOutcome.FAIL, 400, lambda: twice.decide(collapses(generator, 0.01, 256)).outcome)
    assert at_most(found, 400, 0.01)
