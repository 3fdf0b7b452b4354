"""What is shown beside an outcome and never decided with."""

from collections.abc import Callable, Sequence

import numpy as np

from sdpo_ref.claims.statistics.design import first_not_finite
from sdpo_ref.errors import InvalidInputError

Statistic = Callable[[Sequence[Sequence[float]]], float]
"""A number computed from the values of every stratum."""


def interquartile_mean(values: Sequence[float]) -> float:
    """Mean of the middle half: a quarter of the values, rounded down, is left out at either end.

    Implements: STAT-009.

    Args:
        values: at least one, finite.

    Raises:
        InvalidInputError: if there is none, or one is not finite.

    Example:
        >>> interquartile_mean([0.0, 1.0, 3.0, 100.0])
        2.0
    """
    _check(values)
    from scipy.stats import trim_mean  # a second of start that few commands need

    return float(trim_mean(values, 0.25))


def stratified_bootstrap(
    strata: Sequence[Sequence[float]],
    statistic: Statistic,
    *,
    generator: np.random.Generator,
    draws: int = 2000,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of a statistic, resampling the values within each stratum.

    Implements: STAT-009.

    Args:
        strata: the values of each, at least one, finite; such as one stratum a regime.
        statistic: from the values of all strata, each as many as received.
        generator: drawn from.
        draws: how many resamples, at least 1.
        confidence: of the interval, (0, 1).

    Returns:
        Lower and upper end. Too narrow for few seeds: a resample has no values but those that were seen.

    Raises:
        InvalidInputError: if there is no stratum or no value in one, or a number is outside its range.
    """
    if not strata or draws < 1 or not 0.0 < confidence < 1.0:
        raise InvalidInputError(
            f"received {len(strata)} strata, {draws} draws and confidence {confidence}; allowed are 1 or more strata "
            "and draws, and a confidence between 0 and 1"
        )
    for values in strata:
        _check(values)
    arrays = [np.asarray(values, dtype=np.float64) for values in strata]
    found = [statistic([generator.choice(array, len(array)).tolist() for array in arrays]) for _ in range(draws)]
    low, high = np.quantile(found, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return float(low), float(high)


def _check(values: Sequence[float]) -> None:
    """Refuses what cannot be summarised."""
    if not values:
        raise InvalidInputError("received no values; allowed is 1 or more")
    broken = first_not_finite(values)
    if broken is not None:
        raise InvalidInputError(
            f"received {values[broken]} as value {broken} (counted from 0); allowed are finite values; leave out runs "
            "without a result and report their number"
        )
