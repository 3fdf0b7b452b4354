"""A report for a person: what was verified, a table by chapter, one block for each failure, and the verdict.

Readable at 80 columns; nothing that comes from an implementation is read as markup.
"""

from collections import Counter
from typing import get_args

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sdpo_ref.verification.reports.claims_table import RATES, claims_table, suite_rates
from sdpo_ref.verification.reports.layout import STYLES, grid, indented
from sdpo_ref.verification.reports.report_failures import diagnosis_block, failure_blocks, waiver_block
from sdpo_ref.verification.results import Count, Report
from sdpo_ref.verification.status import ExitCode, Status
from sdpo_ref.verification.suite.capabilities import NOT_OFFERED, part_of
from sdpo_ref.verification.suite.catalogue import Catalogue, Strength
from sdpo_ref.verification.verdict import Verdict, verdict

_STRENGTHS: tuple[Strength, ...] = get_args(Strength)
NOT_ASKED = "Parts of claims that are refuted or undecided for the reference are asked of nobody: see FINDINGS.md."
"""Why a claim may have fewer parts here than in the specification."""


def print_report(console: Console, report: Report, catalogue: Catalogue) -> None:
    """Print everything, the verdict last."""
    console.print(_header(report))
    console.print()
    console.print(_chapters(report, catalogue))
    _print_claims(console, report)
    for block in (*failure_blocks(report), *diagnosis_block(report), *waiver_block(report)):
        console.print()
        console.print(block)
    console.print()
    _print_left_out(console, report)
    _print_deviations(console, report)
    _print_verdict(console, verdict(report), report)


def _header(report: Report) -> Table:
    header = report.header
    versions = header.versions
    parts: dict[str, list[str]] = {}
    for capability in header.capabilities:
        part = part_of(capability)
        parts.setdefault(part, []).extend([capability.removeprefix(f"{part}.")] if capability != part else [])
    offers = ", ".join(part + (f" ({', '.join(options)})" if options else "") for part, options in parts.items())
    departures = [f"{name} = {declared} (paper: {paper})" for name, (declared, paper) in header.departures.items()]
    name = header.spec if header.name == header.spec else f"{header.spec} ({header.name})"
    return grid(
        [
            ("verified", name),
            ("offers", offers),
            ("profile", "; ".join(departures) or "the paper's"),
            ("with", ", ".join(f"{what} {version}" for what, version in versions.items())),
            ("isolated", ", ".join(header.isolation.values()) or "not at all"),
        ]
    )


def _chapters(report: Report, catalogue: Catalogue) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("chapter", no_wrap=True)
    strengths = [strength for strength in _STRENGTHS if report.count(strength) != Count(0, 0, 0)]
    for strength in strengths:
        table.add_column(strength, justify="right", no_wrap=True)
    table.add_column("n/a", justify="right", no_wrap=True)
    table.add_column("not passed", overflow="fold")
    for chapter in dict.fromkeys(entry.requirement.chapter for entry in report.decided):
        scores = [_score(report, strength, chapter) for strength in strengths]
        away = [entry for entry in report.of(Status.NA) if entry.requirement.chapter == chapter]
        table.add_row(catalogue.titles[chapter], *scores, str(len(away) or ""), _not_passed(report, chapter))
    return table


def _print_claims(console: Console, report: Report) -> None:
    if not report.claims:
        return
    console.print()
    console.print(claims_table(report))
    console.print(Text(f"profile {report.profile}; {suite_rates(report.claims)}. {RATES}", style="dim"))
    console.print(Text(NOT_ASKED, style="dim"))


def _score(report: Report, strength: Strength, chapter: str) -> Text:
    count = report.count(strength, chapter)
    if not count.applicable:
        return Text("")
    bad = "bold red" if strength == "MUST" else "yellow"
    return Text(f"{count.passed}/{count.applicable}", style="green" if count.passed == count.applicable else bad)


def _not_passed(report: Report, chapter: str) -> Text:
    text = Text()
    for entry in report.decided:
        if entry.requirement.chapter == chapter and entry.status not in (Status.PASS, Status.NA):
            text.append(f"{entry.requirement.id} ", style=STYLES.get(entry.status, ""))
    return text


def _print_left_out(console: Console, report: Report) -> None:
    """What was not run and why: by id where it counts, by number where it does not apply."""
    reasons: dict[str, list[str]] = {}
    for entry in report.of(Status.NOT_RUN, Status.SKIPPED, Status.INCONCLUSIVE):
        reasons.setdefault(entry.reason, []).append(entry.requirement.id)
    lines = [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]
    away = Counter(entry.reason for entry in report.of(Status.NA))
    lines += [
        f"{number} not applicable: {reason}" for reason, number in away.items() if not reason.startswith(NOT_OFFERED)
    ]
    parts = {reason.removeprefix(NOT_OFFERED): n for reason, n in away.items() if reason.startswith(NOT_OFFERED)}
    if parts:
        listed = ", ".join(f"{part} {number}" for part, number in parts.items())
        lines.append(f"{sum(parts.values())} not applicable, because these are not offered: {listed}")
    if lines:
        console.print(Text("Not run", style="bold"))
        for line in lines:
            console.print(indented(Text(line)))
        console.print()


def _print_deviations(console: Console, report: Report) -> None:
    for title, lines in (
        ("Broken files of the suite", report.broken),
        ("Differs from manifest.json", report.deviations),
    ):
        if lines:
            console.print(Text(title, style="bold magenta"))
            for line in lines[:20]:
                console.print(indented(Text(line)))
            if len(lines) > 20:
                console.print(indented(Text(f"and {len(lines) - 20} more")))
            console.print()


def _print_verdict(console: Console, conclusion: Verdict, report: Report) -> None:
    for note in conclusion.notes:
        console.print(Text(note, style="yellow" if note.startswith("warning") else ""))
    good = conclusion.exit_code is ExitCode.PASSED
    console.print(Text(conclusion.sentence, style="bold green" if good else "bold red"))
    console.print(Text(f"exit code {int(conclusion.exit_code)}: {conclusion.exit_code.meaning}", style="dim"), end="")
    console.print(Text(f" ({report.seconds:.1f} s)", style="dim"))
