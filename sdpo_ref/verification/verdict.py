"""One sentence and one exit code for what a run found."""

from collections.abc import Iterable

from sdpo_ref.verification.report import STRENGTHS, RequirementResult, RunResults, Verdict
from sdpo_ref.verification.status import ExitCode, Status, first_of
from sdpo_ref.verification.suite.capabilities import NOT_OFFERED, part_of
from sdpo_ref.verification.suite.catalogue import is_published_statement


def verdict(results: RunResults) -> Verdict:
    """The verdict on what a run found.

    Only MUST decides; a failed SHOULD is a note. A run of a part of the suite is never *conformant*, an implementation
    of a part is conformant *in what it offers*, and one with a waived MUST at most *except* for that.

    Args:
        results: of the run.

    Returns:
        The verdict with its exit code, its denominator and its limits.
    """
    must = results.count("MUST")
    codes = _exit_codes(results)
    code = first_of(codes)
    wrong = first_of(code for code in codes if code is not ExitCode.USAGE)
    waived = [result for result in _musts(results) if result.waiver is not None]
    everything = results.selection.is_everything and not results.is_smoke
    score = f"{must.passed} of {must.applicable} MUST"
    if wrong in (ExitCode.INCOMPLETE, ExitCode.INCONCLUSIVE) and not _shown(results):
        sentence = f"nothing was shown: {score} passed{_rest(results)}{_few(results)}"
    elif wrong is not ExitCode.PASSED:
        sentence = f"{_WORDS[wrong]}: {score} passed{_rest(results)}{_few(results)}"
    elif not everything:
        sentence = f"partial run, no verdict on conformance: {score} passed{_rest(results)}{_few(results)}"
    else:
        offers = " in what it offers" if must.not_applicable else ""
        away = f"; {must.not_applicable} MUST not applicable: {_offers(results)}" if must.not_applicable else ""
        sentence = f"conformant{offers}{_except(waived)}: {score}{_rest(results)}{away}{_few(results)}"
    return Verdict(
        conformant=wrong is ExitCode.PASSED and everything and not waived,
        partial=not results.selection.is_everything,
        exit_code=code,
        meaning=code.meaning,
        sentence=sentence,
        notes=tuple(_notes(results)),
        counts={strength: results.count(strength) for strength in STRENGTHS},
    )


_WORDS = {
    ExitCode.FAILED: "not conformant",
    ExitCode.INCONCLUSIVE: "inconclusive",
    ExitCode.INVALID: "invalid run, the suite itself is broken",
    ExitCode.INCOMPLETE: "incomplete run, not all that the specification demands was checked",
}


def _musts(results: RunResults) -> list[RequirementResult]:
    return [result for result in results.requirements if result.strength == "MUST"]


def _exit_codes(results: RunResults) -> list[ExitCode]:
    """Every code that applies; empty, if nothing is wrong."""
    counted = [result for result in _musts(results) if not (result.is_excused or result.has_unneeded_waiver)]
    applies = [result.status for result in counted if result.status is not Status.NA]
    codes: list[ExitCode] = []
    if any(result.has_unneeded_waiver for result in results.requirements):
        codes.append(ExitCode.USAGE)
    if results.broken or results.of(Status.INVALID):
        codes.append(ExitCode.INVALID)
    if any(status.is_failure for status in applies):
        codes.append(ExitCode.FAILED)
    ran = any(result.status is not Status.NA for result in results.requirements)
    skipped = Status.SKIPPED in applies and not results.is_smoke
    if not ran or results.deviations or Status.NOT_RUN in applies or skipped:
        codes.append(ExitCode.INCOMPLETE)
    if (Status.INCONCLUSIVE in applies and not results.is_smoke) or not _shown(results):
        codes.append(ExitCode.INCONCLUSIVE)
    return codes


def _shown(results: RunResults) -> list[RequirementResult]:
    """What the run decided; that declared parts answer (CONF) shows nothing about them, unless it is all that is asked.

    A requirement of any strength counts, because a run may be one of SHOULD alone.
    """
    about_parts = [result for result in results.requirements if not result.id.startswith("CONF-")]
    asked = about_parts or results.requirements
    undecided = (Status.NA, Status.SKIPPED, Status.INCONCLUSIVE, Status.NOT_RUN)
    return [result for result in asked if result.status not in undecided]


