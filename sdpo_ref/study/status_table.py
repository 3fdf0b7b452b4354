"""The status of a study as a table, readable at 80 columns."""

from rich.table import Table

from sdpo_ref.study.progress import duration
from sdpo_ref.study.status import Progress, Status


def status_table(status: Status) -> Table:
    """A line for each experiment, and one for all together.

    Args:
        status: of the study.
    """
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
