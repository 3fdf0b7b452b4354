"""``sdpo-ref claims``: the study's claims as registered, what was decided, and the runs that verdicts rest on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sdpo_ref.claims.carry import carry as carried_to_this_code
from sdpo_ref.claims.figures import published_tolerances_or_none, write_tolerances
from sdpo_ref.claims.findings import checked_parts, findings_of, merged, passed_parts, read_findings, write_findings
from sdpo_ref.claims.headline import finding_rows
from sdpo_ref.claims.outside import arms_of, measure_rewards, read_rewards, write_rewards
from sdpo_ref.claims.pages import stale_pages
from sdpo_ref.claims.power import DEFECTS, outcomes_of_bad
from sdpo_ref.claims.profile import ProfileName
from sdpo_ref.claims.published import FILE_NAME as PUBLISHED_FILE
from sdpo_ref.claims.published import calibrate as measure_tolerances
from sdpo_ref.claims.published import (
    decide_published,
    read_published_findings,
    registrable,
    write_published_findings,
)
from sdpo_ref.claims.published import merged as merged_published
from sdpo_ref.claims.rates import CONFIRMING, PROMOTED_SHARE, PROMOTING, keep_repeats, keep_wrong, read_rates
from sdpo_ref.claims.rates import FILE_NAME as RATES_FILE
from sdpo_ref.claims.rates import repeat as repeated
from sdpo_ref.claims.records import (
    LEDGER,
    PUBLISHED_LEDGER,
    chosen_claims,
    read_claims,
    read_published,
    register,
)
from sdpo_ref.claims.render import findings_table, shown
from sdpo_ref.claims.render_published import published_summary
from sdpo_ref.claims.runs import Fresh
from sdpo_ref.claims.stored import FOLDER, Stored, generate
from sdpo_ref.claims.verdict import judge
from sdpo_ref.cli.options import Jobs, SuiteAt
from sdpo_ref.errors import UsageError
from sdpo_ref.study.extra import needed
from sdpo_ref.study.workers import available_jobs
from sdpo_ref.verification.engine import Suite
from sdpo_ref.verification.isolation.progress import runs_line
from sdpo_ref.verification.suite.golden import record_golden

app = typer.Typer(
    help="Claims F01 to F16: as registered, decided, and shown in FINDINGS.md.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

PICTURE = Path("docs/lead.svg")
"""In the repository, for README.md."""

SHOWN = 5
"""How many numbers that differ are shown."""

PUBLISHED_KINDS = ("T", "P", "C")
"""First letters of published tables, published statements and controls."""

Names = Annotated[list[str] | None, typer.Argument(metavar="[CLAIM]...", help="Such as F01; all if left out.")]
Profile = Annotated[ProfileName, typer.Option(help="smoke (5 seeds), standard (8-16-32-64), certify (stricter).")]
Keep = Annotated[bool, typer.Option("--keep", help="Keep what was measured in conformance/rates.json.")]


@app.command("list")
def list_(suite_at: SuiteAt = None) -> None:
    """Every finding in a line, with the verdict on what the study states; then what was published, run again."""
    suite = Suite.at(suite_at)
    findings, claims = read_findings(suite.conformance), read_claims(suite.spec)
    decided = {} if findings is None else findings.claims
    for name in claims.keys() - decided.keys():
        typer.echo(f"{name:5} {'undecided':46}  {claims[name].title}")
    for row in () if findings is None else finding_rows(findings, claims):
        typer.echo(f"{row.id:5} {row.as_stated:46}  {row.title}")
    published = read_published_findings(suite.conformance)
    if published is not None:
        typer.echo(f"\nThe published study\n{published_summary(published, read_published(suite.spec))}")


@app.command()
def show(claim: Annotated[str, typer.Argument(metavar="CLAIM")], suite_at: SuiteAt = None) -> None:
    """One claim: its parts, comparisons, boundaries, error rates and seeds."""
    spec = Suite.at(suite_at).spec
    (record,) = chosen_claims({**read_claims(spec), **read_published(spec)}, (claim,))
    typer.echo(shown(record))


@app.command()
def lock(
    reason: Annotated[str, typer.Option(help="Why records are new or changed; kept in conformance/claims.json.")],
    suite_at: SuiteAt = None,
) -> None:
    """Register records that are new or changed. Findings about them have to be decided anew."""
    suite = Suite.at(suite_at)
    differences = register(suite.conformance, read_claims(suite.spec), reason)
    published = registrable(read_published(suite.spec))
    differences += register(suite.conformance, published, reason, PUBLISHED_LEDGER)
    if differences:
        record_golden(suite.conformance, [LEDGER, PUBLISHED_LEDGER])
    typer.echo("\n".join(differences) or "Nothing differs; no file was touched.")


@app.command()
def decide(
    names: Names = None,
    *,
    profile: Profile = "standard",
    jobs: Jobs = None,
    from_stored: Annotated[
        bool, typer.Option("--stored", help="From the reference distributions, in seconds.")
    ] = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Print, and leave findings as they are.")] = False,
    suite_at: SuiteAt = None,
) -> None:
    """Decide claims for the bundled reference, all parts of them, and keep what was found.

    Names are those of our claims (F01), of what was published (figures T01, statements P01) and of its controls (C01).
    The stored runs are those of the same code at the same seeds, in float32; levels are then compared with themselves.
    """
    suite = Suite.at(suite_at)
    wanted = [name.upper() for name in names or ()]
    published = [name for name in wanted if name[:1] in PUBLISHED_KINDS]
    ours = [name for name in wanted if name not in published]
    if ours or not wanted:
        _decide_ours(suite, ours, profile=profile, jobs=jobs, from_stored=from_stored, dry=dry)
    if published or not (wanted or from_stored):
        _decide_published(suite, published, jobs=jobs, dry=dry)


def _decide_ours(
    suite: Suite, names: Sequence[str], *, profile: ProfileName, jobs: int | None, from_stored: bool, dry: bool
) -> None:
    claims = read_claims(suite.spec)
    chosen = chosen_claims(claims, tuple(names))
    stored = Stored(suite.conformance / FOLDER)
    with runs_line(Console(highlight=False)) as progress:
        verdicts = judge(
            {claim.id: claim.parts for claim in chosen},
            list(claims.values()),
            fresh=stored if from_stored else Fresh(None, jobs or available_jobs(), progress=progress),
            stored=stored,
            profile=profile,
        )
    findings = findings_of(verdicts, stored, profile=profile)
    if not dry:
        write_findings(suite.conformance, merged(read_findings(suite.conformance), findings))
        record_golden(suite.conformance, ["findings.json"])
    typer.echo(findings_table(findings, claims))


def _decide_published(suite: Suite, names: Sequence[str], *, jobs: int | None, dry: bool) -> None:
    with runs_line(Console(highlight=False)) as progress:
        found = decide_published(names, suite.spec, Fresh(None, jobs or available_jobs(), progress=progress))
    if not dry:
        known = read_published_findings(suite.conformance)
        write_published_findings(suite.conformance, merged_published(known, found))
        record_golden(suite.conformance, [PUBLISHED_FILE])
    typer.echo(published_summary(found, read_published(suite.spec)))


@app.command()
def carry(names: Names = None, *, jobs: Jobs = None, suite_at: SuiteAt = None) -> None:
    """After a change of the code that alters no number: show that by running stored runs again, and record it.

    Of every stored cell four repeats are run again, drawn by a hash of the old and the new code. Without names the
    rates, the published study and the picture are carried too. Exit code 1, and nothing written, if a number differs.
    """
    suite, jobs = Suite.at(suite_at), jobs or available_jobs()
    with runs_line(Console(highlight=False)) as progress:
        fresh, plain = Fresh(None, jobs, progress=progress), Fresh(None, jobs, progress=progress, using="reference")
        found = carried_to_this_code(suite.conformance, suite.spec, names or (), fresh=fresh, plain=plain)
    if found.differences:
        shown_first = found.differences[:SHOWN]
        typer.echo("\n".join(str(one) for one in shown_first))
        more = len(found.differences) - len(shown_first)
        typer.echo(
            f"{f'and {more} more; ' if more else ''}the changed code gives other numbers, so nothing was written; undo "
            "what changed them, or decide the findings again (`sdpo-ref claims reference`, `decide`, `promote --keep`, "
            "`repeat --keep`, `power --keep` and `picture`)"
        )
        raise typer.Exit(1)
    written = found.write(suite.conformance)
    record_golden(suite.conformance, [path.name for path in written])
    lines = [*found.says, *(f"wrote {path}" for path in written)]
    typer.echo("\n".join(lines) or "Nothing to carry: everything is of this code.")


@app.command()
def calibrate(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 if a margin differs.")] = False,
    jobs: Jobs = None,
) -> None:
    """Measure the margins of the published figures on seeds that nothing else uses; register them with `lock`."""
    with runs_line(Console(highlight=False)) as progress:
        found = measure_tolerances(Fresh(None, jobs or available_jobs(), progress=progress))
    differs = found != published_tolerances_or_none()
    if not check:
        typer.echo(f"wrote {write_tolerances(found)}")
    elif differs:
        typer.echo("the registered margins differ from these")
    raise typer.Exit(1 if check and differs else 0)


@app.command()
def render(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 if a page is stale.")] = False,
    folder: Annotated[Path, typer.Option(metavar="FOLDER", help="Holds FINDINGS.md and README.md.")] = Path(),
    suite_at: SuiteAt = None,
) -> None:
    """Write FINDINGS.md, and the table in README.md, from what was decided."""
    suite = Suite.at(suite_at)
    stale = stale_pages(suite.conformance, suite.spec, folder)
    for path, text in stale.items():
        typer.echo(f"{path} is stale; run `sdpo-ref claims render`" if check else f"wrote {path}")
        if not check:
            path.write_text(text, encoding="utf-8")
    raise typer.Exit(1 if check and stale else 0)


@app.command()
def picture(
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the picture goes.")] = PICTURE,
    from_kept: Annotated[bool, typer.Option("--kept", help="Draw what was measured before; run nothing.")] = False,
    jobs: Jobs = None,
    suite_at: SuiteAt = None,
) -> None:
    """Measure and draw what SDPO and REINFORCE gain in both worlds: README's picture, and the report's first."""
    for package in ("matplotlib", "scipy"):
        needed(package)
    from sdpo_ref.study.report.contents import picture as drawn
    from sdpo_ref.study.report.files import write_text

    suite = Suite.at(suite_at)
    rewards = read_rewards(suite.conformance) if from_kept else None
    if rewards is None:
        with runs_line(Console(highlight=False)) as progress:
            fresh = Fresh(None, jobs or available_jobs(), progress=progress)
            rewards = measure_rewards(fresh, Stored(suite.conformance / FOLDER))
        typer.echo(f"wrote {write_rewards(suite.conformance, rewards)}")
        record_golden(suite.conformance, ["lead.json"])
    write_text(out, drawn(arms_of(rewards)).svg + "\n")
    typer.echo(f"wrote {out}")


@app.command()
def reference(
    names: Names = None,
    *,
    seeds: Annotated[int, typer.Option(min=1, help="Repeats to store.")] = 256,
    jobs: Jobs = None,
    suite_at: SuiteAt = None,
) -> None:
    """Run the bundled methods at the seeds of verdicts and store what they find; takes an hour for all."""
    suite = Suite.at(suite_at)
    claims = read_claims(suite.spec)
    for one in dict.fromkeys(claim.seeds for claim in chosen_claims(claims, tuple(names or ()))):
        with runs_line(Console(highlight=False)) as progress:
            source = Fresh(None, jobs or available_jobs(), progress=progress)
            typer.echo(generate(claims.values(), one, seeds, source, suite.conformance / FOLDER))
            record_golden(suite.conformance, [f"{FOLDER}/{one.claim}.*"])


@app.command()
def promote(
    names: Names = None,
    *,
    repeats: Annotated[int, typer.Option(min=1, help="Of the whole procedure.")] = 299,
    profile: Profile = "standard",
    kept: Keep = False,
    suite_at: SuiteAt = None,
) -> None:
    """Which of the parts that the reference has passed are checked on others: those that never fail and pass reliably.

    Decided over and over on stored runs of the reference, in ever new orders. Repeats of claims not named stay.
    """
    suite = Suite.at(suite_at)
    claims, findings = read_claims(suite.spec), read_findings(suite.conformance)
    wanted = {claim.id: passed_parts(claim, findings) for claim in chosen_claims(claims, tuple(names or ()))}
    folder = suite.conformance / FOLDER
    found = repeated(wanted, list(claims.values()), folder, profile=profile, repeats=repeats, seed=PROMOTING)
    if kept:
        keep_repeats(suite.conformance, "promotion", found)
        record_golden(suite.conformance, [RATES_FILE])
    rates = read_rates(suite.conformance).model_copy(update={"promotion": found})
    for name, parts in found.parts.items():
        for part, counts in parts.items():
            typer.echo(f"{name} {part}: {_counted(counts)}{'' if rates.promoted(name, part) else '; not checked'}")
    typer.echo(f"checked is what never fails and passes {PROMOTED_SHARE:.0%} of {repeats} repeats")


@app.command()
def repeat(
    names: Names = None,
    *,
    repeats: Annotated[int, typer.Option(min=1, help="Of the whole procedure.")] = 299,
    profile: Profile = "standard",
    kept: Keep = False,
    suite_at: SuiteAt = None,
) -> None:
    """How often which verdict is reached on what is checked, for the reference, in other orders than `promote` has.

    Exit code 1 if the reference fails once, or a control does.
    """
    suite = Suite.at(suite_at)
    claims, findings, rates = read_claims(suite.spec), read_findings(suite.conformance), read_rates(suite.conformance)
    wanted = checked_parts(chosen_claims(claims, tuple(names or ())), findings, rates, implementation=False)
    folder = suite.conformance / FOLDER
    found = repeated(wanted, list(claims.values()), folder, profile=profile, repeats=repeats, seed=CONFIRMING)
    for name, counts in found.outcomes.items():
        typer.echo(f"{name}  {_counted(counts)}")
    if kept:
        keep_repeats(suite.conformance, "reference", found)
        record_golden(suite.conformance, [RATES_FILE])
    if any("FAIL" in counts or "INVALID" in counts for counts in found.outcomes.values()):
        raise typer.Exit(1)


@app.command()
def power(
    names: Annotated[list[str] | None, typer.Argument(metavar="[DEFECT]...", help="All if left out.")] = None,
    *,
    repeats: Annotated[int, typer.Option(min=1, help="Each at seeds of its own.")] = 29,
    jobs: Jobs = None,
    kept: Keep = False,
    suite_at: SuiteAt = None,
) -> None:
    """How often F01 passes for trainers that are wrong and for baselines that are held back; takes a while.

    Exit code 1 if one of them passes once.
    """
    suite = Suite.at(suite_at)
    unknown = sorted(set(names or ()) - set(DEFECTS))
    if unknown:
        raise UsageError(f"no defect is called {unknown[0]!r}; there are {', '.join(DEFECTS)}")
    claim, stored, passed = read_claims(suite.spec)["F01"], Stored(suite.conformance / FOLDER), 0
    for name in names or DEFECTS:
        with runs_line(Console(highlight=False)) as progress:
            found = outcomes_of_bad(
                name, claim, stored, repeats=repeats, jobs=jobs or available_jobs(), progress=progress
            )
        passed += found.outcomes["PASS"]
        typer.echo(f"{name}  {_counted(found.outcomes)}")
        if kept:
            keep_wrong(suite.conformance, name, found.outcomes, found.rewards)
            record_golden(suite.conformance, [RATES_FILE])
    raise typer.Exit(1 if passed else 0)


def _counted(outcomes: Mapping[str, int]) -> str:
    return ", ".join(f"{outcome} {count}" for outcome, count in sorted(outcomes.items()))
