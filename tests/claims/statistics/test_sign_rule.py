"""The sign rule: its boundaries against a table, its rates against all sequences, its decisions."""

import math
from collections import defaultdict
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.claims.statistics.sign_rule import SignRule
from sdpo_ref.errors import InvalidInputError

DOUBLING = (8, 16, 32, 64)
TABLE = [
    (SignRule(DOUBLING, 0.05, 0.01, 1), (8, 13, 22, 41), (2, 7, 18, 40), (0.0403, 0.0044)),
    (SignRule(DOUBLING, 0.05, 0.01, 4), (8, 13, 22, 41), (1, 6, 17, 40), (0.0418, 0.0014)),
    (SignRule(DOUBLING, 0.05, 0.01, 12), (8, 13, 22, 41), (1, 6, 16, 39), (0.0422, 0.0007)),
    (SignRule((5, 10, 20, 40), 0.05, 0.01, 4), (5, 9, 16, 28), (0, 3, 9, 23), (0.0448, 0.0023)),
    (SignRule((5,), 0.05, 0.01, 4), (5,), (0,), (0.0312, 0.0003)),
    (SignRule(DOUBLING, 0.01, 0.01 * 4 / 48, 4), (8, 14, 24, 44), (0, 5, 15, 38), (0.0095, 0.0002)),
]
SMALL = [
    SignRule((3,), alpha=0.2, beta=0.2, comparisons=1),
    SignRule((4, 6), alpha=0.1, beta=0.2, comparisons=1, least=0.7),
    SignRule((2, 5, 9), alpha=0.3, beta=0.1, comparisons=2),
    SignRule((1, 3, 8, 10), alpha=0.05, beta=0.05, comparisons=1, least=0.9),
]
RULE = SignRule(DOUBLING, alpha=0.05, beta=0.01, comparisons=4)
DIFFERENCES = st.lists(st.sampled_from([-1.0, -0.05, 0.0, 0.05, 1.0, 2.0]), min_size=0, max_size=70)
LIKELY_WINS = st.lists(st.sampled_from([-1.0, 0.05, 1.0, 1.0, 1.0, 2.0]), min_size=8, max_size=70)


@pytest.mark.parametrize(("rule", "pass_at", "fail_at", "rates"), TABLE)
def test_the_boundaries_are_those_of_the_table(
    rule: SignRule, pass_at: tuple[int, ...], fail_at: tuple[int, ...], rates: tuple[float, float]
) -> None:
    """Designs whose boundaries and rates were fixed before the code was written; rates to four decimals."""
    assert rule.pass_at == pass_at
    assert rule.fail_at == fail_at
    assert (rule.false_pass, rule.false_fail) == pytest.approx(rates, abs=6e-5)


@pytest.mark.parametrize("rule", SMALL)
@pytest.mark.parametrize("poi", [0.0, 0.5, 0.63, 0.8, 1.0])
def test_the_rates_are_those_of_all_sequences(rule: SignRule, poi: float) -> None:
    """Every sequence of wins and losses, weighted by its probability, gives the stated rates and mean seeds."""
    rates: defaultdict[ClaimOutcome, float] = defaultdict(float)
    mean_seeds = 0.0
    for outcome in product([1.0, -1.0], repeat=rule.looks[-1]):
        wins = outcome.count(1.0)
        weight = poi**wins * (1 - poi) ** (len(outcome) - wins)
        if weight > 0.0:
            decision = rule.decide(outcome, resolution=0.0)
            rates[decision.outcome] += weight
            mean_seeds += weight * decision.seeds
    exact = rule.outcomes(poi)
    found = (rates[ClaimOutcome.PASS], rates[ClaimOutcome.FAIL], rates[ClaimOutcome.INCONCLUSIVE], mean_seeds)
    assert found == pytest.approx((exact.passed, exact.failed, exact.undecided, exact.mean_seeds), abs=1e-9)


