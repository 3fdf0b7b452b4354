"""A report for a terminal: what was verified, a table by chapter, the failures, and the verdict last.

Readable at 80 columns; nothing that comes from an implementation is read as markup. The most basic failures are shown
in full, the others in a line each.
"""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sdpo_ref.verification.report import Count, Report, RequirementResult
from sdpo_ref.verification.reports.contents import (
    advice,
    chapter_rows,
    claim_row,
    claims_legend,
    diagnosis_rows,
    facts,
    failing,
    left_out,
    observed,
    problems,
    score,
    strengths,
    waiver_titles,
)
from sdpo_ref.verification.status import ExitCode, Status
from sdpo_ref.verification.suite.catalogue import Strength

IN_FULL = 5
"""How many failures are shown in full; of more, the most basic are to be fixed first."""

_LONGEST_LINE = 110
_MOST_LINES = 20
_STYLES = {
    Status.PASS: "green",
    Status.FAIL: "bold red",
    Status.ERROR: "bold red",
    Status.XFAIL: "red",
    Status.XPASS: "red",
    Status.INVALID: "bold magenta",
    Status.NOT_RUN: "yellow",
    Status.INCONCLUSIVE: "yellow",
}


def print_report(console: Console, report: Report) -> None:
    """Print a report, the verdict last."""
    for block in _blocks(report):
        console.print(block)


def as_text(report: Report, *, width: int = 80) -> str:
    """What :func:`print_report` prints, without colours."""
    return _text(width, *_blocks(report))


def failure_as_text(report: Report, result: RequirementResult, *, width: int) -> str:
    """The block of one failure, without colours.

    Args:
        report: that it is from.
        result: of a requirement that does not hold.
        width: of a line, in characters.
    """
    return _text(width, _failure(report, result)).rstrip("\n")


def _text(width: int, *blocks: RenderableType) -> str:
    console = Console(file=StringIO(), width=width, highlight=False, color_system=None)
    with console.capture() as captured:
        for block in blocks:
            console.print(block)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _blocks(report: Report) -> Iterator[RenderableType]:
    yield _grid(facts(report).items())
    yield ""
    yield _chapters(report)
    if report.claims.verdicts:
        yield ""
        yield _claims(report)
    for block in (*_failures(report), *_diagnosis(report), *_waived(report)):
        yield ""
        yield block
    yield ""
    for title, style, lines in (
        ("Not run", "bold", left_out(report)),
        *((title, "bold magenta", _first(lines)) for title, lines in problems(report).items()),
    ):
        if lines:
            yield Group(Text(title, style=style), *(_indented(Text(line)) for line in lines))
            yield ""
    yield _verdict(report)


def _chapters(report: Report) -> Table:
    table = _table()
    table.add_column("chapter", no_wrap=True)
    for strength in strengths(report):
        table.add_column(strength, justify="right", no_wrap=True)
    table.add_column("n/a", justify="right", no_wrap=True)
    table.add_column("not passed", overflow="fold")
    for row in chapter_rows(report):
        scores = (_score(strength, count) for strength, count in row.counts.items())
        ids = (Text(f"{it.id} ", style=_STYLES.get(it.status, "")) for it in row.not_passed)
        table.add_row(row.title, *scores, row.not_applicable, Text.assemble(*ids))
    return table


def _score(strength: Strength, count: Count) -> Text:
    bad = "bold red" if strength == "MUST" else "yellow"
    return Text(score(count), style="green" if count.passed == count.applicable else bad)


def _claims(report: Report) -> Group:
    table = _table()
    table.add_column("claim", no_wrap=True)
    table.add_column("", overflow="ellipsis", no_wrap=True, max_width=20)
    table.add_column("verdict", no_wrap=True)
    for name in ("parts", "seeds", "held", "false\npass", "false\nfail"):
        table.add_column(name, justify="right", no_wrap=True)
    for claim in report.claims.verdicts:
        name, title, outcome, *numbers = claim_row(claim)
        table.add_row(name, title, Text(outcome, style=_STYLES.get(Status(outcome), "")), *numbers)
    return Group(table, *(Text(line, style="dim") for line in claims_legend(report)))


def _failures(report: Report) -> Iterator[Group]:
    """What is broken: the first in full, and one block for all others; a failure that a waiver covers is not."""
    broken = [it for it in failing(report) if it.status not in (Status.XFAIL, Status.XPASS)]
    for result in broken[:IN_FULL]:
        yield _failure(report, result)
    others = broken[IN_FULL:]
    if others:
        title = Text(f"And {len(others)} more; --only ID shows one in full, --json FILE all", style="bold")
        yield Group(title, _indented(_grid((f"{it.id} {it.status}", _line(it)) for it in others)))


def _failure(report: Report, result: RequirementResult) -> Group:
    """One requirement that does not hold: its sentence, what happened, the effect, and how to see it again."""
    status = (f"{result.status}", _STYLES.get(result.status, ""))
    title = Text.assemble((f"{result.id} ", "bold"), status, f"  {result.strength}")
    rows = {**observed(result.failure), **advice(report, result)}
    return Group(title, _indented(Text(result.sentence)), _indented(_grid(rows.items())))


def _line(result: RequirementResult) -> str:
    """What happened, in a line."""
    failure = result.failure
    if failure is None:
        return result.sentence
    text = f"expected {failure.expected}, got {failure.got}" if failure.expected else failure.message
    return textwrap.shorten(text, _LONGEST_LINE, placeholder=" ...")


def _diagnosis(report: Report) -> Iterator[Group]:
    found = report.diagnosis
    if found is not None:
        rows = _grid(diagnosis_rows(found).items())
        yield Group(Text("Diagnosis", style="bold"), _indented(Text(found.sentence)), _indented(rows))


def _waived(report: Report) -> Iterator[Group]:
    titles = waiver_titles(report)
    rows = [(titles[it.id], f"{it.until}: {it.reason} ({it.link})") for it in report.waivers]
    if rows:
        yield Group(Text("Waived", style="bold"), _indented(_grid(rows)))


def _first(lines: Sequence[str]) -> Sequence[str]:
    more = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], f"and {more} more"] if more > 0 else lines


def _verdict(report: Report) -> Group:
    verdict = report.verdict
    notes = (Text(note, style="yellow" if note.startswith("warning") else "") for note in verdict.notes)
    good = verdict.exit_code is ExitCode.PASSED
    sentence = Text(verdict.sentence, style="bold green" if good else "bold red")
    code = f"exit code {int(verdict.exit_code)}: {verdict.meaning} ({report.seconds:.1f} s)"
    return Group(*notes, sentence, Text(code, style="dim"))


def _indented(content: Table | Text) -> Padding:
    """A paragraph or a table below its heading."""
    return Padding(content, (0, 0, 0, 2), expand=False)


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")


def _grid(rows: Iterable[tuple[str, str]]) -> Table:
    """Names with their texts; nothing in a text is read as markup."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for name, text in rows:
        grid.add_row(name, Text(text))
    return grid
