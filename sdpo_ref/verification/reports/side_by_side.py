"""Several reports side by side: requirements by implementations."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sdpo_ref.verification.report import STRENGTHS, Report, RequirementResult
from sdpo_ref.verification.reports.gfm import plain, row
from sdpo_ref.verification.reports.markup import Markup, section, sheet, table, tag
from sdpo_ref.verification.status import Status

NOT_SELECTED = "-"
"""Where a requirement was not selected, or an older specification does not have it."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        id: of the requirement, or the name of what else differs.
        strength: of the requirement; empty for anything else.
        sentence: of the requirement; empty for anything else.
        cells: one for each report.
    """

    id: str
    strength: str
    sentence: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Matrix:
    """A table of reports.

    Attributes:
        names: of the columns, all different.
        heads: verdict, scores, and versions and profile fields where they differ.
        rows: requirements.
        alike: how many requirements were left out because all reports have the same status.
    """

    names: tuple[str, ...]
    heads: tuple[Row, ...]
    rows: tuple[Row, ...]
    alike: int


def matrix(reports: Sequence[Report], files: Sequence[str], *, everything: bool = False) -> Matrix:
    """The table.

    Args:
        reports: at least one.
        files: where each came from, for those with the same name.
        everything: also the requirements with the same status in all.
    """
    found = [{it.id: it for it in report.requirements} for report in reports]
    rows = [_row(known, found) for known in _known(found).values()]
    shown = [it for it in rows if everything or len(set(it.cells)) > 1]
    return Matrix(_names(reports, files), tuple(_heads(reports)), tuple(shown), len(rows) - len(shown))


def matrix_as_markdown(found: Matrix) -> str:
    """The table in GitHub-flavoured Markdown."""
    columns = ("", "strength", *found.names)
    lines = [row(*map(plain, columns)), row(*["---"] * len(columns))]
    lines += [row(*map(plain, (it.id, it.strength, *it.cells))) for it in (*found.heads, *found.rows)]
    return "\n".join([*lines, "", plain(left_out(found)), ""])


def matrix_as_page(found: Matrix) -> str:
    """The table as one self-contained HTML page."""
    heads = ((it.id, *it.cells) for it in found.heads)
    rows: list[tuple[str | Markup, ...]] = [
        (it.id, it.strength, *map(_cell, it.cells), it.sentence) for it in found.rows
    ]
    return sheet(
        f"SDPO conformance of {', '.join(found.names)}",
        tag("h1", "SDPO conformance side by side"),
        table(("", *found.names), heads),
        section("Requirements", table(("id", "strength", *found.names, "sentence"), rows)),
        tag("p", left_out(found), class_="dim"),
    )


def left_out(found: Matrix) -> str:
    """What the table does not show, in a sentence."""
    alike = f"{found.alike} requirements with the same status everywhere are left out (--all shows them). "
    return (alike if found.alike else "") + "A dash: not selected, or not in that specification."


def _known(found: Sequence[Mapping[str, RequirementResult]]) -> dict[str, RequirementResult]:
    """Every requirement that any report has, chapter by chapter."""
    every = {name: it for known in reversed(found) for name, it in known.items()}
    chapters = sorted({it.chapter for it in every.values()})
    return {name: it for chapter in chapters for name, it in sorted(every.items()) if it.chapter == chapter}


def _row(known: RequirementResult, found: Sequence[Mapping[str, RequirementResult]]) -> Row:
    cells = tuple(str(one[known.id].status) if known.id in one else NOT_SELECTED for one in found)
    return Row(known.id, known.strength, known.sentence, cells)


def _heads(reports: Sequence[Report]) -> Iterator[Row]:
    yield Row("verdict", "", "", tuple(report.verdict.sentence for report in reports))
    for strength in STRENGTHS:
        counts = [report.verdict.counts.get(strength) for report in reports]
        if any(it is not None and it.applicable for it in counts):
            cells = (NOT_SELECTED if it is None else f"{it.passed}/{it.applicable}" for it in counts)
            yield Row(strength, "", "", tuple(cells))
    yield from _different("version of ", [report.versions for report in reports])
    yield from _different("profile: ", [report.implementation.profile for report in reports])


def _different(prefix: str, settings: Sequence[Mapping[str, str]]) -> Iterator[Row]:
    for name in dict.fromkeys(name for one in settings for name in one):
        cells = tuple(one.get(name, NOT_SELECTED) for one in settings)
        if len(set(cells)) > 1:
            yield Row(f"{prefix}{name}", "", "", cells)


def _names(reports: Sequence[Report], files: Sequence[str]) -> tuple[str, ...]:
    """Each implementation's own name; with its file and then its place, where that is not enough."""
    names = [report.implementation.name for report in reports]
    with_files = [
        f"{name} ({file})" if names.count(name) > 1 else name for name, file in zip(names, files, strict=True)
    ]
    twice = Counter(with_files)
    return tuple(f"{name} #{at}" if twice[name] > 1 else name for at, name in enumerate(with_files, 1))


def _cell(status: str) -> Markup:
    styles = {Status.PASS: "good", Status.FAIL: "bad", Status.ERROR: "bad", Status.NA: "dim", NOT_SELECTED: "dim"}
    return tag("span", status, class_=next((style for name, style in styles.items() if name == status), "open"))
