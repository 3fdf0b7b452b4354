"""``sdpo-ref spec``: read the requirements from the terminal, and lock the manifest of their checks."""

import json
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sdpo_ref.cli.options import SuiteAt
from sdpo_ref.errors import UsageError
from sdpo_ref.verification.engine import Suite, collect
from sdpo_ref.verification.suite.catalogue import Requirement
from sdpo_ref.verification.suite.manifest import differences, lock, write_manifest

app = typer.Typer(
    help="Read the requirements: show one, list them, or lock their checks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.command()
def show(requirement_id: Annotated[str, typer.Argument(metavar="ID")], suite_at: SuiteAt = None) -> None:
    """Print one requirement with its rationale, source, checks and golden vectors."""
    suite = Suite.at(suite_at)
    requirement = suite.catalogue(study=True)[requirement_id]
    locked = suite.manifest().get(requirement.id)
    console = Console(highlight=False)
    needs = f", needs {', '.join(requirement.needs)}" if requirement.needs else ""
    title = Text.assemble((requirement.id, "bold"), f"  {requirement.strength}, level {requirement.level}{needs}")
    console.print(title)
    console.print(Padding(Text(requirement.sentence, style="bold"), (1, 0, 1, 2), expand=False))
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for name, text in _facts(requirement, locked.checks if locked else (), tuple(_vectors(suite, requirement.id))):
        grid.add_row(name, Text(text))
    console.print(Padding(grid, (0, 0, 0, 2), expand=False))


@app.command("list")
def list_requirements(
    chapter: Annotated[str | None, typer.Option(help="Only this chapter, such as 04-loss, 04 or loss.")] = None,
    suite_at: SuiteAt = None,
) -> None:
    """Print every requirement in one line."""
    catalogue = Suite.at(suite_at).catalogue(study=True)
    chosen = [name for name in catalogue.chapters if chapter is None or chapter in (name, *name.split("-", 1))]
    if not chosen:
        raise UsageError(f"no chapter is called {chapter!r}; there are {', '.join(catalogue.chapters)}")
    console = Console(highlight=False)
    for name in chosen:
        console.print(Text(catalogue.titles[name], style="bold"))
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, style="dim")
        grid.add_column()
        for requirement in catalogue:
            if requirement.chapter == name:
                grid.add_row(requirement.id, requirement.strength, Text(requirement.sentence))
        console.print(Padding(grid, (0, 0, 1, 2), expand=False))


@app.command("lock")
def lock_manifest(suite_at: SuiteAt = None) -> None:
    """Rewrite conformance/manifest.json from spec/ and the checks (for maintainers) and print what changed."""
    suite = Suite.at(suite_at)
    catalogue, checks = suite.catalogue(), collect(suite)
    unknown = {
        f"{check.function} ({name})"
        for check in checks
        for name in check.requirements
        if name not in catalogue.requirements
    }
    unmarked = {check.function for check in checks if not check.requirements}
    if unknown or unmarked:
        problems = [f"belongs to no requirement of the specification: {check}" for check in sorted(unknown | unmarked)]
        raise UsageError("nothing was locked; " + "; ".join(problems))
    found = lock(catalogue, checks)
    changes = differences(suite.manifest(), found)
    write_manifest(suite.conformance, found)
    for change in changes:
        typer.echo(change)
    undecided = [name for name, locked in found.items() if not locked.checks]
    if undecided:
        typer.echo(f"no check decides: {', '.join(undecided)}")
    functions = {check.function for check in checks}
    typer.echo(f"locked {len(found)} requirements and {len(functions)} checks, {len(changes)} changes")


def _facts(requirement: Requirement, checks: tuple[str, ...], vectors: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    yield "why", requirement.why
    yield "if broken", requirement.if_broken
    yield "source", requirement.source
    if requirement.profile_fields:
        yield "depends on", f"profile: {', '.join(requirement.profile_fields)}"
    if requirement.after:
        yield "after", ", ".join(requirement.after)
    yield "checks", "\n".join(checks) or "not in the suite: tests/ of this project decide it"
    if vectors:
        yield "vectors", "\n".join(vectors)
    yield "read", requirement.anchor


def _vectors(suite: Suite, requirement_id: str) -> Iterator[str]:
    """Golden cases that name a requirement, with the file that holds them."""
    for path in sorted((suite.conformance / "vectors").glob("*.json")):
        cases = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(cases, list):
            for case in cases:
                if requirement_id in case.get("requirements", ()):
                    yield f"{case['id']} ({path.name})"
