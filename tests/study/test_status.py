"""Status compares what is wanted with what the store has."""

import io

import pytest
from rich.console import Console

from sdpo_ref.study.experiment import Task
from sdpo_ref.study.status import Progress, status, status_table
from sdpo_ref.study.store import Entry, settings_text
from tests.study import tiny


def entry(task: Task, *, seconds: float = 2.0, failed: bool = False, key: str | None = None) -> Entry:
    """A row of the store; with a key of its own it is by other code."""
    return Entry(key or task.key, settings_text(task.settings), task.seed, failed, seconds)


def test_done_failed_stale_and_left() -> None:
    """Of eight tasks three are done, one of them ended early, two were done by other code, and three are new."""
    tasks = tiny.tasks(4)
    rows = [
        entry(tasks[0]),
        entry(tasks[1], failed=True),
        entry(tasks[2], seconds=5.0),
        *(entry(task, key=f"old{task.seed}{task.settings}") for task in tasks[2:5]),
    ]
    (found,) = status([tiny.experiment()], range(4), rows).experiments
    assert found == Progress("tiny", 8, 3, 1, 2, 9.0, 15.0)


def test_shared_tasks_count_once_together() -> None:
    """Two experiments with the same cells are as much work as one."""
    both = [tiny.experiment("one"), tiny.experiment("two")]
    found = status(both, range(2), [entry(tiny.tasks(1)[0])])
    assert [one.total for one in found.experiments] == [4, 4]
    assert (found.together.total, found.together.done) == (4, 1)


def test_time_left_without_anything_timed() -> None:
    """Nothing timed at all is no guess; other tasks of the store are one."""
    assert status([tiny.experiment()], range(1), []).together.seconds_left is None
    other = [entry(tiny.tasks(9)[-1], seconds=4.0)]
    assert status([tiny.experiment()], range(1), other).together.seconds_left == 8.0


def test_when_all_is_done_nothing_is_left() -> None:
    """Neither tasks nor time."""
    found = status([tiny.experiment()], range(2), [entry(task) for task in tiny.tasks(2)]).together
    assert (found.done, found.total, found.seconds_left) == (4, 4, 0.0)


@pytest.mark.parametrize("width", [40, 80])
def test_the_table_fits(width: int) -> None:
    """A line for each experiment and one for all."""
    console = Console(file=io.StringIO(), width=width)
    both = [tiny.experiment("one"), tiny.experiment("two")]
    console.print(status_table(status(both, range(2), [entry(tiny.tasks(1)[0])])))
    assert isinstance(console.file, io.StringIO)
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert ["one", "1/4", "2", "s"] in lines
    assert ["all", "1/4", "2", "s"] in lines
