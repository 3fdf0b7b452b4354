"""One sentence and one exit code for a report."""

from collections.abc import Iterable
from dataclasses import dataclass

from sdpo_ref.verification.decided import Decided
from sdpo_ref.verification.results import Report
from sdpo_ref.verification.status import ExitCode, Status, first_of
from sdpo_ref.verification.suite.capabilities import part_of


@dataclass(frozen=True)
class Verdict:
    """What a report amounts to.

    Attributes:
        conformant: every MUST of the specification that applies was asked for, passes, and is not waived.
        exit_code: of the process.
        sentence: the verdict with its denominator.
        notes: what limits it, one sentence each.
    """

    conformant: bool
    exit_code: ExitCode
    sentence: str
    notes: tuple[str, ...]


def verdict(report: Report) -> Verdict:
    """The verdict of a report.

    Only MUST decides; a failed SHOULD is a note. A run of a part of the suite is never *conformant*, an implementation
    of a part is conformant *in what it offers*, and one with a waived MUST at most *except* for that.
    """
    must = report.count("MUST")
    codes = _exit_codes(report)
    wrong = first_of(code for code in codes if code is not ExitCode.USAGE)
    waived = [entry for entry in _musts(report) if entry.waiver is not None]
    everything = report.selection.is_everything and not _is_smoke(report)
    score = f"{must.passed} of {must.applicable} MUST"
    if wrong is not ExitCode.PASSED:
        sentence = f"{_WORDS[wrong]}: {score} passed{_rest(report)}"
    elif not everything:
        sentence = f"partial run, no verdict on conformance: {score} passed{_rest(report)}"
    else:
        offers = " in what it offers" if must.not_applicable else ""
        away = f"; {must.not_applicable} MUST not applicable: {_offers(report)}" if must.not_applicable else ""
        sentence = f"conformant{offers}{_except(waived)}: {score}{_rest(report)}{away}"
    conformant = wrong is ExitCode.PASSED and everything and not waived
    return Verdict(conformant, first_of(codes), sentence, tuple(_notes(report)))


_WORDS = {
    ExitCode.FAILED: "not conformant",
    ExitCode.INCONCLUSIVE: "inconclusive",
    ExitCode.INVALID: "invalid run, the suite itself is broken",
    ExitCode.INCOMPLETE: "incomplete run, not all that the specification demands was checked",
}


def _musts(report: Report) -> list[Decided]:
    return [entry for entry in report.decided if entry.requirement.strength == "MUST"]


def _exit_codes(report: Report) -> list[ExitCode]:
    """Every code that applies; none, if nothing is wrong."""
    counted = [entry for entry in _musts(report) if not (entry.is_excused or entry.is_waived_in_vain)]
    applies = [entry.status for entry in counted if entry.status is not Status.NA]
    codes: list[ExitCode] = []
    if any(entry.is_waived_in_vain for entry in report.decided):
        codes.append(ExitCode.USAGE)
    if report.broken or report.of(Status.INVALID):
        codes.append(ExitCode.INVALID)
    if any(status.is_failure for status in applies):
        codes.append(ExitCode.FAILED)
    ran = any(entry.status is not Status.NA for entry in report.decided)
    skipped = Status.SKIPPED in applies and not _is_smoke(report)
    if not ran or report.deviations or Status.NOT_RUN in applies or skipped:
        codes.append(ExitCode.INCOMPLETE)
    if Status.INCONCLUSIVE in applies and not _is_smoke(report):
        codes.append(ExitCode.INCONCLUSIVE)
    return codes


def _is_smoke(report: Report) -> bool:
    """Whether claims were looked at with five seeds, which can refute and seldom decide."""
    return bool(report.claims) and report.profile == "smoke"


def _rest(report: Report) -> str:
    """How many MUST failed, were not decided or are waived, if any."""
    waived = [entry for entry in _musts(report) if entry.is_excused or entry.is_waived_in_vain]
    others = [entry.status for entry in _musts(report) if entry not in waived]
    failed = sum(status.is_failure or status is Status.INVALID for status in others)
    undecided = sum(status in (Status.NOT_RUN, Status.INCONCLUSIVE, Status.SKIPPED) for status in others)
    counts = ((failed, "failed"), (undecided, "not decided"), (len(waived), "waived"))
    return "".join(f", {number} {what}" for number, what in counts if number)


def _except(waived: Iterable[Decided]) -> str:
    """The waived ones by name, those with one date together."""
    by_date: dict[str, list[str]] = {}
    for entry in waived:
        if entry.waiver is not None:
            by_date.setdefault(entry.waiver.until, []).append(entry.requirement.id)
    groups = [f"{', '.join(names)} ({until})" for until, names in by_date.items()]
    return f" except {', '.join(groups)}" if groups else ""


def _offers(report: Report) -> str:
    parts = dict.fromkeys(part_of(capability) for capability in report.header.capabilities)
    return f"it offers {', '.join(parts)} only"


def _notes(report: Report) -> list[str]:
    notes: list[str] = []
    for strength in ("SHOULD", "MAY"):
        broken = [
            entry
            for entry in report.decided
            if entry.requirement.strength == strength and entry.status.is_failure and entry.waiver is None
        ]
        if broken:
            notes.append(f"warning: {len(broken)} {strength} not met: {_ids(broken)}")
    if report.header.departures:
        names = ", ".join(report.header.departures)
        notes.append(f"judged by its own profile, which departs from the paper's in {names}")
    if report.not_asked:
        left_out = sum(requirement.strength == "MUST" for requirement in report.not_asked)
        notes.append(f"not run: {left_out} further MUST were left out by --level or --only")
    if _is_smoke(report):
        notes.append("five seeds can refute a claim and seldom decide one; take --profile standard for a verdict")
    if report.deviations:
        notes.append("the suite differs from its locked manifest: a released suite never does; reinstall it")
    return notes + _notes_on_waivers(report)


def _notes_on_waivers(report: Report) -> list[str]:
    """What is to be done about the file of waivers."""
    notes: list[str] = []
    vain = [entry for entry in report.decided if entry.is_waived_in_vain]
    for status, what in ((Status.XPASS, "passes"), (Status.NA, "does not apply to what is offered")):
        if names := _ids(entry for entry in vain if entry.status is status):
            notes.append(f"warning: waived and {what}: {names}; remove the waiver")
    waived = {entry.requirement.id for entry in report.decided if entry.waiver is not None}
    if behind := _ids(entry for entry in report.decided if entry.behind in waived and entry.waiver is None):
        notes.append(f"warning: a waiver covers one requirement, and these fail after a waived one: {behind}")
    left_out = {requirement.id for requirement in report.not_asked}
    unused = [waiver.id for waiver in report.waivers if waiver.id in left_out]
    if unused:
        notes.append(f"waivers of what was left out by --level or --only: {', '.join(unused)}")
    return notes


def _ids(entries: Iterable[Decided]) -> str:
    return ", ".join(entry.requirement.id for entry in entries)
