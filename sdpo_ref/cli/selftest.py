"""``sdpo-ref selftest``: run the suite on every mutant and every right variant, and write the kill matrix."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sdpo_ref._resources import content
from sdpo_ref.claims.rates import read_rates
from sdpo_ref.errors import UsageError
from sdpo_ref.mutants import mutants
from sdpo_ref.mutants.selftest.answered import known_answers
from sdpo_ref.mutants.selftest.page import render
from sdpo_ref.mutants.selftest.problems import differences, matrix_of, problems, with_rows_of
from sdpo_ref.mutants.selftest.processes import run_targets
from sdpo_ref.mutants.selftest.repeats import read_repeats, repeats_of, write_repeats
from sdpo_ref.mutants.selftest.targets import Finding, Target, all_targets, for_check, repeated, select
from sdpo_ref.verification.diagnosis.kill_matrix import FILE, KillMatrix, read_kill_matrix, write_kill_matrix
from sdpo_ref.verification.diagnosis.known_answers import FILE as ANSWERS
from sdpo_ref.verification.diagnosis.known_answers import read_known_answers, write_known_answers
from sdpo_ref.verification.suite.catalogue import Catalogue
from sdpo_ref.verification.suite.golden import record_golden
from sdpo_ref.verification.suite.spec_text import read_catalogue

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def run(
    *,
    only: Annotated[
        list[str] | None, typer.Option(help="Only this mutant, family or right variant; repeatable. Writes nothing.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="With --only: replace the rows and answers of these mutants on file.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Compare with the matrix on file and write nothing. A mutant that is in it runs only the checks of "
            "the requirements that must catch it.",
        ),
    ] = False,
    repeats: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Right variants only, under N other sets of random inputs.")
    ] = None,
    answers: Annotated[
        bool, typer.Option("--answers", help="Write what mutants answer, which a diagnosis compares with, and no more.")
    ] = False,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Write mutants/ into this conformance folder.")
    ] = None,
) -> None:
    """Check that the suite catches every mutant and passes every right variant.

    Exit code 0: it does. 1: a mutant survives or does not differ from the reference, a right variant fails, a MUST
    kills nothing, a tolerance does not separate right from wrong, or (--check) the matrix on file differs.
    """
    began = time.monotonic()
    conformance = content("conformance") if to is None else to
    if not conformance.is_dir():
        raise UsageError(f"{conformance} is not a folder; create it first")
    if keep and (not only or check):
        raise UsageError("--keep replaces the rows of what --only names; with --check nothing is written")
    console = Console(highlight=False)
    if repeats is not None:
        raise typer.Exit(_repeat(console, conformance, repeats, jobs=jobs))
    if answers:
        _write_answers(conformance)
        raise typer.Exit(0)
    targets = select(all_targets(), only or ())
    if check:
        targets = for_check(targets, read_kill_matrix(conformance))
    findings = _run(targets, jobs)
    catalogue = read_catalogue(content("spec"))
    matrix = matrix_of(targets, findings)
    lines = [*problems(targets, findings, catalogue, everything=not only)]
    if check:
        lines += differences(read_kill_matrix(conformance), matrix, complete=not only)
        asked = {it.mutant.id for it in targets if it.mutant is not None and not it.mutant.isolated}
        missing = sorted(asked - read_known_answers(conformance).wrong.keys())
        lines += [f"{name} has no answers on file; write them with `selftest --answers`" for name in missing]
    for line in lines:
        console.print(f"  {line}", soft_wrap=True, markup=False)
    if not check and not only:
        _write(conformance, matrix, catalogue)
    if keep:
        _keep(conformance, matrix, targets, catalogue)
    killed = sum(1 for row in matrix.rows if row.failed)
    console.print(
        f"{killed} of {len(matrix.rows)} mutants killed, {len(matrix.benign)} right variants, "
        f"{len(lines)} problem{'' if len(lines) == 1 else 's'} ({time.monotonic() - began:.0f} s)"
    )
    raise typer.Exit(1 if lines else 0)


def _run(targets: Sequence[Target], jobs: int) -> dict[str, Finding]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("selftest", total=len(targets))
        found = run_targets(
            targets, jobs=jobs, observe=lambda it: progress.update(task, advance=1, description=it.name)
        )
    return {it.name: it for it in found}


def _repeat(console: Console, conformance: Path, repeats: int, *, jobs: int) -> int:
    """Run the right variants under other inputs, keep what came of it, and return the exit code."""
    targets = repeated(repeats)
    found = repeats_of(targets, _run(targets, jobs))
    write_repeats(conformance, found)
    _write_page(conformance, read_kill_matrix(conformance), read_catalogue(content("spec")))
    for name, wrong in found.failed.items():
        console.print(f"  {name} is right and fails {', '.join(wrong)}", soft_wrap=True, markup=False)
    console.print(f"{len(found.failed)} of {found.runs} runs of {len(found.variants)} right variants failed")
    return 1 if found.failed else 0


def _write_answers(conformance: Path) -> None:
    write_known_answers(conformance, known_answers(mutants()))
    record_golden(conformance, [ANSWERS.as_posix()])


def _write(conformance: Path, matrix: KillMatrix, catalogue: Catalogue) -> None:
    _write_matrix(conformance, matrix, catalogue)
    _write_answers(conformance)


def _keep(conformance: Path, matrix: KillMatrix, targets: Sequence[Target], catalogue: Catalogue) -> None:
    """Rows and answers of some mutants, beside those that are on file."""
    _write_matrix(conformance, with_rows_of(read_kill_matrix(conformance), matrix), catalogue)
    asked = [target.mutant for target in targets if target.mutant is not None]
    write_known_answers(conformance, known_answers(asked, read_known_answers(conformance)))
    record_golden(conformance, [ANSWERS.as_posix()])


def _write_matrix(conformance: Path, matrix: KillMatrix, catalogue: Catalogue) -> None:
    write_kill_matrix(conformance, matrix)
    record_golden(conformance, [FILE.as_posix()])
    _write_page(conformance, matrix, catalogue)


def _write_page(conformance: Path, matrix: KillMatrix, catalogue: Catalogue) -> None:
    wrong = read_rates(content("conformance")).wrong
    page = render(matrix, catalogue, read_repeats(conformance), wrong)
    (conformance / FILE.parent / "README.md").write_text(page, encoding="utf-8")
