"""Progress is a bar on a terminal and a few lines elsewhere, and its time left comes from what was measured."""

import io

import pytest
from rich.console import Console

from sdpo_ref.study.outcome import Outcome
from sdpo_ref.study.progress import Pace, duration, progress_bar
from sdpo_ref.study.provenance import provenance
from sdpo_ref.study.store import Record
from tests.study.tiny import settings


def record(seconds: float = 10.0, error: str | None = None) -> Record:
    """A task that took some time."""
    return Record(
        key="k",
        settings=settings(),
        seed=0,
        outcome=Outcome(error=error),
        provenance=provenance(started=0.0, wall_seconds=seconds, simulator="reference"),
    )


def test_time_left_is_the_mean_of_what_was_measured() -> None:
    """Six tasks left, 20 s each, two at a time: one minute."""
    pace = Pace(left=8, jobs=2)
    pace.count(record(10.0))
    pace.count(record(30.0))
    assert (pace.time_left(), pace.failures()) == ("1 min 0 s left", "")


def test_a_file_gets_ten_lines() -> None:
    """However many tasks there are; those that ended early are counted."""
    console = Console(file=io.StringIO(), width=80)
    with progress_bar(console, total=1000, done=500, jobs=1) as show:
        for number in range(500):
            show(record(error="not finite" if number == 0 else None))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "600 of 1000 tasks, 1 h 6 min left, 1 ended early"
    assert lines[-1] == "1000 of 1000 tasks, 1 ended early"
    assert len(lines) == 5


@pytest.mark.parametrize("total", [1, 3, 7])
def test_a_small_study_is_said_task_by_task(total: int) -> None:
    """No task is said twice, and the last one is."""
    console = Console(file=io.StringIO(), width=80)
    with progress_bar(console, total=total, done=0, jobs=1) as show:
        for _ in range(total):
            show(record())
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == total
    assert lines[-1] == f"{total} of {total} tasks"


def test_a_terminal_gets_a_bar() -> None:
    """With how many are done of how many, and the time left."""
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    with progress_bar(console, total=4, done=1, jobs=1) as show:
        show(record())
    assert isinstance(console.file, io.StringIO)
    assert "2/4" in console.file.getvalue()
    assert "20 s left" in console.file.getvalue()


@pytest.mark.parametrize(("seconds", "words"), [(0.0, "1 s"), (59.6, "1 min 0 s"), (3599.6, "1 h 0 min")])
def test_durations_at_the_edges(seconds: float, words: str) -> None:
    """Rounding never gives sixty of anything."""
    assert duration(seconds) == words
