"""``sdpo-ref verify``: check an implementation and print which sentences of the specification it breaks."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sdpo_ref.claims.profile import ProfileName
from sdpo_ref.cli.options import BadgeTo, HtmlTo, JunitTo, MarkdownTo, SuiteAt
from sdpo_ref.errors import UsageError
from sdpo_ref.verification.engine import Suite, verify
from sdpo_ref.verification.entry.json_lines import CALL_LIMIT, program_name
from sdpo_ref.verification.isolation.limits import Limits
from sdpo_ref.verification.isolation.progress import progress_line
from sdpo_ref.verification.reports.diff import difference
from sdpo_ref.verification.reports.outputs import Outputs, forms
from sdpo_ref.verification.reports.saved import read_report
from sdpo_ref.verification.reports.terminal import print_report
from sdpo_ref.verification.suite.selection import Selection
from sdpo_ref.verification.suite.waivers import read_waivers

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def run(
    implementation: Annotated[
        str,
        typer.Argument(
            metavar="IMPL", help="MODULE:FACTORY[,KEY=VALUE] or FILE.py:FACTORY[,KEY=VALUE], or: reference."
        ),
    ] = "reference",
    *,
    command: Annotated[
        str | None, typer.Option("--cmd", metavar="COMMAND", help="Instead of IMPL: a program that answers JSON lines.")
    ] = None,
    level: Annotated[int | None, typer.Option(min=0, help="Only requirements up to this level.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Only this requirement, or checks whose id contains this; repeatable.")
    ] = None,
    json_to: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - for stdout.")] = None,
    junit_to: JunitTo = None,
    markdown_to: MarkdownTo = None,
    html_to: HtmlTo = None,
    badge_to: BadgeTo = None,
    old_at: Annotated[
        Path | None, typer.Option("--diff", metavar="OLD.json", help="Also show what changed since an older --json.")
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the checks and run none.")] = False,
    profile: Annotated[
        ProfileName,
        typer.Option(help="Of level 4: smoke (5 seeds), standard (8-16-32-64), certify (the same, stricter)."),
    ] = "standard",
    budget: Annotated[
        float | None, typer.Option(min=0.0, metavar="SECONDS", help="For level 4: end its runs after that.")
    ] = None,
    time_limit: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="For each check.")] = Limits().check,
    load_limit: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="For importing IMPL and calling its factory.")
    ] = Limits().start,
    call_limit: Annotated[
        float,
        typer.Option(min=0.1, metavar="SECONDS", help="For each answer of --cmd; a first one of its kind has 45 s."),
    ] = CALL_LIMIT,
    memory_limit: Annotated[
        float, typer.Option(min=0.5, metavar="GIB", help="For each process of the implementation; Linux only.")
    ] = Limits().memory,
    jobs: Annotated[int | None, typer.Option(min=1, help="Worker processes; by default up to 2.")] = None,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="No isolation and no limits: for a debugger.")
    ] = False,
    first_failure: Annotated[
        bool, typer.Option("--exitfirst", "-x", help="End with the first MUST that fails and is not waived.")
    ] = False,
    waivers_at: Annotated[
        Path | None, typer.Option("--waivers", metavar="FILE", help="TOML: what may fail, why, and until when.")
    ] = None,
    suite_at: SuiteAt = None,
) -> None:
    """Check an implementation against the specification.

    Levels 0 to 3 take seconds. Level 4 trains: with the bundled reference some minutes, with a trainer of your own
    about a second for each run; --profile smoke and --budget make it shorter, --level 3 leaves it out.

    Exit code 0: every MUST that applies passes or is waived. 1: some MUST failed. 2: the command, IMPL or a waiver is
    wrong. 3: inconclusive, or nothing was shown. 4: the suite itself is broken. 5: nothing ran, or not all that the
    locked manifest demands.
    """
    if command is not None:
        if implementation != "reference":
            raise UsageError(f"received both IMPL {implementation!r} and --cmd {command!r}; give one of them")
        implementation = program_name(command, call_limit=call_limit)
    elif call_limit != CALL_LIMIT:
        raise UsageError(f"received --call-limit {call_limit:g} without --cmd; use --time-limit for a check of IMPL")
    suite = Suite.at(suite_at)
    if listing:
        _list(suite, Selection(level, tuple(only or ())))
        return
    outputs = Outputs({"json": json_to, "junit": junit_to, "markdown": markdown_to, "html": html_to, "badge": badge_to})
    outputs.refuse_unwritable()
    old = None if old_at is None else read_report(old_at)
    waivers = () if waivers_at is None else read_waivers(waivers_at)
    console = Console(stderr=outputs.to_stdout, highlight=False)
    with progress_line(console, implementation, enabled=not in_process) as (observe, runs):
        report = verify(
            implementation,
            level=level,
            only=only or (),
            profile=profile,
            budget=budget,
            time_limit=time_limit,
            start_limit=load_limit,
            memory_limit=memory_limit,
            jobs=jobs,
            in_process=in_process,
            first_failure=first_failure,
            waivers=waivers,
            suite=suite,
            observe=observe,
            progress=runs,
        )
    print_report(console, report)
    changed = None if old is None else difference(old, report)
    if changed is not None:
        console.print()
        for line in changed.lines():
            console.print(Text(line))
    outputs.write(forms(report, outputs, changed))
    raise typer.Exit(int(report.verdict.exit_code))


def _list(suite: Suite, selection: Selection) -> None:
    """Every selected requirement with its checks, as the manifest locks them."""
    catalogue, manifest = suite.catalogue(), suite.manifest()
    selection.refuse_unmatched(catalogue, manifest)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("requirement", no_wrap=True)
    table.add_column("strength", no_wrap=True)
    table.add_column("level", justify="right")
    table.add_column("check", overflow="fold")
    for requirement in catalogue:
        locked = manifest.get(requirement.id)
        for function in locked.checks if locked is not None else ():
            if selection.wanted(function, [requirement.id], catalogue):
                table.add_row(requirement.id, requirement.strength, str(requirement.level), function)
    Console(highlight=False).print(table)
