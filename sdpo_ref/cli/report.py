"""``sdpo-ref report``: render a saved report again, compare it with an older one, or put several side by side."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sdpo_ref.errors import UsageError
from sdpo_ref.reports.diff import difference, print_difference
from sdpo_ref.reports.markdown import markdown
from sdpo_ref.reports.matrix import Matrix, matrix, matrix_as_markdown
from sdpo_ref.reports.outputs import Outputs, append, refuse_unwritable
from sdpo_ref.reports.read import read_document
from sdpo_ref.reports.schema import schema_text
from sdpo_ref.verify.printable import printable

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def run(
    reports: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE...", help="What `sdpo-ref verify --json FILE` wrote.")
    ] = None,
    *,
    markdown_to: Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="Append Markdown.")] = None,
    html_to: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write one HTML page.")] = None,
    badge_to: Annotated[
        Path | None, typer.Option("--badge", metavar="FILE", help="Write a badge: .svg, or JSON for shields.io.")
    ] = None,
    old: Annotated[
        Path | None,
        typer.Option("--diff", metavar="OLD", help="What changed since; exit code 1: a MUST got worse."),
    ] = None,
    side_by_side: Annotated[
        bool, typer.Option("--matrix", help="Requirements by reports, where these differ.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="With --matrix: also where they agree.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of a report and leave.")] = False,
) -> None:
    """Render, compare or tabulate saved reports; without an option, print Markdown.

    Exit code 0; with --diff 1 if a MUST that passed does not any more, or one fails that did not.
    """
    if schema:
        typer.echo(schema_text(), nl=False)
        return
    paths = reports or []
    if not paths:
        raise UsageError("no report was named; write one with `sdpo-ref verify IMPL --json FILE`")
    if len(paths) > 1 and not side_by_side:
        raise UsageError(f"received {len(paths)} reports; several go side by side with --matrix, else name one")
    refuse_unwritable(markdown_to, html_to, badge_to)
    documents = [read_document(path) for path in paths]
    if side_by_side:
        if html_to or badge_to or old:
            raise UsageError("--matrix goes with --all and --markdown; leave --html, --badge and --diff out")
        _matrix(matrix(documents, everything=everything), markdown_to)
        return
    (document,) = documents
    outputs = Outputs(markdown_to, html_to, badge_to)
    outputs.write(document)
    if old is not None:
        found = difference(read_document(old), document)
        print_difference(Console(highlight=False), found)
        raise typer.Exit(int(found.must_got_worse))
    if outputs == Outputs():
        typer.echo(markdown(document), nl=False)


def _matrix(found: Matrix, markdown_to: Path | None) -> None:
    if markdown_to is not None:
        append(markdown_to, matrix_as_markdown(found))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("requirement", no_wrap=True)
    for name in found.names:
        table.add_column(Text(printable(name)), overflow="fold")
    table.add_row("MUST", *found.totals)
    for name, row in found.rows:
        table.add_row(name, *row)
    Console(highlight=False).print(table)
