"""What every form of a report shows, in the same words and the same order: rows, scores, failures, waivers, claims."""

import re
import shlex
from collections import Counter
from dataclasses import dataclass

from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.verification.isolation.limits import Limits
from sdpo_ref.verification.report import (
    STRENGTHS,
    ClaimResult,
    Count,
    Diagnosis,
    Failure,
    Report,
    RequirementResult,
    Selection,
    percent,
)
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.capabilities import NOT_OFFERED, part_of
from sdpo_ref.verification.suite.catalogue import Strength
from sdpo_ref.verification.suite.prerequisites import basic_first

SHOWN = (Status.FAIL, Status.ERROR, Status.XPASS, Status.XFAIL, Status.INVALID)
"""Statuses of requirements that are shown with every detail."""

_LEVEL_OF_CLAIMS = 4
_NUMBERS = re.compile(r"\d+(?:\.\d+)?")

CLAIM_COLUMNS = ("claim", "title", "verdict", "parts", "seeds", "controls held", "false pass", "false fail")


@dataclass(frozen=True)
class ChapterRow:
    """A chapter in the table of scores.

    Attributes:
        title: of the chapter.
        counts: by strength, for those that any selected requirement has.
        not_passed: requirements that apply and do not pass.
    """

    title: str
    counts: dict[Strength, Count]
    not_passed: tuple[RequirementResult, ...]

    @property
    def not_applicable(self) -> str:
        """How many requirements do not apply; empty for none."""
        return str(sum(count.not_applicable for count in self.counts.values()) or "")


def facts(report: Report) -> dict[str, str]:
    """What was verified, with what, and how it was isolated."""
    made = report.implementation
    departures = [f"{name} = {it.declared} (paper: {it.paper})" for name, it in made.departures.items()]
    found = {
        "verified": made.name if made.spec in (made.name, None) else f"{made.spec} ({made.name})",
        "offers": _offers(made.capabilities),
        "profile": "; ".join(departures) or "the paper's",
        "with": ", ".join(f"{what} {version}" for what, version in report.versions.items()),
        "isolated": ", ".join(report.isolation.values()) or "not at all",
        "selected": _selected(report.selection),
    }
    return {name: text for name, text in found.items() if text}


def _offers(capabilities: tuple[str, ...]) -> str:
    """Parts, each with its options in brackets."""
    parts: dict[str, list[str]] = {}
    for capability in capabilities:
        part = part_of(capability)
        parts.setdefault(part, []).extend([capability.removeprefix(f"{part}.")] if capability != part else [])
    return ", ".join(part + (f" ({', '.join(options)})" if options else "") for part, options in parts.items())


def _selected(selection: Selection) -> str:
    levels = [f"level {selection.level} and below"] if selection.level is not None else []
    return ", ".join([*levels, *(f"only {name}" for name in selection.only)])


def strengths(report: Report) -> tuple[Strength, ...]:
    """Those that any selected requirement has."""
    return tuple(it for it in STRENGTHS if any(result.strength == it for result in report.requirements))


def chapter_rows(report: Report) -> tuple[ChapterRow, ...]:
    """The table of scores, in reading order."""
    fine = (Status.PASS, Status.NA)
    return tuple(
        ChapterRow(
            title,
            {strength: report.count(strength, chapter) for strength in strengths(report)},
            tuple(it for it in report.requirements if it.chapter == chapter and it.status not in fine),
        )
        for chapter, title in report.chapters.items()
    )


def score(count: Count) -> str:
    """How many of how many hold; empty if none applies."""
    return f"{count.passed}/{count.applicable}" if count.applicable else ""


def failing(report: Report) -> tuple[RequirementResult, ...]:
    """Requirements to show with every detail: a waived one last, a MUST before a SHOULD, the most basic first."""
    found = basic_first(report.of(*SHOWN))
    return tuple(sorted(found, key=lambda it: (it.waiver is not None, STRENGTHS.index(it.strength))))


def observed(failure: Failure | None) -> dict[str, str]:
    """What happened in a failed check, by the name under which it is shown."""
    shown = failure or Failure()
    found = {
        "expected": shown.expected,
        "got": shown.got,
        "tolerance": shown.tolerance,
        "given": shown.given,
        "looks like": shown.looks_like,
        "problem": shown.message,
        "traceback": shown.traceback,
        "printed": shown.output,
    }
    return {name: text for name, text in found.items() if text}


def advice(report: Report, result: RequirementResult) -> dict[str, str]:
    """The effect of a failure, where to read about it, and how to see it again."""
    spec = report.implementation.spec
    command = (
        None if spec is None else f"sdpo-ref verify {shlex.quote(spec)} --only {result.id}{_options(report, result)}"
    )
    found = {
        "effect": result.if_broken,
        "read": _way_to_read(result.read, result.id),
        "repeat": command or f'sdpo_ref.verify(implementation, only=["{result.id}"])',
        "check": _check(result),
    }
    return {name: text for name, text in found.items() if text}


