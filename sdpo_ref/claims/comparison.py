"""A part's comparisons: which cells of the study each of them needs, and the number that it is about for one seed."""

import functools
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sdpo_ref.claims.schema import Frontier, Part, Statement, Term
from sdpo_ref.errors import IntegrityError
from sdpo_ref.study.experiment import Experiment, Label, StudySettings
from sdpo_ref.study.experiments import EXPERIMENTS


@dataclass(frozen=True)
class CellName:
    """A cell of the study by its labels.

    Attributes:
        experiment: its experiment.
        labels: all of them, sorted by axis.
    """

    experiment: str
    labels: tuple[tuple[str, Label], ...]

    @property
    def settings(self) -> StudySettings:
        """What is run there."""
        return _cells(self.experiment)[self.labels]

    def __str__(self) -> str:
        return f"{self.experiment}: {', '.join(f'{axis} {value}' for axis, value in self.labels)}"


@dataclass(frozen=True)
class ResolvedTerm:
    """A term whose cells have been found.

    Attributes:
        weight: that the value is multiplied by.
        cells: one, or those of a frontier by their place on its axis.
        frontier: how several cells become one value.
    """

    weight: float
    cells: tuple[CellName, ...]
    frontier: Frontier | None


@dataclass(frozen=True)
class Comparison:
    """One comparison of a part.

    Attributes:
        point: axis to value, of the part's ``over``.
        terms: of the quantity.
    """

    point: tuple[tuple[str, Label], ...]
    terms: tuple[ResolvedTerm, ...]

    @property
    def name(self) -> str:
        """Its point in words; "all" where there is but one comparison."""
        return ", ".join(str(value) for _, value in self.point) or "all"

    @property
    def cells(self) -> tuple[CellName, ...]:
        """Every cell that it needs, each once."""
        return tuple(dict.fromkeys(cell for term in self.terms for cell in term.cells))


@functools.cache
def comparisons(part: Part) -> tuple[Comparison, ...]:
    """All comparisons of a part, in the order of its axes.

    Args:
        part: of a claim.

    Raises:
        IntegrityError: if the labels of a term do not single out what they should.
    """
    return tuple(
        Comparison(tuple(point.items()), tuple(_resolved(part, term, point) for term in part.terms))
        for point in _points(part)
    )


def count_comparisons(claim: Statement) -> int:
    """How many comparisons all parts of a claim have: the chance of a false FAIL is shared among them."""
    return sum(len(comparisons(part)) for part in claim.parts)


def _points(part: Part) -> Iterator[dict[str, Label]]:
    for values in itertools.product(*part.over.values()):
        point: dict[str, Label] = {}
        for axis, value in zip(part.over, values, strict=True):
            point.update(value if isinstance(value, dict) else {axis: value})
        yield point


def _resolved(part: Part, term: Term, point: Mapping[str, Label]) -> ResolvedTerm:
    wanted = {axis: _at(label, point) for axis, label in term.cell.items()}
    found = [cell.labels for cell in cells_with(part.experiment, wanted)]
    where = f"the part {part.name!r} asks {part.experiment} for the cell {wanted}"
    if term.frontier is None and len(found) != 1:
        raise IntegrityError(f"{where}, which {len(found)} cells have; allowed is one")
    if term.frontier is None:
        return ResolvedTerm(term.weight, (CellName(part.experiment, found[0]),), None)
    along = term.frontier.along
    places = sorted((float(dict(labels)[along]), labels) for labels in found if along in dict(labels))
    if len(places) < 2 or len({place for place, _ in places}) != len(places):
        raise IntegrityError(f"{where} along {along}, which {len(places)} cells have; allowed is one at each place")
    frontier = term.frontier.model_copy(update={"at": _at(term.frontier.at, point)})
    return ResolvedTerm(term.weight, tuple(CellName(part.experiment, labels) for _, labels in places), frontier)


def _at(label: Label, point: Mapping[str, Label]) -> Label:
    """A label, or the value of the axis that it names."""
    return point[label[1:]] if isinstance(label, str) and label.startswith("$") else label


def cells_with(experiment: str, labels: Mapping[str, Label]) -> list[CellName]:
    """The cells of an experiment that have some labels, and perhaps others.

    Args:
        experiment: its id.
        labels: axis to value.
    """
    return [CellName(experiment, found) for found in _cells(experiment) if labels.items() <= dict(found).items()]


@functools.cache
def _cells(experiment: str) -> Mapping[tuple[tuple[str, Label], ...], StudySettings]:
    made: Experiment = EXPERIMENTS[experiment]()
    return {tuple(sorted(cell.labels.items())): cell.settings for cell in made.cells}


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
