"""One sentence and one exit code for a report."""

from dataclasses import dataclass

from sdpo_ref.verify.capabilities import part_of
from sdpo_ref.verify.results import Report
from sdpo_ref.verify.status import ExitCode, Status, first_of


@dataclass(frozen=True)
class Verdict:
    """What a report amounts to.

    Attributes:
        conformant: every MUST of the specification that applies was asked for, and passes.
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

    Only MUST decides; a failed SHOULD is a note. A run of a part of the suite is never *conformant*, and an
    implementation of a part is conformant *in what it offers*.
    """
    must = report.count("MUST")
    exit_code = _exit_code(report)
    everything = report.selection.is_everything and not _is_smoke(report)
    conformant = exit_code is ExitCode.CONFORMANT and everything
    score = f"{must.passed} of {must.applicable} MUST"
    if exit_code is ExitCode.CONFORMANT and not everything:
        sentence = f"partial run, no verdict on conformance: {score} passed{_rest(report)}"
    elif conformant and must.not_applicable:
        sentence = (
            f"conformant in what it offers: {score}; {must.not_applicable} MUST not applicable: {_offers(report)}"
        )
    elif conformant:
        sentence = f"conformant: {score}"
    else:
        sentence = f"{_WORDS[exit_code]}: {score} passed{_rest(report)}"
    return Verdict(conformant, exit_code, sentence, tuple(_notes(report)))


_WORDS = {
    ExitCode.FAILED: "not conformant",
    ExitCode.INCONCLUSIVE: "inconclusive",
    ExitCode.INVALID: "invalid run, the suite itself is broken",
    ExitCode.INCOMPLETE: "incomplete run, not all that the specification demands was checked",
}


def _exit_code(report: Report) -> ExitCode:
    must = [entry.status for entry in report.decided if entry.requirement.strength == "MUST"]
    applies = [status for status in must if status is not Status.NA]
    codes: list[ExitCode] = []
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
    return first_of(codes)


def _is_smoke(report: Report) -> bool:
    """Whether claims were looked at with five seeds, which can refute and seldom decide."""
    return bool(report.claims) and report.profile == "smoke"


def _rest(report: Report) -> str:
    """How many MUST failed and how many were not decided, if any."""
    must = [entry.status for entry in report.decided if entry.requirement.strength == "MUST"]
    failed = sum(status.is_failure or status is Status.INVALID for status in must)
    undecided = sum(status in (Status.NOT_RUN, Status.INCONCLUSIVE, Status.SKIPPED) for status in must)
    return (f", {failed} failed" if failed else "") + (f", {undecided} not decided" if undecided else "")


def _offers(report: Report) -> str:
    parts = dict.fromkeys(part_of(capability) for capability in report.header.capabilities)
    return f"it offers {', '.join(parts)} only"


def _notes(report: Report) -> list[str]:
    notes: list[str] = []
    for strength in ("SHOULD", "MAY"):
        broken = [
            entry for entry in report.decided if entry.requirement.strength == strength and entry.status.is_failure
        ]
        if broken:
            names = ", ".join(entry.requirement.id for entry in broken)
            notes.append(f"warning: {len(broken)} {strength} not met: {names}")
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
    return notes
