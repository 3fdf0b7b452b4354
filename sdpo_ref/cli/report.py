"""``sdpo-ref report``: saved reports, rendered again, compared, or side by side; runs no implementation."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sdpo_ref.cli.options import BadgeTo, HtmlTo, JunitTo, MarkdownTo
from sdpo_ref.errors import UsageError
from sdpo_ref.verification.isolation.text import printable
from sdpo_ref.verification.report import Report, schema_text
from sdpo_ref.verification.reports.diff import difference
from sdpo_ref.verification.reports.outputs import STDOUT, Outputs, forms
from sdpo_ref.verification.reports.saved import read_report
from sdpo_ref.verification.reports.side_by_side import Matrix, left_out, matrix, matrix_as_markdown, matrix_as_page
from sdpo_ref.verification.reports.terminal import print_report

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def run(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[REPORT.json]...", help="Written by sdpo-ref verify --json.")
    ] = None,
    *,
    markdown_to: MarkdownTo = None,
    html_to: HtmlTo = None,
    junit_to: JunitTo = None,
    badge_to: BadgeTo = None,
    old_at: Annotated[
        Path | None, typer.Option("--diff", metavar="OLD.json", help="Show what changed since an older report.")
    ] = None,
    side_by_side: Annotated[
        bool, typer.Option("--matrix", help="Several reports as one table of what differs.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="With --matrix: also what is the same everywhere.")] = False,
    schema_to: Annotated[
        str | None, typer.Option("--schema", metavar="FILE", help="Write the JSON Schema of reports; - for stdout.")
    ] = None,
) -> None:
    """Show a saved report again, in any form; as `sdpo-ref verify` printed it, if no other form is selected.

    Exit code 0: done, whatever the report says. 1: with --diff, a MUST that passed in OLD.json does not pass any more
    (a failure that is waived does not count). 2: the command or a file is wrong.
    """
    outputs = Outputs(
        {"markdown": markdown_to, "html": html_to, "junit": junit_to, "badge": badge_to, "schema": schema_to}
    )
    outputs.refuse_unwritable()
    if schema_to is not None:
        if files or set(outputs.wanted) != {"schema"} or old_at is not None or side_by_side:
            raise UsageError("--schema is about every report and takes no other argument; call it by itself")
        outputs.write({"schema": schema_text})
        return
    reports = [read_report(file) for file in files or ()]
    if side_by_side:
        if old_at is not None or junit_to is not None or badge_to is not None:
            raise UsageError("--matrix goes with --all, --markdown and --html only; leave the other options out")
        _side_by_side(matrix(reports, [file.name for file in files or ()], everything=everything), outputs)
        return
    if len(reports) != 1:
        raise UsageError(f"received {len(reports)} reports; name one, or give --matrix to put several side by side")
    if everything:
        raise UsageError("--all goes with --matrix; leave it out, or add --matrix")
    raise typer.Exit(_one(reports[0], outputs, None if old_at is None else read_report(old_at)))


def _one(report: Report, outputs: Outputs, old: Report | None) -> int:
    """Render one report; the exit code."""
    changed = None if old is None else difference(old, report)
    outputs.write(forms(report, outputs, changed))
    if changed is None:
        if not outputs.wanted:
            print_report(Console(highlight=False), report)
        return 0
    console = Console(stderr=outputs.to_stdout, highlight=False)
    for line in changed.lines():
        console.print(Text(line))
    return int(changed.is_worse)


def _side_by_side(found: Matrix, outputs: Outputs) -> None:
    if not found.names:
        raise UsageError("--matrix received no report; name at least one file written by `sdpo-ref verify --json`")
    outputs.write({"markdown": lambda: matrix_as_markdown(found), "html": lambda: matrix_as_page(found)})
    if STDOUT not in outputs.wanted.values():
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column("", no_wrap=True)
        for name in found.names:
            table.add_column(Text(printable(name)), overflow="fold")
        for it in (*found.heads, *found.rows):
            table.add_row(
                Text(printable(f"{it.id} {it.strength}".strip())), *(Text(printable(cell)) for cell in it.cells)
            )
        console = Console(highlight=False)
        console.print(table)
        console.print(Text(left_out(found)), style="dim")