def _few(results: RunResults) -> str:
    """How many of the MUST about what is offered applied, if fewer than half of them did."""
    about_parts = [it for it in _musts(results) if not it.id.startswith("CONF-") and not _is_of_another_part(it)]
    applied = [result for result in about_parts if result.status is not Status.NA]
    if 2 * len(applied) >= len(about_parts):
        return ""
    return f"; fewer than half of the {len(about_parts)} MUST about its parts apply: {len(applied)}"


def _is_of_another_part(result: RequirementResult) -> bool:
    """Whether a requirement does not apply because a whole part is not there."""
    missing = result.reason.removeprefix(NOT_OFFERED).split(", ")
    is_missing = result.status is Status.NA and result.reason.startswith(NOT_OFFERED)
    return is_missing and any(part_of(capability) == capability for capability in missing)


def _rest(results: RunResults) -> str:
    """How many MUST failed, were not decided or are waived, if any."""
    waived = [result for result in _musts(results) if result.is_excused or result.has_unneeded_waiver]
    others = [result.status for result in _musts(results) if result not in waived]
    failed = sum(status.is_failure or status is Status.INVALID for status in others)
    undecided = sum(status in (Status.NOT_RUN, Status.INCONCLUSIVE, Status.SKIPPED) for status in others)
    counts = ((failed, "failed"), (undecided, "not decided"), (len(waived), "waived"))
    return "".join(f", {number} {what}" for number, what in counts if number)


def _except(waived: Iterable[RequirementResult]) -> str:
    """The waived ones by name, those with one date together."""
    by_date: dict[str, list[str]] = {}
    for result in waived:
        if result.waiver is not None:
            by_date.setdefault(result.waiver.until, []).append(result.id)
    groups = [f"{', '.join(names)} ({until})" for until, names in by_date.items()]
    return f" except {', '.join(groups)}" if groups else ""


def _offers(results: RunResults) -> str:
    parts = dict.fromkeys(part_of(capability) for capability in results.implementation.capabilities)
    return f"it offers {', '.join(parts)} only"


def _notes(results: RunResults) -> list[str]:
    notes: list[str] = []
    for strength in ("SHOULD", "MAY"):
        broken = [
            result
            for result in results.requirements
            if result.strength == strength and result.status.is_failure and result.waiver is None
        ]
        if broken:
            notes.append(f"warning: {len(broken)} {strength} not met: {_ids(broken)}")
    if results.implementation.departures:
        names = ", ".join(results.implementation.departures)
        notes.append(f"judged by its own profile, which departs from the paper's in {names}")
    left_out = list(results.not_selected.values()).count("MUST")
    if left_out:
        notes.append(f"not run: {left_out} further MUST were left out by --level or --only")
    published = [name for name in results.not_selected if is_published_statement(name)]
    if published and results.selection.covers_claims:
        notes.append(f"not selected: {len(published)} statements of the published study, which --only P0 asks for")
    if results.is_smoke:
        notes.append("five seeds can refute a claim and seldom decide one; take --profile standard for a verdict")
    if results.deviations:
        notes.append("the suite differs from its locked manifest: a released suite never does; reinstall it")
    return notes + _notes_on_waivers(results)


def _notes_on_waivers(results: RunResults) -> list[str]:
    """What is to be changed in the file of waivers."""
    notes: list[str] = []
    unneeded = [result for result in results.requirements if result.has_unneeded_waiver]
    for status, what in ((Status.XPASS, "passes"), (Status.NA, "does not apply to what is offered")):
        if names := _ids(result for result in unneeded if result.status is status):
            notes.append(f"warning: waived and {what}: {names}; remove the waiver")
    waived = {result.id for result in results.requirements if result.waiver is not None}
    if behind := _ids(it for it in results.requirements if it.failed_first in waived and it.waiver is None):
        notes.append(f"warning: a waiver covers one requirement, and these fail after a waived one: {behind}")
    unused = [waiver.id for waiver in results.waivers if waiver.id in results.not_selected]
    if unused:
        notes.append(f"waivers of what was left out by --level or --only: {', '.join(unused)}")
    return notes


def _ids(results: Iterable[RequirementResult]) -> str:
    return ", ".join(result.id for result in results)
