"""``sdpo-ref results``: record the results of published implementations, and render their table."""

from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from sdpo_ref.cli.options import SuiteAt
from sdpo_ref.errors import LoadError
from sdpo_ref.verification.engine import Suite, verify
from sdpo_ref.verification.reports.peer_results import (
    PAGE,
    Recorded,
    problems,
    read_recorded,
    render,
    updated,
    write_recorded,
)

app = typer.Typer(
    help="Results of third-party implementations: record, render, check.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.command()
def update(
    peers: Annotated[
        list[str] | None, typer.Argument(metavar="[PEER]...", help="Names of files in conformance/results; or all.")
    ] = None,
    *,
    suite_at: SuiteAt = None,
) -> None:
    """Verify implementations again and rewrite their files and the table; notes are kept.

    Exit code 1 if a requirement that is now broken has no note.
    """
    suite = Suite.at(suite_at)
    unexplained = False
    for recorded in read_recorded(_folder(suite), peers or ()):
        typer.echo(f"{recorded.stem}: verifying {recorded.implementation}")
        report = verify(recorded.implementation, suite=suite)
        new = updated(recorded, report, _version(recorded))
        write_recorded(_folder(suite), new)
        for line in _changes(recorded, new):
            typer.echo(f"  {line}")
        for name in new.without_note:
            typer.echo(f'  {name} is {new.statuses[name]} and has no note; fill in {name} = "" in {new.stem}.toml')
        unexplained = unexplained or bool(new.without_note)
    _write_table(suite)
    raise typer.Exit(int(unexplained))


@app.command("render")
def render_table(suite_at: SuiteAt = None) -> None:
    """Rewrite the table from the files."""
    suite = Suite.at(suite_at)
    _write_table(suite)
    typer.echo(f"wrote {PAGE} for {len(read_recorded(_folder(suite)))} implementations")


@app.command()
def check(suite_at: SuiteAt = None) -> None:
    """Check that the table is current, every fault has a note, and every id exists; runs no implementation.

    Exit code 1 if something is wrong.
    """
    suite = Suite.at(suite_at)
    catalogue, peers = suite.catalogue().of_every_run, read_recorded(_folder(suite))
    wrong = [problem for peer in peers for problem in problems(peer, catalogue)]
    table = _folder(suite) / PAGE
    if not table.is_file() or table.read_text(encoding="utf-8") != render(peers, catalogue):
        wrong.append(f"{PAGE} does not match the files; run `sdpo-ref results render`")
    for problem in wrong:
        typer.echo(problem)
    typer.echo(f"{len(peers)} implementations, {len(wrong)} problems")
    raise typer.Exit(int(bool(wrong)))


def _folder(suite: Suite) -> Path:
    return suite.conformance / "results"


def _write_table(suite: Suite) -> None:
    page = render(read_recorded(_folder(suite)), suite.catalogue().of_every_run)
    (_folder(suite) / PAGE).write_text(page, encoding="utf-8")


def _version(recorded: Recorded) -> str:
    try:
        return metadata.version(recorded.distribution)
    except metadata.PackageNotFoundError as error:
        raise LoadError(
            f"{recorded.stem} is about {recorded.distribution}, which is not installed; "
            "install it, for instance with `pip install 'sdpo-ref[peers]'`"
        ) from error


def _changes(before: Recorded, after: Recorded) -> list[str]:
    """What a new run changed, one line each; one line in all for an implementation that had no results."""
    if not before.statuses:
        return [f"{len(after.statuses)} requirements recorded, {len(after.failures)} of them broken"]
    names = dict.fromkeys([*before.statuses, *after.statuses])
    return [
        f"{name}: {before.statuses.get(name, 'new')} -> {after.statuses.get(name, 'gone')}"
        for name in names
        if before.statuses.get(name) != after.statuses.get(name)
    ]
