"""An experiment as data: which cells are compared, and by which labels they are told apart."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sdpo_ref.simulation.run_settings import TaskSettings
from sdpo_ref.study.outcome import Outcome
from sdpo_ref.study.task import Task

Label = str | float
"""What tells cells apart: a name, or a number on an axis."""


class Cell(BaseModel):
    """One setting of an experiment; all its seeds are repeats.

    Attributes:
        labels: axis to value, such as ``{"regime": "scalar", "method": "sdpo"}``.
        settings: all there is to know but the seed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: dict[str, Label]
    settings: TaskSettings


class Experiment(BaseModel):
    """A question that the study asks.

    Implements: SIM-136.

    Attributes:
        name: id of the claim, or of a user's own experiment.
        title: a few words.
        question: a sentence that the numbers answer.
        cells: what is run; two experiments may share settings, which are then run once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    title: str
    question: str
    cells: Annotated[tuple[Cell, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _labels_differ(self) -> "Experiment":
        seen: set[tuple[tuple[str, Label], ...]] = set()
        for cell in self.cells:
            labels = tuple(sorted(cell.labels.items()))
            if labels in seen:
                raise ValueError(f"received two cells with the labels {dict(labels)}; give each cell labels of its own")
            seen.add(labels)
        return self

    def tasks(self, seeds: Sequence[int]) -> Iterator[Task]:
        """Every cell with every seed; seed by seed, so that a study that is stopped has whole repeats.

        Args:
            seeds: of the repeats.
        """
        for seed, cell in itertools.product(seeds, self.cells):
            yield Task(cell.settings, seed)


@dataclass(frozen=True)
class Observation:
    """What one task of an experiment found.

    Attributes:
        labels: of its cell.
        seed: of the repeat; equal seeds are paired: same world, same noise.
        outcome: what was found.
    """

    labels: Mapping[str, Label]
    seed: int
    outcome: Outcome
