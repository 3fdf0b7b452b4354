"""The goals as data: ``goals.toml``, read."""

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from sdpo_ref.errors import InvalidInputError

Verdict = Literal["stretch", "must", "missed"]
"""Which bar a measured number reaches."""

NO_GPU = "it needs a GPU, and none was lent"
NOT_RUN = "it has not been run"


@dataclass(frozen=True)
class Measure:
    """One number that a goal asks for.

    Attributes:
        name: what is measured.
        must: the bar.
        stretch: the higher bar; ``None`` if there is none.
        unit: of the number; ``ratio`` for one without a unit.
        better: which way is better.
    """

    name: str
    must: float
    stretch: float | None = None
    unit: str = "ratio"
    better: Literal["lower", "higher"] = "lower"

    def verdict(self, value: float) -> Verdict:
        """Which bar a number reaches; one that is not finite reaches none.

        Args:
            value: what was measured, in ``unit``.

        Returns:
            The higher of the bars that are reached; ``must`` where there is no higher one.

        Example:
            >>> Measure("time", must=0.95, stretch=0.8).verdict(0.9)
            'must'
        """
        if not math.isfinite(value):
            return "missed"
        if self.stretch is not None and self._reaches(value, self.stretch):
            return "stretch"
        return "must" if self._reaches(value, self.must) else "missed"

    def _reaches(self, value: float, bar: float) -> bool:
        return value <= bar if self.better == "lower" else value >= bar


@dataclass(frozen=True)
class Goal:
    """What an optimised variant has to reach, fixed before it was written.

    Attributes:
        id: letter and number.
        title: what is measured, under which conditions.
        measures: the numbers.
        needs_gpu: whether a CPU cannot decide it.
        not_measured: why there is no number, as long as there is none.
    """

    id: str
    title: str
    measures: tuple[Measure, ...]
    needs_gpu: bool
    not_measured: str

    def measure(self, name: str) -> Measure:
        """One of the numbers by name.

        Args:
            name: of the measure.

        Returns:
            The measure.

        Raises:
            InvalidInputError: if the goal has no such measure.
        """
        found = {measure.name: measure for measure in self.measures}
        if name not in found:
            raise InvalidInputError(f"goal {self.id} has no measure {name!r}; it has {', '.join(found)}")
        return found[name]


@cache
def goals() -> dict[str, Goal]:
    """All goals by id, in the order of ``goals.toml``.

    Returns:
        Goals.

    Example:
        >>> goals()["C1"].measures[0].must
        0.15
    """
    text = (Path(__file__).parent / "goals.toml").read_text(encoding="utf-8")
    read = [_goal(entry) for entry in tomllib.loads(text)["goal"]]
    return {goal.id: goal for goal in read}


def _goal(entry: dict[str, Any]) -> Goal:
    needs_gpu = entry.get("needs_gpu", False)
    return Goal(
        id=entry["id"],
        title=entry["title"],
        measures=tuple(Measure(**measure) for measure in entry["measures"]),
        needs_gpu=needs_gpu,
        not_measured=entry.get("not_measured", NO_GPU if needs_gpu else NOT_RUN),
    )
