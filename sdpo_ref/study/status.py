"""How far a study is: what is done, what is left and how long that takes, and what other code has left behind."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from sdpo_ref.study.experiment import Experiment, Task
from sdpo_ref.study.progress import duration
from sdpo_ref.study.store import Entry, settings_text


@dataclass(frozen=True)
class Progress:
    """Of one experiment, or of several together.

    Attributes:
        name: of the experiment.
        total: tasks, that is cells times seeds; what two cells share counts once.
        done: of them, those in the store.
        failed: of them, those that ended early; they are not tried again.
        stale: tasks that are not done, but were by other code.
        wall_seconds: that the done ones took, added up.
        seconds_left: that those not done will take, added up; ``None`` if nothing like them has been done.
    """

    name: str
    total: int
    done: int
    failed: int
    stale: int
    wall_seconds: float
    seconds_left: float | None


@dataclass(frozen=True)
class Status:
    """Of a study.

    Attributes:
        experiments: each on its own; tasks that several share count in each.
        together: all of them, with shared tasks counted once.
    """

    experiments: tuple[Progress, ...]
    together: Progress


def status(experiments: Sequence[Experiment], seeds: Sequence[int], entries: Collection[Entry]) -> Status:
    """Compare what is wanted with what the store has."""
    rows = {entry.key: entry for entry in entries}
    answered = {(entry.settings, entry.seed) for entry in entries}
    typical = _mean([entry.wall_seconds for entry in entries])
    wanted = {one.name: {task.key: task for task in one.tasks(seeds)} for one in experiments}
    everything = {key: task for tasks in wanted.values() for key, task in tasks.items()}
    return Status(
        experiments=tuple(_progress(name, tasks, rows, answered, typical) for name, tasks in wanted.items()),
        together=_progress("all", everything, rows, answered, typical),
    )


def _progress(
    name: str,
    tasks: Mapping[str, Task],
    rows: Mapping[str, Entry],
    answered: Collection[tuple[str, int]],
    typical: float | None,
) -> Progress:
    done = [rows[key] for key in tasks if key in rows]
    left = [task for key, task in tasks.items() if key not in rows]
    each = _mean([entry.wall_seconds for entry in done])
    each = typical if each is None else each
    return Progress(
        name=name,
        total=len(tasks),
        done=len(done),
        failed=sum(entry.failed for entry in done),
        stale=sum((settings_text(task.settings), task.seed) in answered for task in left),
        wall_seconds=math.fsum(entry.wall_seconds for entry in done),
        seconds_left=0.0 if not left else None if each is None else len(left) * each,
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def status_table(status: Status) -> Table:
    """A line for each experiment, and one for all together."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("experiment", overflow="fold")
    for column in ("done", "ended early", "stale", "took"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in status.experiments:
        table.add_row(*_row(one))
    if len(status.experiments) > 1:
        table.add_row(*_row(status.together), style="bold")
    return table


def _row(one: Progress) -> tuple[str, ...]:
    took = duration(one.wall_seconds) if one.done else ""
    return one.name, f"{one.done}/{one.total}", str(one.failed or ""), str(one.stale or ""), took