@pytest.mark.parametrize("rule", SMALL)
def test_each_boundary_is_as_low_as_its_budget_allows(rule: SignRule) -> None:
    """Over all sequences: the crossings by each look are within what is spent by then, and one win less is not."""
    looks = rule.looks
    sequences = list(product([1, 0], repeat=looks[-1]))
    boundaries = [looks[look] + 1 if wins is None else wins for look, wins in enumerate(rule.pass_at)]
    for look in range(len(looks)):
        budget = rule.alpha * ((look + 1) / len(looks)) ** (1 / 3)
        lower = [*boundaries[:look], boundaries[look] - 1]
        crossed, lower_crossed = (
            sum(any(sum(one[:seeds]) >= wins for seeds, wins in zip(looks, tried, strict=False)) for one in sequences)
            / len(sequences)
            for tried in (boundaries[: look + 1], lower)
        )
        assert crossed <= budget
        assert lower_crossed > budget


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=5, unique=True),
    st.floats(0.001, 0.3),
    st.floats(0.001, 0.3),
    st.integers(1, 20),
    st.floats(0.55, 0.95),
)
def test_no_design_exceeds_its_rates(
    looks: list[int], alpha: float, beta: float, comparisons: int, least: float
) -> None:
    """False-pass is within alpha, false-fail within the comparison's share of beta, and the boundaries do not meet."""
    rule = SignRule(tuple(sorted(looks)), alpha, beta, comparisons, least)
    assert rule.false_pass <= alpha * (1 + 1e-9)
    assert rule.false_fail <= beta / comparisons * (1 + 1e-9)
    for seeds, passing, failing in zip(rule.looks, rule.pass_at, rule.fail_at, strict=True):
        assert passing is None or seeds / 2 < passing <= seeds
        assert failing is None or 0 <= failing < (seeds + 1 if passing is None else passing)
    exact = rule.outcomes(0.6)
    assert exact.passed + exact.failed + exact.undecided == pytest.approx(1.0)
    assert rule.looks[0] - 1e-9 <= exact.mean_seeds <= rule.looks[-1] + 1e-9


def test_a_look_that_cannot_decide_says_so() -> None:
    """One seed is wrong half of the time in PASS and a fifth of the time in FAIL; a budget of 5 % covers neither."""
    rule = SignRule((1, 8), alpha=0.05, beta=0.05, comparisons=1)
    assert (rule.pass_at[0], rule.fail_at[0]) == (None, None)
    assert rule.decide([1.0], resolution=0.0).outcome is ClaimOutcome.INCONCLUSIVE


def test_a_pass_latches() -> None:
    """Eight wins decide at the first look, whatever the 56 seeds after them say."""
    decision = RULE.decide([1.0] * 8 + [-1.0] * 56, resolution=0.1)
    assert (decision.outcome, decision.look, decision.seeds, decision.wins) == (ClaimOutcome.PASS, 0, 8, 8)
    refuted = RULE.decide([-1.0] * 8 + [1.0] * 56, resolution=0.1)
    assert (refuted.outcome, refuted.look, refuted.seeds, refuted.wins) == (ClaimOutcome.FAIL, 0, 8, 0)


def test_the_deciding_look_is_the_first_that_is_filled_and_decides() -> None:
    """13 wins in 16 decide at the second look; 7 or 15 seeds do not fill one, and a 65th is ignored."""
    losses_first = [-1.0] * 3 + [1.0] * 13
    assert RULE.decide(losses_first, resolution=0.1).look == 1
    assert RULE.decide([-1.0] * 7, resolution=0.1).outcome is ClaimOutcome.INCONCLUSIVE
    open_still = RULE.decide(losses_first[:15], resolution=0.1)
    assert (open_still.outcome, open_still.look, open_still.seeds) == (ClaimOutcome.INCONCLUSIVE, None, 15)
    twelve = SignRule(DOUBLING, alpha=0.05, beta=0.01, comparisons=12)
    forty_wins = [1.0, -1.0, 1.0, -1.0, 1.0] * 12 + [1.0] * 4
    decision = twelve.decide(forty_wins, resolution=0.1)
    assert (decision.outcome, decision.wins, decision.seeds) == (ClaimOutcome.INCONCLUSIVE, 40, 64)
    assert twelve.decide([*forty_wins, 1.0], resolution=0.1) == decision


def test_ties_are_no_wins_for_pass_and_wins_for_fail() -> None:
    """Eight ties decide nothing; one tie among eight wins withholds PASS, and two among losses withhold FAIL."""
    for tie in (0.0, 0.0999, -0.0999):
        assert RULE.decide([tie] * 64, resolution=0.1).outcome is ClaimOutcome.INCONCLUSIVE
        assert RULE.decide([tie] + [1.0] * 7, resolution=0.1).outcome is ClaimOutcome.INCONCLUSIVE
        assert RULE.decide([tie] + [-1.0] * 7, resolution=0.1).outcome is ClaimOutcome.FAIL
        assert RULE.decide([tie] * 2 + [-1.0] * 6, resolution=0.1).outcome is ClaimOutcome.INCONCLUSIVE
    assert RULE.decide([0.1] * 8, resolution=0.1).outcome is ClaimOutcome.PASS
    assert RULE.decide([-0.1] * 8, resolution=0.1).outcome is ClaimOutcome.FAIL
    assert RULE.decide([0.0] * 8, resolution=0.0).ties == 8


