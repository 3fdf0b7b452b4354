"""Equivalence test: do two means differ by less than a margin?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sdpo_ref.claims.statistics.bands import BandDecision, Bands, Measured
from sdpo_ref.claims.statistics.design import first_not_finite
from sdpo_ref.claims.statistics.interval import Sample, welch_half_width
from sdpo_ref.claims.statistics.magnitude import measure
from sdpo_ref.errors import InvalidInputError

EquivalenceDecision = BandDecision
"""What an equivalence rule returns; its mean is that of the difference."""


@dataclass(frozen=True)
class EquivalenceRule:
    """Whether two means differ by at most a margin, by two one-sided tests. Implements: STAT-005.

    PASS if the two-sided 1 - 2 alpha/K' interval of the difference lies in [-margin, margin], FAIL if the
    1 - beta/(K' J) interval lies wholly beyond it, where K' counts the looks with ``least_seeds`` or more and J the
    comparisons. No difference found is not sameness shown: an interval that is too wide stays INCONCLUSIVE.

    Attributes:
        looks: increasing numbers of seeds.
        alpha: false-pass rate where the means differ by the margin or more, (0, 1/2).
        beta: false-fail rate of the claim where they differ by the margin or less, (0, 1/2).
        margin: largest difference that does not matter, above 0, in the unit of the values.
        comparisons: of the claim, each of which gets an equal share of ``beta``.
        least_seeds: looks with fewer decide nothing and spend nothing.

    Raises:
        InvalidInputError: if no look may decide, or the margin is not positive.

    Example:
        >>> rule = EquivalenceRule((8,), alpha=0.05, beta=0.01, margin=0.1)
        >>> str(rule.decide([0.02, -0.02] * 4).outcome), str(rule.decide([0.2] * 8).outcome)
        ('PASS', 'FAIL')
    """

    looks: tuple[int, ...]
    alpha: float
    beta: float
    margin: float
    comparisons: int = 1
    least_seeds: int = 8

    def __post_init__(self) -> None:
        if not (math.isfinite(self.margin) and self.margin > 0.0):
            raise InvalidInputError(f"received margin {self.margin}; allowed is a finite number above 0")
        _ = self._bands  # which validates

    def decide(self, differences: Sequence[float]) -> EquivalenceDecision:
        """Of two that ran with the same seeds: Student's interval for the mean difference.

        Args:
            differences: left minus right by seed, in the order of the seeds; those beyond the last look are ignored.

        Returns:
            The decision; INVALID if a difference that the looks have called for is not finite.
        """
        return self._bands.decide(differences, measure)

    def decide_unpaired(self, values: Sequence[float], reference: Sequence[float]) -> EquivalenceDecision:
        """Of one whose seeds are not those of the stored reference: Welch's interval for the difference of means.

        Args:
            values: one for each seed, in the order of the seeds; the looks count these.
            reference: the stored values, at least two, all of which are used at every look.

        Returns:
            The decision; INVALID if a value that the looks have called for is not finite.

        Raises:
            InvalidInputError: if the reference has fewer than two values or one that is not finite.
        """
        broken = first_not_finite(reference)
        if broken is not None:
            raise InvalidInputError(
                f"received a reference whose value {broken} (counted from 0) is {reference[broken]}; allowed are "
                "finite ones; store the reference anew"
            )
        stored = Sample.from_values(reference)
        return self._bands.decide(values, lambda used: _measure_unpaired(used, stored))

    @cached_property
    def _bands(self) -> Bands:
        """The rule as bands that coincide: what is claimed is what is tolerated."""
        within = (-self.margin, self.margin)
        return Bands(
            looks=self.looks,
            least_seeds=self.least_seeds,
            claimed=within,
            tolerated=within,
            alpha=self.alpha,
            beta=self.beta,
            comparisons=self.comparisons,
        )


def _measure_unpaired(values: Sequence[float], stored: Sample) -> Measured:
    """Estimate of the difference of the mean of values from the stored one."""
    sample = Sample.from_values(values)
    return Measured(
        sample.mean - stored.mean,
        lambda count, confidence: welch_half_width(sample.spread, count, stored, confidence),
    )
