"""What a run of the benchmarks found, and its file."""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.goals import goals
from sdpo_ref.errors import UsageError

FORMAT = 1
"""Of the file; grows when an old file cannot be read any more."""


@dataclass(frozen=True)
class Measurement:
    """A number for one measure of a goal.

    Attributes:
        goal: id.
        measure: name.
        value: in the measure's unit.
        details: what stands behind the number.
    """

    goal: str
    measure: str
    value: float
    details: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """What one contestant needed.

    Attributes:
        name: of the contestant.
        seconds: CPU time (GPU: device time) of one forward and backward, the least of all rounds; ``None`` if untimed.
        median_seconds: the same, median.
        first_seconds: wall-clock time of the first call, in which compilers work.
        peak_bytes: most memory in use beyond the inputs.
        note: what to know when comparing; why there are no numbers where there are none.
    """

    name: str
    seconds: float | None = None
    median_seconds: float | None = None
    first_seconds: float | None = None
    peak_bytes: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Race:
    """Contestants on the same inputs, in one process.

    Attributes:
        title: what they computed, on what.
        costs: one for each.
    """

    title: str
    costs: list[Cost]


@dataclass
class Results:
    """What one run of the benchmarks found on one machine.

    Attributes:
        size: ``full``, or ``tiny`` for a trial whose numbers mean nothing.
        machine: as :func:`benchmarks.machine.machine` describes it.
        taken: when, UTC.
        measurements: of goals.
        races: costs of contestants.
        skipped: what was not run, and why.
        checks: further numbers that no goal asks for, by name.
    """

    size: str
    machine: dict[str, str]
    taken: str = field(default_factory=lambda: datetime.now(tz=UTC).isoformat(timespec="seconds"))
    measurements: list[Measurement] = field(default_factory=list)
    races: list[Race] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    checks: dict[str, float] = field(default_factory=dict)

    def add(self, goal: str, measure: str, value: float, **details: float) -> None:
        """Keep a number; the goal must have asked for it.

        Args:
            goal: id.
            measure: name.
            value: in the measure's unit.
            details: what stands behind it.

        Raises:
            InvalidInputError: if the goal has no such measure.
        """
        goals()[goal].measure(measure)
        self.measurements.append(Measurement(goal, measure, value, details))

    def value(self, goal: str, measure: str) -> float | None:
        """The number for a measure, ``None`` if there is none."""
        found = [one.value for one in self.measurements if (one.goal, one.measure) == (goal, measure)]
        return found[-1] if found else None

    def save(self, path: Path) -> None:
        """Write the file, and the folder if it is missing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")


def load(path: Path) -> Results:
    """Read a file that :meth:`Results.save` wrote.

    Args:
        path: of the file.

    Returns:
        What was found.

    Raises:
        UsageError: if there is no such file, or it is of another kind.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise UsageError(f"{path.name} is of another format than {FORMAT}; run the benchmarks again")
        measurements = [Measurement(**one) for one in content.pop("measurements")]
        races = [Race(one["title"], [Cost(**cost) for cost in one["costs"]]) for one in content.pop("races")]
        return Results(**content, measurements=measurements, races=races)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path.name} cannot be read as results of benchmarks ({type(error).__name__}: {error}); "
            "write it with `pytest benchmarks --benchmark-only --results FILE`"
        ) from error