def _options(report: Report, result: RequirementResult) -> str:
    """What else decided the result: the suite, profile, budget and workers of a claim, limits, and where it ran."""
    usual, asked = Limits(), report.repeat
    found = [] if asked.suite is None else [f"--suite {shlex.quote(asked.suite)}"]
    if result.level == _LEVEL_OF_CLAIMS:
        found += [f"--profile {report.claims.profile}"]
        found += [] if asked.budget is None else [f"--budget {asked.budget:g}"]
        found += [] if asked.jobs is None else [f"--jobs {asked.jobs}"]
    if not report.isolation:
        return "".join(f" {option}" for option in [*found, "--in-process"])
    time, memory = (
        _NUMBERS.findall(report.isolation.get("time", "")),
        _NUMBERS.findall(report.isolation.get("memory", "")),
    )
    limits = zip(
        ("--time-limit", "--load-limit", "--memory-limit"),
        (*time[:2], *memory[:1]) if len(time) == 2 else (),
        (usual.check, usual.start, usual.memory),
        strict=False,
    )
    found += [f"{option} {given}" for option, given, by_default in limits if float(given) != by_default]
    return "".join(f" {option}" for option in found)


def _way_to_read(where: str, name: str) -> str:
    return f"{where}, or: sdpo-ref spec show {name}"


def _check(result: RequirementResult) -> str:
    """The check that best shows what is wrong, and how many others do not pass either."""
    statuses = [check.status for check in result.checks if check.status is not Status.NA]
    bad = len(statuses) - statuses.count(Status.PASS)
    others = f" ({bad} of {len(statuses)} checks do not pass)" if len(statuses) > 1 else ""
    return "" if result.first_failure is None else f"{result.first_failure}{others}"


def diagnosis_rows(diagnosis: Diagnosis) -> dict[str, str]:
    """What belongs to the known defect that is named; nothing, if none is."""
    if not diagnosis.mutant:
        return {}
    return {
        "effect": diagnosis.effect,
        "read": _way_to_read(diagnosis.read, diagnosis.requirement),
        "see it": f"sdpo-ref verify sdpo_ref.mutants:make,name={diagnosis.name}",
    }


def left_out(report: Report) -> tuple[str, ...]:
    """What was not decided, by id with the reason; then what does not apply, by number."""
    reasons: dict[str, list[str]] = {}
    for result in report.of(Status.NOT_RUN, Status.SKIPPED, Status.INCONCLUSIVE):
        reasons.setdefault(result.reason, []).append(result.id)
    lines = [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]
    away = Counter(result.reason for result in report.of(Status.NA))
    lines += [
        f"{number} not applicable: {reason}" for reason, number in away.items() if not reason.startswith(NOT_OFFERED)
    ]
    parts = {reason.removeprefix(NOT_OFFERED): n for reason, n in away.items() if reason.startswith(NOT_OFFERED)}
    if parts:
        listed = ", ".join(f"{part} {number}" for part, number in parts.items())
        lines.append(f"{sum(parts.values())} not applicable, because these are not offered: {listed}")
    return tuple(lines)


def waiver_titles(report: Report) -> dict[str, str]:
    """Id of each waived requirement to the id with its status."""
    statuses = {result.id: str(result.status) for result in report.requirements}
    return {waiver.id: f"{waiver.id} {statuses.get(waiver.id, 'not selected')}" for waiver in report.waivers}


def claim_row(claim: ClaimResult) -> tuple[str, ...]:
    """A claim under :data:`CLAIM_COLUMNS`."""
    return (
        claim.id,
        claim.title,
        "NOT-RUN" if claim.outcome is None else claim.outcome.value,
        f"{sum(part.outcome is ClaimOutcome.PASS for part in claim.parts)}/{len(claim.parts)}",
        str(claim.seeds),
        f"{sum(control.holds is True for control in claim.controls)}/{len(claim.controls)}",
        percent(claim.false_pass),
        percent(claim.false_fail),
    )


def claims_legend(report: Report) -> tuple[str, ...]:
    """What the numbers of the claims mean, one paragraph each."""
    first, *others = report.claims.legend or ("",)
    return (f"profile {report.claims.profile}; {first}", *others)


def problems(report: Report) -> dict[str, tuple[str, ...]]:
    """What is wrong with the suite, by a title."""
    found = {"Broken files of the suite": report.broken, "Differs from manifest.json": report.deviations}
    return {title: lines for title, lines in found.items() if lines}
