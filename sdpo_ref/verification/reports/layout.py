"""How the pieces of a report for a person are laid out, readable at 80 columns."""

from collections.abc import Iterable

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.catalogue import Requirement

STYLES = {
    Status.PASS: "green",
    Status.FAIL: "bold red",
    Status.ERROR: "bold red",
    Status.XFAIL: "red",
    Status.XPASS: "red",
    Status.INVALID: "bold magenta",
    Status.NOT_RUN: "yellow",
    Status.INCONCLUSIVE: "yellow",
}
"""Status to the color that it is printed in."""


def indented(content: Table | Text) -> Padding:
    """A paragraph or a table below its heading."""
    return Padding(content, (0, 0, 0, 2), expand=False)


def grid(rows: Iterable[tuple[str, str]]) -> Table:
    """Names with their texts; nothing in a text is read as markup."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(name, Text(text))
    return table


def way_to_read(requirement: Requirement) -> str:
    """Where a requirement stands, and how to have it printed."""
    return f"{requirement.anchor}, or: sdpo-ref spec show {requirement.id}"
