"""The published figures as data, their margins, and what became of each when it was run again.

``sdpo_ref/published/figures.toml`` has the figures, ``tolerances.json`` beside it how far seeds differ; no published
number stands in code (spec/09-published-study, section H).
"""

import functools
import itertools
import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

import sdpo_ref.published
from sdpo_ref.claims.comparison import CellName, Metrics, cells_with
from sdpo_ref.claims.statistics.equivalence import EquivalenceRule
from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.errors import IntegrityError
from sdpo_ref.study.experiment import Label
from sdpo_ref.study.summary import Estimate, estimate, standard_deviation

FOLDER = Path(sdpo_ref.published.__file__).parent
"""Holds the figures and the tolerances."""

SEEDS = 64
"""On which figures are decided, and on which other ones tolerances are measured."""

_ALPHA, _BETA = 0.05, 0.01
"""Chance that a figure is called reproduced although our mean differs by the margin; that one of a table is called not
reproduced although none does."""

_WIDTH = 2.0
"""Standard deviations of what was published that a figure may be away from our mean."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(_Kept):
    """One published number, and which of our cells it is compared with.

    Attributes:
        cell: labels that single out the cell.
        value: in the revision.
        first: in the first version, where it is known.
        low: lower end, where a range is published.
        high: upper end.
        less: the cell that is subtracted, for a lead.
        lost_from: the cell of whose value this is the share that is lost.
        mean_over: an axis and its values, over whose cells this is a mean.
    """

    cell: dict[str, Label]
    value: Finite | None = None
    first: Finite | None = None
    low: Finite | None = None
    high: Finite | None = None
    less: dict[str, Label] | None = None
    lost_from: dict[str, Label] | None = None
    mean_over: dict[str, tuple[Label, ...]] = {}

    @model_validator(mode="after")
    def _is_a_number_or_a_range(self) -> "Figure":
        if (self.value is None) == (self.low is None or self.high is None):
            raise ValueError(f"received {self.cell} with neither or both of a value and a range; give one of them")
        return self

    @property
    def middle(self) -> float:
        """The number, or the middle of the range."""
        return self.value if self.value is not None else ((self.low or 0.0) + (self.high or 0.0)) / 2

    @property
    def half_range(self) -> float:
        """Half the width of the range; 0 for a number."""
        return 0.0 if self.value is not None else ((self.high or 0.0) - (self.low or 0.0)) / 2

    @property
    def name(self) -> str:
        """Its cell in words."""
        of = ", ".join(f"{axis} {value}" if isinstance(value, float) else value for axis, value in self.cell.items())
        if self.less is not None:
            return f"{of}: lead"
        return f"{of}: share lost" if self.lost_from is not None else of


class Table(_Kept):
    """Figures of one published table, row or sentence.

    Attributes:
        id: such as T01.
        title: a few words.
        place: where it stands in the publication.
        experiment: whose cells are compared.
        metric: that is published.
        seeds: over how many seeds each number is.
        statistic: their mean, or their standard deviation.
        digits: printed after the point.
        figures: its numbers.
    """

    id: Annotated[str, Field(pattern=r"^T\d\d$")]
    title: str
    place: str
    experiment: str
    metric: str
    seeds: Annotated[int, Field(ge=1)] = 1
    statistic: Literal["mean", "deviation"] = "mean"
    digits: Annotated[int, Field(ge=0)] = 3
    figures: Annotated[tuple[Figure, ...], Field(min_length=1)]

    def cells(self, figure: Figure) -> tuple[CellName, ...]:
        """The cells that a figure needs.

        Args:
            figure: of this table.
        """
        of = [cell for _, cell in self._terms(figure)]
        return tuple(dict.fromkeys(of if figure.lost_from is None else [*of, self._cell(figure.lost_from)]))

    def values(self, figure: Figure, runs: Sequence[Mapping[CellName, Metrics]]) -> list[float]:
        """What would have been published, had each block of seeds been the publication's.

        Implements: PUB-050.

        Args:
            figure: of this table.
            runs: for each seed what its cells found.

        Returns:
            One number for each block of as many seeds as the figure is over; NaN where a run has no such metric.
        """
        each = [self._value(figure, found) for found in runs]
        blocks = [each[start : start + self.seeds] for start in range(0, len(each) - self.seeds + 1, self.seeds)]
        if self.statistic == "deviation":
            return [math.nan if (spread := standard_deviation(block)) is None else spread for block in blocks]
        return [math.fsum(block) / len(block) for block in blocks]

    def _value(self, figure: Figure, found: Mapping[CellName, Metrics]) -> float:
        value = math.fsum(weight * found[cell].get(self.metric, math.nan) for weight, cell in self._terms(figure))
        if figure.lost_from is None:
            return value
        before = found[self._cell(figure.lost_from)].get(self.metric, math.nan)
        return math.nan if before == 0 else 1 - value / before

    def _terms(self, figure: Figure) -> list[tuple[float, CellName]]:
        axes = [[(axis, value) for value in values] for axis, values in figure.mean_over.items()]
        points = [dict(point) for point in itertools.product(*axes)]
        terms = [(1 / len(points), self._cell({**figure.cell, **point})) for point in points]
        if figure.less is not None:
            terms += [(-1 / len(points), self._cell({**figure.less, **point})) for point in points]
        return terms

    def _cell(self, labels: Mapping[str, Label]) -> CellName:
        found = cells_with(self.experiment, labels)
        if len(found) != 1:
            raise IntegrityError(
                f"{self.id} asks {self.experiment} for the cell {dict(labels)}, which {len(found)} cells have; allowed "
                "is one; correct published/figures.toml"
            )
        return found[0]


class Tolerances(_Kept):
    """How far single published numbers may be from a mean over many seeds.

    Attributes:
        command: that measures them again.
        spread: table and figure to the standard deviation over calibration seeds of what would have been published.
    """

    command: str
    spread: dict[str, Finite]

    def margin(self, table: Table, figure: Figure) -> float:
        """The largest difference of our mean from a figure with which that is reproduced.

        Implements: PUB-051.

        Args:
            table: of the figure.
            figure: which.
        """
        spread = self.spread[f"{table.id} {figure.name}"]
        return _WIDTH * spread + figure.half_range + 0.5 * 10.0**-table.digits


class FigureVerdict(StrEnum):
    """What became of a published number."""

    REPRODUCED = "REPRODUCED"
    """Our mean differs from it by less than the margin."""

    SIGN_TURNED = "SIGN TURNED"
    """It is not reproduced and its negative is: it contradicts the publication's own equation."""

    NOT_REPRODUCED = "NOT REPRODUCED"
    """Our mean differs from it by more than the margin."""

    OPEN = "OPEN"
    """The seeds do not decide."""


