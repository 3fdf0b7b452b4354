"""What an item of the queue gets: sizes, a deadline, and a file that is written at every number."""

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.inputs import Shape
from benchmarks.record import Cost, Race, Results


@dataclass(frozen=True)
class Sizes:
    """Of all problems.

    Attributes:
        device: ``cuda``, or ``cpu`` for a dry run.
        full: the shape of L1 to L10.
        other: shapes of L11, by the vocabulary that the goal names.
        accuracy: of A1.
        gaps: distances of the teacher, for A1.
        top_k: tokens of a top-k support.
        samples: of a time.
        bytes: of the copy whose bandwidth is the ceiling.
        side: of the square matrices whose product is the ceiling.
        runs: of S5.
        steps: of a run.
    """

    device: str
    full: Shape
    other: dict[int, Shape]
    accuracy: Shape
    gaps: tuple[float, ...]
    top_k: int
    samples: int
    bytes: int
    side: int
    runs: int
    steps: int


ON_DEVICE = Sizes(
    device="cuda",
    full=Shape(tokens=8192, hidden=4096, vocab=128256),
    other={vocab: Shape(tokens=8192, hidden=2304, vocab=vocab) for vocab in (32000, 256000)},
    accuracy=Shape(tokens=256, hidden=1024, vocab=32000),
    gaps=(1.5, 0.3, 0.1, 0.03),
    top_k=100,
    samples=30,
    bytes=4 * 2**30,
    side=8192,
    runs=10_000,
    steps=20,
)

DRY = Sizes(
    device="cpu",
    full=Shape(tokens=6, hidden=16, vocab=48),
    other={vocab: Shape(tokens=4, hidden=8, vocab=40) for vocab in (32000, 256000)},
    accuracy=Shape(tokens=4, hidden=16, vocab=48),
    gaps=(1.0, 0.1),
    top_k=5,
    samples=1,
    bytes=2**20,
    side=64,
    runs=3,
    steps=3,
)


@dataclass(frozen=True)
class Work:
    """One item's share.

    Attributes:
        sizes: of its problems.
        results: where it puts what it finds.
        path: of the file that always holds ``results``.
        ends: when it must be done, on the monotonic clock.
    """

    sizes: Sizes
    results: Results
    path: Path
    ends: float

    @property
    def left(self) -> float:
        """Seconds until it must be done; negative when it should have been."""
        return self.ends - time.monotonic()

    def add(self, goal: str, measure: str, value: float, **details: float) -> None:
        """Keep a number of a goal."""
        self.results.add(goal, measure, value, **details)
        self.keep()

    def check(self, name: str, value: float) -> None:
        """Keep a number that no goal asks for."""
        self.results.checks[name] = value
        self.keep()

    def race(self, title: str, costs: list[Cost]) -> None:
        """Keep what contestants needed."""
        self.results.races.append(Race(title, costs))
        self.keep()

    def skip(self, name: str, why: str) -> None:
        """Keep why something was not run."""
        self.results.skipped[name] = why
        self.keep()

    def keep(self) -> None:
        """Write the file."""
        self.results.save(self.path)
