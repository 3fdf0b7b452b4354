"""An experiment as data: its cells, the tasks that they become with seeds, and the identity of a task."""

import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sdpo_ref.errors import UsageError
from sdpo_ref.published.settings import PublishedSettings
from sdpo_ref.simulation.run_settings import ProbeSettings, RunSettings
from sdpo_ref.study.fingerprint import WorldName, code_fingerprint, factory_fingerprint
from sdpo_ref.study.outcome import Outcome

_FIRST_OF_TUNING = 1_000_000


def claim_seeds(count: int) -> tuple[int, ...]:
    """Seeds of the claims: 0, 1, 2 and so on.

    Implements: SIM-149.

    Args:
        count: how many; at least 1 and at most a million.

    Raises:
        UsageError: if there are none, or so many that they reach those of tuning.

    Example:
        >>> claim_seeds(3)
        (0, 1, 2)
    """
    return tuple(range(_allowed(count)))


def tuning_seeds(count: int) -> tuple[int, ...]:
    """Seeds on which settings are chosen; no claim uses them.

    Implements: SIM-149.

    Args:
        count: how many; at least 1 and at most a million.

    Raises:
        UsageError: if the number is outside that.

    Example:
        >>> tuning_seeds(2)
        (1000000, 1000001)
    """
    return tuple(_FIRST_OF_TUNING + number for number in range(_allowed(count)))


def _allowed(count: int) -> int:
    if not 1 <= count <= _FIRST_OF_TUNING:
        raise UsageError(f"received {count} seeds; allowed are 1 to {_FIRST_OF_TUNING}, and 5 are the study's protocol")
    return count


StudySettings = Annotated[RunSettings | ProbeSettings | PublishedSettings, Field(discriminator="kind")]
"""Settings of one task: a run or a probe in our own world, or a run in that of the published study."""


def world_of(settings: StudySettings) -> WorldName:
    """The world that a task is in.

    Args:
        settings: of the task.

    Example:
        >>> world_of(PublishedSettings())
        'published'
    """
    return "published" if isinstance(settings, PublishedSettings) else "simulated"


@dataclass(frozen=True)
class Task:
    """Settings and a seed.

    Attributes:
        settings: everything but the seed.
        seed: of the world, the corpus, the oracle and the run.
    """

    settings: StudySettings
    seed: int

    @functools.cached_property
    def key(self) -> str:
        """A name that changes with the settings, the seed and the meaning of the code, and with nothing else."""
        identity = {
            "settings": self.settings.model_dump(mode="json"),
            "seed": self.seed,
            "code": code_fingerprint(world_of(self.settings)),
            "parts": {name: factory_fingerprint(name) for name in sorted(factories(self.settings))},
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def factories(settings: StudySettings) -> set[str]:
    """Third-party parts that a task uses, as ``module:factory``."""
    if isinstance(settings, PublishedSettings):
        return set() if settings.outside.part is None else {settings.outside.part}
    if not isinstance(settings, RunSettings):
        return set()
    named = (
        settings.oracle_factory,
        getattr(settings.method, "factory", None),
        getattr(settings.method, "implementation", None),
        getattr(settings.method, "teacher_factory", None),
    )
    return {name for name in named if name is not None}


Label = str | float
"""What distinguishes cells: a name, or a number on an axis."""


class Cell(BaseModel):
    """One setting of an experiment; all its seeds are repeats.

    Attributes:
        labels: axis to value, such as ``{"regime": "scalar", "method": "sdpo"}``.
        settings: everything but the seed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: dict[str, Label]
    settings: StudySettings


class Experiment(BaseModel):
    """A question of the study.

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


Cells = Callable[[], Iterator[Cell]]
"""Makes the cells of an experiment."""


class Experiments(dict[str, Callable[[], Experiment]]):
    """Id to experiment; each is entered by a heading over the function that makes its cells.

    Example:
        >>> experiment = Experiments()
        >>> made = experiment("F99", "Nothing", "Is anything left?")(lambda: iter(()))
        >>> list(experiment)
        ['F99']
    """

    def __call__(self, name: str, title: str, question: str) -> Callable[[Cells], Cells]:
        """Enter an experiment; one function may make the cells of several.

        Args:
            name: its id.
            title: a few words.
            question: a sentence that the numbers answer.
        """

        def enter(cells: Cells) -> Cells:
            self[name] = lambda: Experiment(name=name, title=title, question=question, cells=tuple(cells()))
            return cells

        return enter
