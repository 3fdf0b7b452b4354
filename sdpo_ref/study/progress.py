"""How far a study is and how long it still takes: a bar on a terminal, a line now and then elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from sdpo_ref.study.store import Record

_LINES = 10
"""How many lines are printed where there is no terminal."""


@contextmanager
def progress_bar(console: Console, *, total: int, done: int, jobs: int) -> Iterator[Callable[[Record], None]]:
    """Yields a function that is shown every record as it is stored.

    Args:
        console: to show it on.
        total: tasks that are wanted.
        done: how many the store has already.
        jobs: how many run side by side.
    """
    pace = Pace(left=total - done, jobs=jobs)
    if console.is_terminal:
        bar = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[failed]}", style="red"),
            console=console,
        )
        shown = bar.add_task("", total=total, completed=done, left="", failed="")

        def show(record: Record) -> None:
            pace.count(record)
            bar.update(shown, advance=1, left=pace.time_left(), failed=pace.failures())

        with bar:
            yield show
        return

    def print_line(record: Record) -> None:
        tenths = (done + pace.finished) * _LINES // total
        pace.count(record)
        now = done + pace.finished
        if now * _LINES // total > tenths:
            words = (f"{now} of {total} tasks", pace.time_left(), pace.failures())
            console.print(Text(", ".join(filter(None, words))))

    yield print_line


class Pace:
    """Time left, from the wall time of what has finished.

    Args:
        left: tasks to run.
        jobs: how many run side by side.
    """

    def __init__(self, *, left: int, jobs: int) -> None:
        self.finished = 0
        self._left, self._jobs = left, jobs
        self._seconds = 0.0
        self._failed = 0

    def count(self, record: Record) -> None:
        """Take note of a finished task."""
        self.finished += 1
        self._left -= 1
        self._seconds += record.provenance.wall_seconds
        self._failed += record.outcome.error is not None

    def time_left(self) -> str:
        """In words; empty when nothing is left."""
        if not self._left:
            return ""
        return f"{duration(self._left * self._seconds / self.finished / self._jobs)} left"

    def failures(self) -> str:
        """How many ended early, in words; empty when none did."""
        return f"{self._failed} ended early" if self._failed else ""


def duration(seconds: float) -> str:
    """A length of time with two digits of meaning or so.

    Args:
        seconds: not negative.

    Example:
        >>> duration(0.4), duration(75.0), duration(7300.0)
        ('1 s', '1 min 15 s', '2 h 1 min')
    """
    whole = max(round(seconds), 1)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
