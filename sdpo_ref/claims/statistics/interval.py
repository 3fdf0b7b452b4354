"""Intervals for a mean and for the difference of two means, by Student's t and by Welch's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.study.summary import standard_deviation

Interval = tuple[float, float]
"""Lower and upper end."""


@dataclass(frozen=True)
class Sample:
    """What the intervals need of values over seeds.

    Attributes:
        mean: in the unit of the values.
        spread: standard deviation with n - 1 in the denominator, in the same unit, at least 0.
        count: how many values, at least 2.
        largest_residual: largest distance from the mean in standard deviations, 0 without spread.
    """

    mean: float
    spread: float
    count: int
    largest_residual: float = 0.0

    @classmethod
    def from_values(cls, values: Sequence[float]) -> "Sample":
        """Moments of values; equal values have no spread at all, whatever the rounding of their mean.

        Args:
            values: at least two, finite.

        Raises:
            InvalidInputError: if there are fewer than two: one value has no spread.

        Example:
            >>> Sample.from_values([0.1, 0.1, 0.1]).spread
            0.0
        """
        spread = standard_deviation(values)
        if spread is None:
            raise InvalidInputError(f"received {len(values)} values; an interval needs at least 2; run more seeds")
        if min(values) == max(values) or spread == 0.0:
            return cls(values[0], 0.0, len(values))
        mean = math.fsum(values) / len(values)
        return cls(mean, spread, len(values), max(abs(value - mean) for value in values) / spread)


def welch_half_width(spread: float, count: int, reference: Sample, confidence: float) -> float:
    """Half the width of a two-sided interval for a difference of two means whose spreads may differ.

    Args:
        spread: standard deviation of the first, at least 0.
        count: how many values it has, at least 2.
        reference: the second.
        confidence: of the interval, (0, 1).

    Returns:
        The half width by Welch's degrees of freedom; 0 if neither has any spread.
    """
    of_values, of_reference = spread**2 / count, reference.spread**2 / reference.count
    variance = of_values + of_reference
    if variance == 0.0:
        return 0.0
    shares = (of_values / variance, of_reference / variance)
    freedom = 1.0 / (shares[0] ** 2 / (count - 1) + shares[1] ** 2 / (reference.count - 1))
    return float(stdtrit(freedom, (1.0 + confidence) / 2.0)) * math.sqrt(variance)


def around(mean: float, half_width: float) -> Interval:
    """The interval of that half width around a mean.

    Args:
        mean: its middle.
        half_width: at least 0, in the same unit.
    """
    return mean - half_width, mean + half_width
