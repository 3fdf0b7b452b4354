"""Interval test of a mean: does it lie in the band that the claim states?"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sdpo_ref.claims.statistics.bands import BandDecision, Bands, Measured
from sdpo_ref.claims.statistics.interval import Interval, Sample
from sdpo_ref.study.summary import student_half_width

MagnitudeDecision = BandDecision
"""What a magnitude rule returns."""


@dataclass(frozen=True)
class MagnitudeRule:
    """Whether a mean over seeds lies in a band, with a wider band that is tolerated. Implements: STAT-024, STAT-025.

    PASS if the two-sided 1 - 2 alpha/K' interval by Student's t lies inside ``tolerated``, FAIL if the 1 - beta/(K' J)
    interval is disjoint from ``claimed``, where K' counts the looks with ``least_seeds`` or more and J the comparisons.
    A mean between the bands is tolerated: where both hold, PASS. The rates hold for independent and roughly normal
    values; a rare collapse is invisible to them, so a claim about a mean needs a companion about collapse.

    n values have no residual above (n - 1)/sqrt(n) standard deviations, so a bound of 4.5 has no effect before n = 23.

    Attributes:
        looks: increasing numbers of seeds.
        alpha: false-pass rate where the mean lies on the edge of the tolerated band or beyond, (0, 1/2).
        beta: false-fail rate of the claim where the mean lies in the claimed band, (0, 1/2).
        claimed: lower and upper end, in the unit of the values.
        tolerated: likewise; contains ``claimed``.
        least_seeds: looks with fewer decide nothing and spend nothing.
        largest_residual: in standard deviations; a look that finds a larger one decides nothing.
        comparisons: of the claim, each of which gets an equal share of ``beta``.

    Raises:
        InvalidInputError: if no look may decide, or the bands are not nested.

    Example:
        >>> rule = MagnitudeRule((16, 32), alpha=0.05, beta=0.01, claimed=(0.15, 0.2), tolerated=(0.1, 0.25))
        >>> str(rule.decide([0.17, 0.19] * 8).outcome), str(rule.decide([0.3, 0.4] * 8).outcome)
        ('PASS', 'FAIL')
    """

    looks: tuple[int, ...]
    alpha: float
    beta: float
    claimed: Interval
    tolerated: Interval
    least_seeds: int = 16
    largest_residual: float = 4.5
    comparisons: int = 1

    def __post_init__(self) -> None:
        _ = self._bands  # which validates

    def decide(self, values: Sequence[float]) -> MagnitudeDecision:
        """Walks through the looks that the values fill, up to the first that decides.

        Args:
            values: one for each seed, in the order of the seeds; those beyond the last look are ignored.

        Returns:
            The decision; INVALID if a value that the looks have called for is not finite.
        """
        return self._bands.decide(values, measure)

    @cached_property
    def _bands(self) -> Bands:
        """The rule as bands."""
        return Bands(
            looks=self.looks,
            least_seeds=self.least_seeds,
            claimed=self.claimed,
            tolerated=self.tolerated,
            alpha=self.alpha,
            beta=self.beta,
            comparisons=self.comparisons,
            largest_residual=self.largest_residual,
        )


def measure(values: Sequence[float]) -> Measured:
    """Estimate of the mean of values, by Student's t.

    Args:
        values: at least two, finite.
    """
    sample = Sample.from_values(values)
    return Measured(
        sample.mean,
        lambda count, confidence: student_half_width(sample.spread, count, confidence),
        sample.largest_residual,
    )
