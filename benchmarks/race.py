"""Contestants on one batch in one process: CPU time in interleaved rounds, memory in a pass of its own.

A shared machine is slow for seconds at a time. Every round runs all contestants one after another, so that a slow spell
meets all of them, and ratios stand where seconds do not.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.contestants import Contestant
from benchmarks.inputs import clear
from benchmarks.memory import peak_beyond
from benchmarks.record import Cost
from sdpo_ref.types import HiddenBatch


@dataclass
class Race:
    """The first contestant is the one whose time pytest-benchmark shows.

    Attributes:
        batch: what all work on.
        contestants: who races; names differ.
        rounds: how often each runs, after one run that is not counted.
        first_losses: what each returned in that run, by name.
    """

    batch: HiddenBatch
    contestants: Sequence[Contestant]
    rounds: int
    first_losses: dict[str, float] = field(default_factory=dict)
    _first: dict[str, float] = field(default_factory=dict)
    _seconds: dict[str, list[float]] = field(default_factory=dict)

    def run(self, benchmark: BenchmarkFixture) -> list[Cost]:
        """Race, then measure the memory of each.

        Args:
            benchmark: the fixture.

        Returns:
            Costs, in the order of the contestants.
        """
        for contestant in self.contestants:
            start = time.perf_counter()
            self.first_losses[contestant.name] = float(contestant.step(self.batch))
            self._first[contestant.name] = time.perf_counter() - start
        subject, *others = self.contestants
        benchmark.pedantic(
            lambda: self._timed(subject), setup=lambda: self._all_timed(others), rounds=self.rounds, iterations=1
        )
        return [self._cost(contestant) for contestant in self.contestants]

    def _all_timed(self, contestants: Sequence[Contestant]) -> None:
        for contestant in contestants:
            self._timed(contestant)

    def _timed(self, contestant: Contestant) -> None:
        clear(self.batch)
        start = time.process_time()
        contestant.step(self.batch)
        self._seconds.setdefault(contestant.name, []).append(time.process_time() - start)

    def _cost(self, contestant: Contestant) -> Cost:
        clear(self.batch)
        peak = peak_beyond(lambda: contestant.step(self.batch))
        clear(self.batch)
        seconds = self._seconds[contestant.name]
        return Cost(
            contestant.name,
            seconds=min(seconds),
            median_seconds=statistics.median(seconds),
            first_seconds=self._first[contestant.name],
            peak_bytes=peak,
            note=contestant.note,
        )
