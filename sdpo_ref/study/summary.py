"""Means over seeds with intervals, of single values, of paired differences and of ratios. No verdicts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
"""Of every interval in the study."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: in the unit of the values.
        half_width: of the interval around it, in the same unit; ``None`` where one value gives no interval.
        count: how many seeds.
    """

    mean: float
    half_width: float | None
    count: int

    @property
    def low(self) -> float:
        """Lower end of the interval; the mean itself where there is none."""
        return self.mean - (self.half_width or 0.0)

    @property
    def high(self) -> float:
        """Upper end of the interval; the mean itself where there is none."""
        return self.mean + (self.half_width or 0.0)


def estimate(values: Sequence[float]) -> Estimate | None:
    """Mean with its 95 % interval by Student's t, which takes the values for independent and roughly normal.

    Args:
        values: one for each seed; all finite.

    Returns:
        The estimate; without an interval for one value, ``None`` for no value.

    Example:
        >>> found = estimate([1.0, 2.0, 3.0])
        >>> round(found.mean, 3), round(found.half_width, 3)
        (2.0, 2.484)
    """
    if not values:
        return None
    mean = math.fsum(values) / len(values)
    return Estimate(mean, _half_width([value - mean for value in values]), len(values))


def paired_difference(left: Mapping[int, float], right: Mapping[int, float]) -> Estimate | None:
    """Mean of left minus right over the seeds that both have: what the seeds share cancels.

    Args:
        left: seed to value.
        right: seed to value.

    Returns:
        The estimate; ``None`` if no seed is in both.

    Example:
        >>> paired_difference({0: 3.0, 1: 5.0, 2: 9.0}, {0: 1.0, 1: 3.0}).mean
        2.0
    """
    return estimate(list(differences(left, right).values()))


def differences(left: Mapping[int, float], right: Mapping[int, float]) -> dict[int, float]:
    """Left minus right by seed, in the order of the seeds, for those that both have.

    Args:
        left: seed to value.
        right: seed to value.
    """
    return {seed: left[seed] - right[seed] for seed in sorted(left.keys() & right.keys())}


def paired_ratio(numerator: Mapping[int, float], denominator: Mapping[int, float]) -> Estimate | None:
    """Ratio of two means over the seeds that both have, with an interval by the delta method.

    Args:
        numerator: seed to value.
        denominator: seed to value, in the same unit.

    Returns:
        The estimate; ``None`` if no seed is in both, or if the denominator's own interval holds zero, because the ratio
        could then be anything.

    Example:
        >>> paired_ratio({0: 4.0, 1: 4.5}, {0: 8.0, 1: 9.0})
        Estimate(mean=0.5, half_width=0.0, count=2)
    """
    shared = sorted(numerator.keys() & denominator.keys())
    below = estimate([denominator[seed] for seed in shared])
    above = estimate([numerator[seed] for seed in shared])
    if below is None or above is None or below.low <= 0.0 <= below.high:
        return None
    ratio = above.mean / below.mean
    residuals = [(numerator[seed] - ratio * denominator[seed]) / below.mean for seed in shared]
    return Estimate(ratio, _half_width(residuals), len(shared))


def standard_deviation(values: Sequence[float]) -> float | None:
    """Spread over seeds, with n - 1 in the denominator; ``None`` for fewer than two values.

    Args:
        values: one for each seed.

    Example:
        >>> standard_deviation([1.0, 3.0])
        1.4142135623730951
    """
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def student_half_width(spread: float, count: int, confidence: float) -> float:
    """Half the width of a two-sided interval for a mean; takes the values for independent and roughly normal.

    Args:
        spread: standard deviation, at least 0.
        count: how many values, at least 2.
        confidence: of the interval, (0, 1).

    Example:
        >>> round(student_half_width(1.0, 5, 0.95), 4)
        1.2417
    """
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, (1.0 + confidence) / 2.0)) * spread / math.sqrt(count)


def _half_width(residuals: Sequence[float]) -> float | None:
    """Of the interval around a mean, from what is left when that is taken away."""
    spread = standard_deviation(residuals)
    return None if spread is None else student_half_width(spread, len(residuals), CONFIDENCE)
