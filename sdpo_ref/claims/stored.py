"""The reference distributions: what the bundled methods found at the seeds of verdicts, kept in the repository.

One pair of files for the seeds that claims share: a tensor [cell, seed, metric] in float32, and beside it what its axes
are. ``sdpo-ref claims reference`` makes them again.
"""

import functools
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import load_file, save_file

from sdpo_ref import SPEC_VERSION
from sdpo_ref.claims.comparison import CellName, Comparison, Metrics, comparisons, quantity
from sdpo_ref.claims.runs import BUNDLED, UNDER_TEST, RunName, Source
from sdpo_ref.claims.schema import Claim, Part, Seeds
from sdpo_ref.errors import IntegrityError
from sdpo_ref.study.experiment import Label

FOLDER = "reference"
"""In ``conformance/``."""

_TENSOR = "values"

Column = tuple[CellName, str]
"""A cell, and whose SDPO ran there."""


class _Axes(BaseModel):
    """What the axes of a tensor are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec_version: str
    seeds: Seeds
    count: int
    metrics: tuple[str, ...]
    cells: tuple[tuple[str, tuple[tuple[str, Label], ...], str], ...]


@dataclass(frozen=True)
class Stored:
    """Stored runs as a source.

    Attributes:
        folder: of the files.
        order: index of a repeat to the stored one; ``None`` for the same.
    """

    folder: Path
    order: Sequence[int] | None = None

    def values(self, runs: Collection[RunName]) -> Mapping[RunName, Metrics]:
        """Metrics of those runs that are stored.

        Args:
            runs: which.

        Raises:
            IntegrityError: if a file is broken, or of another version of the specification.
        """
        found = ((one, self._value(one)) for one in runs)
        return {one: value for one, value in found if value is not None}

    def count(self, seeds: Seeds) -> int:
        """How many repeats are stored.

        Args:
            seeds: of a claim.
        """
        table = _read(self.folder, seeds)
        return 0 if table is None else table[0].count

    def metrics(self, seeds: Seeds) -> tuple[str, ...]:
        """Which metrics are stored.

        Args:
            seeds: of a claim.
        """
        table = _read(self.folder, seeds)
        return () if table is None else table[0].metrics

    def quantities(self, part: Part, comparison: Comparison, seeds: Seeds) -> list[float]:
        """A comparison's quantity at every stored repeat, for the bundled SDPO; none where a run is not stored.

        Args:
            part: of a claim.
            comparison: of that part.
            seeds: of that claim.
        """
        found = []
        for index in range(self.count(seeds)):
            names = {cell: RunName(seeds, index, cell) for cell in comparison.cells}
            runs = self.values(names.values())
            if len(runs) < len(names):
                return []
            found.append(quantity(part, comparison, {cell: runs[name] for cell, name in names.items()}))
        return found

    def _value(self, one: RunName) -> Metrics | None:
        table = _read(self.folder, one.seeds)
        if table is None:
            return None
        axes, places, rows = table
        variant = BUNDLED if one.variant == UNDER_TEST else one.variant
        place = places.get((one.cell, variant))
        index = (
            one.index if self.order is None else self.order[one.index] if one.index < len(self.order) else axes.count
        )
        if place is None or index >= axes.count:
            return None
        return {
            metric: value
            for metric, value in zip(axes.metrics, rows[place][index], strict=True)
            if not math.isnan(value)
        }


def wanted_columns(claims: Iterable[Claim], seeds: Seeds) -> tuple[dict[Column, None], tuple[str, ...]]:
    """What has to be stored for claims that share seeds: cells with their variants, and metrics."""
    columns: dict[Column, None] = {}
    metrics: dict[str, None] = {}
    for claim in claims:
        if claim.seeds != seeds:
            continue
        for part in claim.parts:
            metrics[part.metric] = None
            metrics.update((term.frontier.diversity, None) for term in part.terms if term.frontier is not None)
            columns.update(((cell, BUNDLED), None) for one in comparisons(part) for cell in one.cells)
        control = claim.negative_control
        first = comparisons(claim.part(control.part))[0]
        columns.update(((cell, control.mutant), None) for cell in first.cells)
    return columns, tuple(metrics)


def generate(claims: Iterable[Claim], seeds: Seeds, count: int, source: Source, folder: Path) -> Path:
    """Run the bundled methods at the seeds of verdicts and write what they found.

    Implements: STAT-016.

    Args:
        claims: all of them.
        seeds: that some of them share.
        count: of repeats.
        source: of fresh runs.
        folder: of the files.

    Returns:
        The file with the axes.
    """
    columns, metrics = wanted_columns(claims, seeds)
    runs = [[RunName(seeds, index, cell, variant) for index in range(count)] for cell, variant in columns]
    found = source.values([one for row in runs for one in row])
    table = [[[found[one].get(metric, math.nan) for metric in metrics] for one in row] for row in runs]
    axes = _Axes(
        spec_version=SPEC_VERSION,
        seeds=seeds,
        count=count,
        metrics=metrics,
        cells=tuple((cell.experiment, cell.labels, variant) for cell, variant in columns),
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_file({_TENSOR: torch.tensor(table, dtype=torch.float32)}, _path(folder, seeds, "safetensors"))
    text = json.dumps(axes.model_dump(mode="json"), indent=1, ensure_ascii=False)
    _path(folder, seeds, "json").write_text(text + "\n", encoding="utf-8")
    _read.cache_clear()
    return _path(folder, seeds, "json")


def _path(folder: Path, seeds: Seeds, suffix: str) -> Path:
    return folder / f"{seeds.claim}.{suffix}"


@functools.cache
def _read(folder: Path, seeds: Seeds) -> tuple[_Axes, Mapping[Column, int], list[list[list[float]]]] | None:
    beside, path = _path(folder, seeds, "json"), _path(folder, seeds, "safetensors")
    if not beside.exists():
        return None
    again = "run `sdpo-ref claims reference`"
    try:
        axes = _Axes.model_validate_json(beside.read_text(encoding="utf-8"))
        table = load_file(path)[_TENSOR]
    except (OSError, KeyError, ValidationError, ValueError) as error:
        raise IntegrityError(f"{path} cannot be read ({error}); restore it, or {again}") from error
    if axes.spec_version != SPEC_VERSION or axes.seeds != seeds:
        raise IntegrityError(
            f"{beside} is of specification {axes.spec_version} and the seeds {axes.seeds}; this is {SPEC_VERSION} with "
            f"{seeds}; {again}"
        )
    if table.shape != (len(axes.cells), axes.count, len(axes.metrics)):
        raise IntegrityError(f"{path} has shape {tuple(table.shape)}, its axes say otherwise; restore it, or {again}")
    places = {(CellName(name, labels), variant): place for place, (name, labels, variant) in enumerate(axes.cells)}
    return axes, places, table.to(torch.float64).tolist()
