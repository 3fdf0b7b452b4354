"""Deciding by where the interval of a mean lies: what magnitude and equivalence have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sdpo_ref.claims.statistics.design import check_band, check_design, first_not_finite, not_finite
from sdpo_ref.claims.statistics.interval import Interval, around
from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.errors import InvalidInputError

SHOWN = 0.9
"""Confidence of the interval that is displayed; no outcome uses it."""

MOST_SEEDS = 1_000_000
"""Beyond which a decision counts as never reached."""


@dataclass(frozen=True)
class Measured:
    """Estimate of the mean in question from values over seeds.

    Attributes:
        mean: in the unit of the values.
        half_width: of its interval, from a number of seeds and a two-sided confidence.
        largest_residual: largest distance of a value from the mean, in standard deviations.
    """

    mean: float
    half_width: Callable[[int, float], float]
    largest_residual: float = 0.0


@dataclass(frozen=True)
class BandDecision:
    """What values over seeds decide about their mean.

    Attributes:
        outcome: of the comparison.
        look: index of the look that decided; ``None`` if none did.
        seeds: how many values were used: those up to the deciding look, or all that the looks have room for.
        mean: of those, in their unit; ``None`` if there are fewer than two, or one is not finite.
        interval: 90 % interval of the mean, to be shown and not decided with; ``None`` where the mean is.
        further_seeds: that would decide if mean and spread stayed; ``None`` if decided or if none would.
        reason: for a reader.
    """

    outcome: ClaimOutcome
    look: int | None
    seeds: int
    mean: float | None
    interval: Interval | None
    further_seeds: int | None
    reason: str


@dataclass(frozen=True)
class Bands:
    """Two nested bands for a mean, and the looks at which it is compared with them.

    PASS means that the mean lies in the tolerated band, by two one-sided tests; FAIL that it does not lie in the
    claimed one. A mean that is shown precisely to lie between the two fulfils both conditions. It passes: that is what
    tolerating means, and neither error rate is touched.

    Attributes:
        looks: increasing numbers of seeds, of which those below ``least_seeds`` decide nothing and cost nothing.
        least_seeds: at least 2.
        claimed: where the mean lies by the claim.
        tolerated: contains ``claimed``.
        alpha: false-pass rate, (0, 1/2), spent evenly over the looks that may decide.
        beta: false-fail rate, (0, 1/2), likewise, and evenly over the comparisons.
        comparisons: of the claim.
        largest_residual: in standard deviations; a look that finds a larger one decides nothing.

    Raises:
        InvalidInputError: if the design cannot decide anything or the bands are not nested.
    """

    looks: tuple[int, ...]
    least_seeds: int
    claimed: Interval
    tolerated: Interval
    alpha: float
    beta: float
    comparisons: int
    largest_residual: float = float("inf")

    def __post_init__(self) -> None:
        check_design(self.looks, self.alpha, self.beta, self.comparisons)
        check_band("claimed", self.claimed)
        check_band("tolerated", self.tolerated)
        if not (self.tolerated[0] <= self.claimed[0] and self.claimed[1] <= self.tolerated[1]):
            raise InvalidInputError(
                f"received the claimed band {self.claimed} and the tolerated band {self.tolerated}; the tolerated one "
                "must contain the claimed one"
            )
        if self.least_seeds < 2:
            raise InvalidInputError(f"received least_seeds {self.least_seeds}; an interval needs at least 2")
        if self.looks[-1] < self.least_seeds:
            raise InvalidInputError(
                f"received looks {self.looks}, none with the {self.least_seeds} seeds that a decision "
                "needs; add a later one"
            )
        if not self.largest_residual > 0.0:
            raise InvalidInputError(f"received largest_residual {self.largest_residual}; allowed is a positive number")

    @property
    def deciding(self) -> tuple[int, ...]:
        """The looks that have seeds enough to decide."""
        return tuple(seeds for seeds in self.looks if seeds >= self.least_seeds)

    @property
    def pass_confidence(self) -> float:
        """Two-sided, of the interval that has to lie inside the tolerated band."""
        return 1.0 - 2.0 * self.alpha / len(self.deciding)

    @property
    def fail_confidence(self) -> float:
        """Two-sided, of the interval that has to be disjoint from the claimed band."""
        return 1.0 - self.beta / (len(self.deciding) * self.comparisons)

    def decide(self, values: Sequence[float], measure: Callable[[Sequence[float]], Measured]) -> BandDecision:
        """Walks through the looks that the values fill, up to the first that decides.

        Args:
            values: one for each seed, in the order of the seeds; those beyond the last look are ignored.
            measure: the estimate of the mean from at least two of them.
        """
        for seeds in self.deciding:
            if seeds > len(values):
                break
            used = values[:seeds]
            broken = first_not_finite(used)
            if broken is not None:
                return _invalid(used, broken)
            measured = measure(used)
            outcome = self._compare(measured, seeds)
            if outcome is not ClaimOutcome.INCONCLUSIVE:
                shown = around(measured.mean, measured.half_width(seeds, SHOWN))
                look = self.looks.index(seeds)
                return BandDecision(outcome, look, seeds, measured.mean, shown, None, self._reason(outcome, seeds))
        return self._undecided(values[: self.looks[-1]], measure)

    def _undecided(self, values: Sequence[float], measure: Callable[[Sequence[float]], Measured]) -> BandDecision:
        """What is left when no look decides."""
        broken = first_not_finite(values)
        if broken is not None:
            return _invalid(values, broken)
        seeds = len(values)
        reason = f"{seeds} seeds, and the first look that may decide is at {self.deciding[0]}"
        if seeds < 2:
            missing = self.deciding[0] - seeds
            return BandDecision(ClaimOutcome.INCONCLUSIVE, None, seeds, None, None, missing, reason)
        measured = measure(values)
        further = self._further_seeds(measured, seeds)
        if seeds >= self.deciding[0]:
            reason = (
                f"the interval after {seeds} seeds is neither inside the tolerated band nor clear of the claimed one"
            )
        if measured.largest_residual > self.largest_residual:
            further = None
            reason = (
                f"one of {seeds} values lies {measured.largest_residual:.2g} standard deviations from the mean, more "
                f"than {self.largest_residual:g}: an interval for the mean is not to be trusted"
            )
        shown = around(measured.mean, measured.half_width(seeds, SHOWN))
        return BandDecision(ClaimOutcome.INCONCLUSIVE, None, seeds, measured.mean, shown, further, reason)

    def _compare(self, measured: Measured, seeds: int) -> ClaimOutcome:
        """PASS, FAIL or INCONCLUSIVE for a mean after so many seeds."""
        mean = measured.mean
        if measured.largest_residual > self.largest_residual:
            return ClaimOutcome.INCONCLUSIVE
        inside = min(mean - self.tolerated[0], self.tolerated[1] - mean)
        if inside >= measured.half_width(seeds, self.pass_confidence):
            return ClaimOutcome.PASS
        outside = max(self.claimed[0] - mean, mean - self.claimed[1])
        if outside > measured.half_width(seeds, self.fail_confidence):
            return ClaimOutcome.FAIL
        return ClaimOutcome.INCONCLUSIVE

    def _further_seeds(self, measured: Measured, seeds: int) -> int | None:
        """Seeds missing until this mean and this spread would decide. Implements: STAT-008.

        Counted up to the next look where there is one, else at the confidence of the rule as it is; ``None`` if more
        than a million seeds would not decide.
        """
        enough = _smallest(
            lambda count: self._compare(measured, count) is not ClaimOutcome.INCONCLUSIVE,
            max(seeds + 1, self.least_seeds),
        )
        if enough is None:
            return None
        return next((look for look in self.deciding if look >= enough), enough) - seeds

    def _reason(self, outcome: ClaimOutcome, seeds: int) -> str:
        """Of a decision, in words."""
        if outcome is ClaimOutcome.PASS:
            low, high = self.tolerated
            return f"the {self.pass_confidence:.2%} interval after {seeds} seeds lies inside [{low:g}, {high:g}]"
        low, high = self.claimed
        return f"the {self.fail_confidence:.2%} interval after {seeds} seeds lies clear of [{low:g}, {high:g}]"


def _invalid(values: Sequence[float], broken: int) -> BandDecision:
    """The outcome on values one of which is not finite. Implements: STAT-026."""
    return BandDecision(ClaimOutcome.INVALID, None, broken, None, None, None, not_finite(values, broken))


def _smallest(decides: Callable[[int], bool], least: int) -> int | None:
    """Smallest count from ``least`` on that decides, for a condition that stays true once it is; ``None`` if none."""
    above = least
    while not decides(above):
        above *= 2
        if above > MOST_SEEDS:
            return None
    below = max(above // 2, least - 1)
    while above - below > 1:
        middle = (above + below) // 2
        below, above = (below, middle) if decides(middle) else (middle, above)
    return above
