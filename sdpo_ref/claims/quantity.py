"""The number that a comparison is about, for one seed."""

import itertools
import math
from collections.abc import Mapping, Sequence

from sdpo_ref.claims.comparison import CellName, Comparison, ResolvedTerm
from sdpo_ref.claims.schema import Frontier, Part

Metrics = Mapping[str, float]
"""Metric to value, of one run; what a run has not, or lost by ending early, is absent."""


def quantity(part: Part, comparison: Comparison, found: Mapping[CellName, Metrics]) -> float:
    """The weighted sum of the terms, less the offset.

    Implements: STAT-028.

    Args:
        part: that is decided.
        comparison: of that part.
        found: what the runs of one seed found.

    Returns:
        The quantity in the metric's unit, in log units where the part asks for the logarithm; NaN where a value is
        missing or not finite.
    """
    values = [term.weight * _value(part, term, found) for term in comparison.terms]
    return math.fsum(values) - part.offset if all(map(math.isfinite, values)) else math.nan


def _value(part: Part, term: ResolvedTerm, found: Mapping[CellName, Metrics]) -> float:
    runs = [found[cell] for cell in term.cells]
    values = [run.get(part.metric, math.nan) for run in runs]
    if term.frontier is None:
        value = values[0]
    else:
        value = _on_frontier(term.frontier, [run.get(term.frontier.diversity, math.nan) for run in runs], values)
    if not part.log:
        return value
    return math.log(value) if value > 0 else math.nan


def _on_frontier(frontier: Frontier, diversities: Sequence[float], values: Sequence[float]) -> float:
    """The best value among runs, and mixtures of neighbours, of at least the stated diversity. Implements: STAT-029."""
    if not all(map(math.isfinite, (*diversities, *values))):
        return math.nan
    wanted = float(frontier.at)
    points = list(zip(diversities, values, strict=True))
    reached = [value for diversity, value in points if diversity >= wanted]
    for (before, low), (after, high) in itertools.pairwise(points):
        if (before - wanted) * (after - wanted) < 0:
            reached.append(low + (high - low) * (wanted - before) / (after - before))
    return max(reached, default=math.nan)