class FigureFinding(_Kept):
    """A published number beside ours.

    Attributes:
        name: of the figure.
        published: in the revision; for a range its middle.
        first: in the first version.
        mean: ours, over seeds or blocks of them.
        low: lower end of its 95 % interval, which is shown and does not decide.
        high: upper end.
        margin: within which it is reproduced.
        verdict: what became of it.
    """

    name: str
    published: float
    first: float | None
    mean: float
    low: float
    high: float
    margin: float
    verdict: FigureVerdict


@functools.cache
def published_tables() -> tuple[Table, ...]:
    """All published figures.

    Raises:
        IntegrityError: if the file is not as it should be.
    """
    path = FOLDER / "figures.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        return tuple(Table.model_validate(table) for table in document["tables"])
    except (tomllib.TOMLDecodeError, KeyError, ValidationError) as error:
        raise IntegrityError(f"{path} cannot be read ({error}); restore it") from error


@functools.cache
def published_tolerances() -> Tolerances:
    """The tolerances as they were registered.

    Raises:
        IntegrityError: if the file is not as it should be.
    """
    path = FOLDER / "tolerances.json"
    try:
        return Tolerances.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise IntegrityError(f"{path} cannot be read ({error}); restore it") from error


def published_tolerances_or_none() -> Tolerances | None:
    """The tolerances as they were registered; ``None`` if none were yet."""
    return published_tolerances() if (FOLDER / "tolerances.json").exists() else None


def tolerances_of(runs: Sequence[Mapping[CellName, Metrics]]) -> Tolerances:
    """How far what would have been published differs from seed to seed.

    Args:
        runs: for each calibration seed what the cells found.
    """
    spread = {
        f"{table.id} {figure.name}": _digits(standard_deviation(table.values(figure, runs)) or 0.0)
        for table in published_tables()
        for figure in table.figures
    }
    return Tolerances(command="sdpo-ref claims calibrate", spread=spread)


def _digits(value: float) -> float:
    return float(f"{value:.6f}")


def decided(
    table: Table, runs: Sequence[Mapping[CellName, Metrics]], tolerances: Tolerances
) -> Iterator[FigureFinding]:
    """What became of every figure of a table.

    Implements: PUB-052, PUB-053.

    Args:
        table: of figures.
        runs: for each verdict seed what the cells found.
        tolerances: as registered.
    """
    for figure in table.figures:
        values = table.values(figure, runs)
        margin = tolerances.margin(table, figure)
        rule = EquivalenceRule((len(values),), _ALPHA, _BETA, margin, comparisons=len(table.figures))
        outcome = rule.decide([value - figure.middle for value in values]).outcome
        turned = rule.decide([value + figure.middle for value in values]).outcome
        shown = estimate(values) or Estimate(math.nan, None, 0)
        yield FigureFinding(
            name=figure.name,
            published=figure.middle,
            first=figure.first,
            mean=_digits(shown.mean),
            low=_digits(shown.low),
            high=_digits(shown.high),
            margin=_digits(margin),
            verdict=_verdict(outcome, turned),
        )


def _verdict(outcome: ClaimOutcome, turned: ClaimOutcome) -> FigureVerdict:
    match outcome:
        case ClaimOutcome.PASS:
            return FigureVerdict.REPRODUCED
        case ClaimOutcome.FAIL:
            return FigureVerdict.SIGN_TURNED if turned is ClaimOutcome.PASS else FigureVerdict.NOT_REPRODUCED
        case _:
            return FigureVerdict.OPEN


def write_tolerances(tolerances: Tolerances) -> Path:
    """Register tolerances; verdicts that were reached with others do not count any more.

    Args:
        tolerances: to write.
    """
    path = FOLDER / "tolerances.json"
    path.write_text(json.dumps(tolerances.model_dump(mode="json"), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    published_tolerances.cache_clear()
    return path
