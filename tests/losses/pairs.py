"""Fewer cases that still hold every pair of option values: a covering array of strength two."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, product
from typing import Any

Case = Mapping[str, Any]


def _anything(_case: Case) -> bool:
    return True


def pairs(case: Case) -> set[tuple[tuple[str, Any], tuple[str, Any]]]:
    """The pairs of option values that a case holds.

    Args:
        case: option to value; values are hashable.
    """
    return set(combinations(sorted(case.items(), key=lambda item: item[0]), 2))


def every_case(options: Mapping[str, Sequence[Any]], allowed: Callable[[Case], bool] = _anything) -> list[Case]:
    """The full product of the options, without the cases that are not allowed.

    Args:
        options: option to its values.
        allowed: whether a case is a valid problem.
    """
    cases = (dict(zip(options, values, strict=True)) for values in product(*options.values()))
    return [case for case in cases if allowed(case)]


def covering(options: Mapping[str, Sequence[Any]], allowed: Callable[[Case], bool] = _anything) -> list[Case]:
    """Cases that together hold every pair of values that any allowed case holds, chosen greedily.

    Among cases that add as many pairs, the one whose values were used least is taken.

    Args:
        options: option to its values.
        allowed: whether a case is a valid problem.

    Returns:
        The cases, the same in every run.

    Example:
        >>> three = {"a": "xyz", "b": "xyz", "c": "xyz"}
        >>> len(every_case(three)), len(covering(three))
        (27, 9)
    """
    cases = every_case(options, allowed)
    bits: dict[object, int] = {}
    masks = [sum(1 << bits.setdefault(pair, len(bits)) for pair in pairs(case)) for case in cases]
    left = (1 << len(bits)) - 1
    used: Counter[tuple[str, Any]] = Counter()
    chosen = []
    while left:
        most = max((mask & left).bit_count() for mask in masks)
        best = min(
            (number for number, mask in enumerate(masks) if (mask & left).bit_count() == most),
            key=lambda number: sum(used[item] for item in cases[number].items()),
        )
        chosen.append(cases[best])
        used.update(cases[best].items())
        left &= ~masks[best]
    return chosen
