"""A progress line: the current check, how many are done, and the remaining time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from sdpo_ref.verification.isolation.events import Collected, Event, Finished, Opened, Started
from sdpo_ref.verification.status import Status


@contextmanager
def progress_line(
    console: Console, implementation: str, *, enabled: bool = True
) -> Iterator[tuple[Callable[[Event], None], Callable[[int, int], None]]]:
    """A line that follows the events, and then the runs, given to the two functions it yields; it is transient.

    On anything but a terminal, or if not enabled, one line is printed at the start.
    """
    if not (enabled and console.is_terminal):
        console.print(Text(f"verifying {implementation} ..."))
        yield lambda _event: None, lambda _done, _all: None
        return
    progress = Progress(
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[failed]}", style="red"),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        console=console,
        transient=True,
    )
    with progress:
        line = _Line(progress, implementation)
        yield line.observe, line.count


@contextmanager
def runs_line(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A line that follows how many of how many runs are done, by the function it yields; nothing but on a terminal."""
    if not console.is_terminal:
        yield lambda _done, _all: None
        return
    with Progress(
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
    ) as progress:
        task = progress.add_task("runs", total=None)
        yield lambda done, runs: progress.update(task, completed=done, total=runs)


class _Line:
    """Turns events into updates of the one task that the progress line shows."""

    def __init__(self, progress: Progress, implementation: str) -> None:
        self._progress = progress
        self._task = progress.add_task(f"loading {implementation}", total=None, failed="")
        self._titles: dict[str, str] = {}
        self._failed = 0

    def observe(self, event: Event) -> None:
        """Show what happened."""
        match event:
            case Opened(header):
                self._progress.update(self._task, description=f"collecting checks for {header.name}")
            case Collected(checks):
                selected = [check for check in checks if check.selected]
                self._titles = {check.id: f"{' '.join(check.requirements)} {check.short}" for check in selected}
                self._progress.update(self._task, total=len(selected))
            case Started(check):
                self._progress.update(self._task, description=self._titles.get(check, check))
            case Finished(_, status):
                self._failed += status in (Status.FAIL, Status.ERROR, Status.INVALID)
                failed = f"{self._failed} failed" if self._failed else ""
                self._progress.update(self._task, advance=1, failed=failed)

    def count(self, done: int, runs: int) -> None:
        """Show how many runs of a look at the claims are done."""
        self._progress.update(self._task, completed=done, total=runs, description="training: runs of this look")
