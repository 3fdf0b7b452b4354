"""What every rule's design must fulfil, what its values must, and the boundaries that keep a walk within a budget."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sdpo_ref.errors import InvalidInputError


def check_design(looks: Sequence[int], alpha: float, beta: float, comparisons: int) -> None:
    """Refuses a design that no rule can work with.

    Args:
        looks: numbers of seeds at which the rule may decide.
        alpha: false-pass rate of the claim.
        beta: false-fail rate of the claim.
        comparisons: how many comparisons share ``beta``.

    Raises:
        InvalidInputError: unless looks increase from at least 1, rates lie in (0, 1/2) and there is a comparison.
    """
    if not looks or looks[0] < 1 or any(later <= earlier for earlier, later in pairwise(looks)):
        raise InvalidInputError(f"received looks {tuple(looks)}; allowed are increasing counts of seeds from 1 on")
    for name, rate in (("alpha", alpha), ("beta", beta)):
        if not 0.0 < rate < 0.5:
            raise InvalidInputError(f"received {name} {rate}; allowed is a rate between 0 and 0.5, both excluded")
    if comparisons < 1:
        raise InvalidInputError(f"received {comparisons} comparisons; allowed is 1 or more")


def check_band(name: str, band: tuple[float, float]) -> None:
    """Refuses a band that is not a finite interval.

    Args:
        name: of the band, for the message.
        band: its lower and upper end, in the unit of the values.

    Raises:
        InvalidInputError: unless both ends are finite and the lower is not above the upper.
    """
    if not (math.isfinite(band[0]) and math.isfinite(band[1]) and band[0] <= band[1]):
        raise InvalidInputError(f"received {name} {band}; allowed are two finite numbers, the smaller one first")


def first_not_finite(values: Sequence[float]) -> int | None:
    """Index of the first value that is NaN or infinite; ``None`` if all are finite.

    Args:
        values: any numbers.

    Example:
        >>> first_not_finite([0.0, float("inf"), float("nan")])
        1
    """
    return next((index for index, value in enumerate(values) if not math.isfinite(value)), None)


def not_finite(values: Sequence[float], index: int) -> str:
    """Reason of an outcome INVALID.

    Args:
        values: those that were to be used.
        index: of the one that is not finite.
    """
    return f"value {index} (counted from 0) is {values[index]}: a run that went wrong is no evidence either way"


ROUNDING = 1e-12
"""Relative; a probability that equals its budget is within it."""


def advance(distribution: NDArray[np.float64], seeds: int, probability: float) -> NDArray[np.float64]:
    """Distribution of the successes after further seeds.

    Args:
        distribution: index i holds the probability of i successes so far; may sum to less than 1.
        seeds: how many more, at least 0.
        probability: of a success, [0, 1].

    Returns:
        As received, longer by ``seeds``.

    Example:
        >>> advance(np.ones(1), 2, 0.5).round(6).tolist()
        [0.25, 0.5, 0.25]
    """
    from scipy.stats import binom  # a second of start that few commands need

    return np.convolve(distribution, binom.pmf(np.arange(seeds + 1), seeds, probability))


def smallest_crossings(looks: Sequence[int], probability: float, budgets: Sequence[float]) -> tuple[int, ...]:
    """Boundaries, as low as the budgets allow, of a count of successes.

    A walk that has reached a boundary is taken out, so that no crossing counts twice. At each look the boundary is the
    smallest for which the probability of having crossed at this look or before is within the budget; what a look
    leaves over is there for the next.

    Args:
        looks: increasing numbers of seeds.
        probability: of a success, [0, 1].
        budgets: for each look, the allowed probability of having crossed by then; increasing.

    Returns:
        For each look the smallest number of successes that crosses; one more than the seeds where none may.

    Example:
        Five of five have a probability of 1/32, four or more one of 6/32.

        >>> smallest_crossings([5], 0.5, [0.05])
        (5,)
    """
    walk = np.ones(1)
    crossed, before = 0.0, 0
    boundaries = []
    for seeds, budget in zip(looks, budgets, strict=True):
        walk = advance(walk, seeds - before, probability)
        at_least = np.append(np.cumsum(walk[::-1])[::-1], 0.0)
        boundary = int(np.argmax(crossed + at_least <= budget * (1.0 + ROUNDING)))
        boundaries.append(boundary)
        crossed += float(at_least[boundary])
        walk[boundary:] = 0.0
        before = seeds
    return tuple(boundaries)
