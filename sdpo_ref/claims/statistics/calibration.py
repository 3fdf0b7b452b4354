"""What a rule's rates are on values that were measured, rather than on those that its theory assumes."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sdpo_ref.claims.statistics.ruling import Ruling
from sdpo_ref.errors import InvalidInputError


def calibrate(
    decide: Callable[[Sequence[float]], Ruling],
    values: Sequence[float],
    *,
    seeds: int,
    draws: int,
    generator: np.random.Generator,
) -> Mapping[Ruling, float]:
    """Measured rates of a rule on stored values. Implements: STAT-010.

    Each draw takes seeds without replacement, as a run of the suite does; with replacement, values would repeat within
    a draw, and ties and too small a spread would be the rule's input. Draws overlap, so that the rates are those of
    this store, and say little about another unless it holds many times more values than a draw takes.

    Args:
        decide: the rule, from values in the order of their seeds.
        values: stored, one for each seed.
        seeds: how many a draw takes, 1 to all.
        draws: how many, at least 1.
        generator: drawn from.

    Returns:
        The share of draws for each ruling; together 1.

    Raises:
        InvalidInputError: if a draw would need more values than are stored, or there is no draw.

    Example:
        >>> rates = calibrate(
        ...     lambda drawn: Ruling.PASS if min(drawn) > 0.0 else Ruling.INCONCLUSIVE,
        ...     [1.0, 2.0, 3.0],
        ...     seeds=2,
        ...     draws=10,
        ...     generator=np.random.default_rng(0),
        ... )
        >>> rates[Ruling.PASS], rates[Ruling.FAIL]
        (1.0, 0.0)
    """
    if not 1 <= seeds <= len(values) or draws < 1:
        raise InvalidInputError(
            f"received {seeds} seeds of {len(values)} values and {draws} draws; allowed are 1 or more seeds, not more "
            "than there are values, and 1 or more draws"
        )
    stored = np.asarray(values, dtype=np.float64)
    found = Counter(decide(generator.permutation(stored)[:seeds].tolist()) for _ in range(draws))
    return {ruling: found[ruling] / draws for ruling in Ruling}
