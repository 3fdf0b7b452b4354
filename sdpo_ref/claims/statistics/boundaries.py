"""The exact walk of a count of successes over looks, and the boundaries that keep its crossings within a budget."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

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
