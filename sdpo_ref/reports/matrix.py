"""Several reports side by side: one row for each requirement, one column for each implementation."""

from collections.abc import Sequence
from dataclasses import dataclass

from sdpo_ref.reports.document import Document
from sdpo_ref.reports.markdown import plain


@dataclass(frozen=True)
class Matrix:
    """The table.

    Attributes:
        names: of the columns.
        rows: id of a requirement, and its status for each column; empty where it was not asked for.
        totals: how many MUST pass of those that apply, for each column.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    totals: tuple[str, ...]


def matrix(documents: Sequence[Document], *, everything: bool = False) -> Matrix:
    """Compare reports.

    Args:
        documents: one for each column.
        everything: also the requirements on which all agree.

    Returns:
        The table, in the order of the first report.
    """
    statuses = [{it.id: str(it.status) for it in document.requirements} for document in documents]
    rows = [(name, tuple(found.get(name, "") for found in statuses)) for name in dict.fromkeys(_ids(documents))]
    counts = [document.verdict.counts["MUST"] for document in documents]
    return Matrix(
        names=tuple(document.implementation.spec for document in documents),
        rows=tuple(row for row in rows if everything or len(set(row[1])) > 1),
        totals=tuple(f"{count.passed}/{count.applicable}" for count in counts),
    )


def matrix_as_markdown(found: Matrix) -> str:
    """The table in Markdown.

    Args:
        found: the table.

    Returns:
        Markdown; what comes from the reports is text.
    """
    lines = [f"| | {' | '.join(map(plain, found.names))} |", f"|---|{'---|' * len(found.names)}"]
    lines.append(f"| MUST | {' | '.join(found.totals)} |")
    lines += [f"| {plain(name)} | {' | '.join(map(plain, row))} |" for name, row in found.rows]
    return "\n".join(lines) + "\n"


def _ids(documents: Sequence[Document]) -> list[str]:
    return [it.id for document in documents for it in document.requirements]
