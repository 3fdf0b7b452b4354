"""What a report shows, in the words and the order in which every form of it shows it."""

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import get_args

from sdpo_ref.claims.statistics.ruling import Ruling
from sdpo_ref.verification.reports.document import Check, Claim, Count, Document, Failure, Requirement
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.catalogue import Strength

STRENGTHS: tuple[Strength, ...] = get_args(Strength)
SHOWN = (Status.FAIL, Status.ERROR, Status.XPASS, Status.XFAIL, Status.INVALID)
"""Statuses of requirements that are shown with all that is known about them."""

CLAIM_COLUMNS = ("claim", "title", "verdict", "parts", "seeds", "controls held", "false pass", "false fail")


def facts(document: Document) -> dict[str, str]:
    """What was verified, with what."""
    made = document.implementation
    departures = [f"{name} = {it.declared} (paper: {it.paper})" for name, it in made.departures.items()]
    found = {
        "verified": made.spec if made.name == made.spec else f"{made.spec} ({made.name})",
        "offers": ", ".join(made.capabilities),
        "profile": "; ".join(departures) or "the paper's",
        "with": ", ".join(f"{what} {version}" for what, version in document.versions.items()),
        "isolated": ", ".join(document.isolation.values()),
        "asked for": _selection(document),
    }
    return {name: text for name, text in found.items() if text}


def chapters(document: Document) -> tuple[str, ...]:
    """Chapters of what was asked for, in reading order."""
    return tuple(dict.fromkeys(it.chapter for it in document.requirements))


def count(document: Document, strength: Strength, chapter: str) -> Count:
    """How many requirements of a strength hold in a chapter."""
    found = [it.status for it in document.requirements if (it.strength, it.chapter) == (strength, chapter)]
    away = found.count(Status.NA)
    return Count(passed=found.count(Status.PASS), applicable=len(found) - away, not_applicable=away)


def strengths(document: Document) -> tuple[Strength, ...]:
    """Those that any requirement has."""
    return tuple(it for it in STRENGTHS if any(found.strength == it for found in document.requirements))


def not_passed(document: Document, chapter: str) -> tuple[Requirement, ...]:
    """Requirements of a chapter that apply and do not pass."""
    fine = (Status.PASS, Status.NA)
    return tuple(it for it in document.requirements if it.chapter == chapter and it.status not in fine)


def failing(document: Document) -> tuple[Requirement, ...]:
    """Requirements to show with all that is known about them: those that nobody waives first, a MUST first."""
    found = [it for it in document.requirements if it.status in SHOWN]
    return tuple(sorted(found, key=lambda it: (it.waiver is not None, STRENGTHS.index(it.strength))))


def told(requirement: Requirement) -> dict[str, str]:
    """What happened in the check that best shows it, by the name under which it is shown."""
    failure = next((it.failure for it in requirement.checks if it.id == requirement.first_failure), None) or Failure()
    found = {
        "expected": failure.expected,
        "got": failure.got,
        "tolerance": failure.tolerance,
        "given": failure.given,
        "looks like": failure.looks_like,
        "problem": failure.message,
        "traceback": failure.traceback,
        "printed": failure.output,
    }
    return {name: text for name, text in found.items() if text}


def advice(document: Document, requirement: Requirement) -> dict[str, str]:
    """What a failure does, where to read about it, and how to see it again."""
    found = {
        "effect": requirement.if_broken,
        "read": f"{requirement.read}, or: sdpo-ref spec show {requirement.id}",
        "repeat": f"sdpo-ref verify {shlex.quote(document.implementation.spec)} --only {requirement.id}",
        "check": _which(requirement.first_failure, requirement.checks),
    }
    return {name: text for name, text in found.items() if text}


def undecided(document: Document) -> dict[str, tuple[str, ...]]:
    """Why what applies was not decided, with the ids of it."""
    reasons: dict[str, tuple[str, ...]] = {}
    for it in document.requirements:
        if it.status in (Status.NOT_RUN, Status.SKIPPED, Status.INCONCLUSIVE):
            reasons[it.reason] = (*reasons.get(it.reason, ()), it.id)
    return reasons


def not_applicable(document: Document) -> Mapping[str, int]:
    """Why requirements do not apply, with their number."""
    return Counter(it.reason for it in document.requirements if it.status is Status.NA)


def claim_row(claim: Claim) -> tuple[str, ...]:
    """A claim under :data:`CLAIM_COLUMNS`."""
    return (
        claim.id,
        claim.title,
        "NOT-RUN" if claim.ruling is None else claim.ruling.value,
        f"{sum(part.ruling is Ruling.PASS for part in claim.parts)}/{len(claim.parts)}",
        str(claim.seeds),
        f"{sum(control.holds is True for control in claim.controls)}/{len(claim.controls)}",
        _rate(claim.false_pass),
        _rate(claim.false_fail),
    )


def problems(document: Document) -> dict[str, tuple[str, ...]]:
    """What is wrong with the suite, by a title."""
    found = {"Broken files of the suite": document.broken, "Differs from manifest.json": document.deviations}
    return {title: lines for title, lines in found.items() if lines}


def _selection(document: Document) -> str:
    chosen = document.selection
    parts = [f"level {chosen.level} and below"] * (chosen.level is not None) + [f"only {it}" for it in chosen.only]
    return ", ".join(parts)


def _which(check: str | None, checks: Iterable[Check]) -> str:
    states = [it.status for it in checks if it.status is not Status.NA]
    bad = len(states) - states.count(Status.PASS)
    return "" if check is None else check + (f" ({bad} of {len(states)} checks do not pass)" if len(states) > 1 else "")


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"{100 * rate:.2g} %"