@given(DIFFERENCES, st.data())
def test_a_tie_only_keeps_open(differences: list[float], data: st.DataObject) -> None:
    """Turning seeds into ties never turns one decision into the other, nor an open comparison into a decided one.

    A look that a tie has kept open may hand on to a later one; here all seeds lie within one look.
    """
    rule = SignRule((max(len(differences), 1),), alpha=0.05, beta=0.01, comparisons=4)
    tied = [data.draw(st.sampled_from([one, 0.0])) for one in differences]
    before, after = (rule.decide(one, resolution=0.1).outcome for one in (differences, tied))
    assert after in (before, ClaimOutcome.INCONCLUSIVE)


@given(LIKELY_WINS | DIFFERENCES, st.data())
def test_raising_a_difference_never_takes_a_pass_away(differences: list[float], data: st.DataObject) -> None:
    """PASS stays PASS, and what was not FAIL does not become FAIL."""
    raised = [one + data.draw(st.sampled_from([0.0, 0.07, 3.0])) for one in differences]
    before, after = (RULE.decide(one, resolution=0.1).outcome for one in (differences, raised))
    order = [ClaimOutcome.FAIL, ClaimOutcome.INCONCLUSIVE, ClaimOutcome.PASS]
    assert order.index(after) >= order.index(before)


@given(LIKELY_WINS | DIFFERENCES, st.randoms(use_true_random=False))
def test_the_order_within_a_look_does_not_matter(differences: list[float], random: Random) -> None:
    """Seeds between two looks can be swapped."""
    edges = [0, *DOUBLING]
    shuffled: list[float] = []
    for start, end in zip(edges, [*DOUBLING, None], strict=True):
        part = differences[start:end]
        random.shuffle(part)
        shuffled += part
    assert RULE.decide(shuffled, resolution=0.1) == RULE.decide(differences, resolution=0.1)


@given(st.lists(st.sampled_from([-1.0, 1.0]), min_size=8, max_size=70))
def test_the_mirror_image_of_a_pass_does_not_pass(differences: list[float]) -> None:
    """Left cannot be shown to beat right and right to beat left by the same seeds."""
    mirrored = [-one for one in differences]
    both = [RULE.decide(one, resolution=0.1).outcome for one in (differences, mirrored)]
    assert both != [ClaimOutcome.PASS, ClaimOutcome.PASS]
    for one in both:
        assert one in (ClaimOutcome.PASS, ClaimOutcome.FAIL, ClaimOutcome.INCONCLUSIVE)


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_difference_that_is_not_finite_invalidates_what_uses_it(broken: float) -> None:
    """It is named by its index; one that comes after the deciding look is not used; one that waits for a look is."""
    decision = RULE.decide([1.0, -1.0, broken] + [1.0] * 13, resolution=0.1)
    assert (decision.outcome, decision.look, decision.further_seeds) == (ClaimOutcome.INVALID, None, None)
    assert "value 2" in decision.reason
    assert RULE.decide([1.0] * 8 + [broken] * 8, resolution=0.1).outcome is ClaimOutcome.PASS
    assert RULE.decide([1.0, broken], resolution=0.1).outcome is ClaimOutcome.INVALID
    undecided = SignRule((8,), alpha=0.05, beta=0.01, comparisons=1)
    assert undecided.decide([1.0, -1.0] * 4 + [broken], resolution=0.1).outcome is ClaimOutcome.INCONCLUSIVE


@pytest.mark.parametrize(
    "wrong",
    [
        {"looks": ()},
        {"looks": (8, 8)},
        {"looks": (0, 8)},
        {"alpha": 0.0},
        {"alpha": 0.5},
        {"beta": 1.0},
        {"beta": math.nan},
        {"comparisons": 0},
        {"least": 0.5},
        {"least": 1.0},
    ],
)
def test_a_design_that_cannot_work_is_refused(wrong: dict[str, object]) -> None:
    """Looks increase from one on, rates lie between 0 and a half, and what counts as a reproduction beats a coin."""
    design: dict[str, object] = {"looks": (8,), "alpha": 0.05, "beta": 0.01, "comparisons": 1}
    with pytest.raises(InvalidInputError, match="received"):
        SignRule(**{**design, **wrong})  # type: ignore[arg-type]


def test_numbers_outside_their_range_are_refused() -> None:
    """A probability above 1 and a negative or infinite resolution."""
    with pytest.raises(InvalidInputError, match="probability of improvement"):
        RULE.outcomes(1.1)
    for resolution in (-0.1, math.nan, math.inf):
        with pytest.raises(InvalidInputError, match="resolution"):
            RULE.decide([1.0], resolution=resolution)
