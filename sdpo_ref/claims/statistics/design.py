"""What every rule's design must fulfil: looks, error rates, comparisons; and what its values must."""

import math
from collections.abc import Sequence
from itertools import pairwise

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
    """Reason of a ruling INVALID.

    Args:
        values: those that were to be used.
        index: of the one that is not finite.
    """
    return f"value {index} (counted from 0) is {values[index]}: a run that went wrong is no evidence either way"
