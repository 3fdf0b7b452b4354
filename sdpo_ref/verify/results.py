"""From how each check ended to what is known about each requirement, and to one verdict."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sdpo_ref.claims.profile import ProfileName
from sdpo_ref.claims.verdict import ClaimVerdict
from sdpo_ref.verify.applicability import not_declared, reason
from sdpo_ref.verify.catalogue import Catalogue, Requirement, Strength
from sdpo_ref.verify.events import Check, Finished, Header
from sdpo_ref.verify.manifest import Manifest, differences, lock
from sdpo_ref.verify.mismatch import TOO_LARGE
from sdpo_ref.verify.run import Run
from sdpo_ref.verify.selection import Selection
from sdpo_ref.verify.status import Status, worst


@dataclass(frozen=True)
class Decided:
    """What is known about one requirement.

    Attributes:
        requirement: the requirement.
        status: its worst check's, unless a prerequisite failed first.
        reason: why it is not decided, or not applicable.
        own_status: its worst check's.
        checks: the checks that ran for it, or were left out, in order.
    """

    requirement: Requirement
    status: Status
    reason: str
    own_status: Status
    checks: tuple[Finished, ...]

    @property
    def first_failure(self) -> Finished | None:
        """The check that best shows what is wrong: of the worst, one that is recognised, on the smallest input."""
        failed = [(check, check.failure) for check in self.checks if check.failure is not None]
        return min(
            failed,
            key=lambda pair: (-pair[0].status.severity, not pair[1].looks_like, _size(pair[1].given)),
            default=(None, None),
        )[0]


@dataclass(frozen=True)
class Count:
    """How many requirements of one strength hold.

    Attributes:
        passed: those that pass.
        applicable: those that apply to what the implementation declares.
        not_applicable: the others.
    """

    passed: int
    applicable: int
    not_applicable: int


@dataclass(frozen=True)
class Report:
    """The result of a run.

    Attributes:
        header: what was verified.
        selection: what the user asked for.
        decided: one entry for each requirement asked for, in reading order.
        not_asked: requirements left out by the selection.
        deviations: how the suite differs from its locked manifest, and files that could not be collected.
        broken: whether the suite itself is broken.
        seconds: wall-clock time.
        claims: the verdicts on claims that were run.
        profile: under which.
    """

    header: Header
    selection: Selection
    decided: tuple[Decided, ...]
    not_asked: tuple[Requirement, ...]
    deviations: tuple[str, ...]
    broken: tuple[str, ...]
    seconds: float
    claims: tuple[ClaimVerdict, ...] = ()
    profile: ProfileName = "standard"

    def of(self, *statuses: Status, strength: Strength | None = None) -> tuple[Decided, ...]:
        """Requirements with one of these statuses."""
        return tuple(
            entry
            for entry in self.decided
            if entry.status in statuses and strength in (None, entry.requirement.strength)
        )

    def count(self, strength: Strength, chapter: str | None = None) -> Count:
        """How many requirements of a strength hold, in one chapter or in all."""
        entries = [
            entry.status
            for entry in self.decided
            if entry.requirement.strength == strength and chapter in (None, entry.requirement.chapter)
        ]
        away = entries.count(Status.NA)
        return Count(entries.count(Status.PASS), len(entries) - away, away)


def judge(
    run: Run, catalogue: Catalogue, manifest: Manifest, selection: Selection, claims: Iterable[Decided] = ()
) -> Report:
    """Decide every requirement that was asked for.

    Args:
        run: what happened.
        catalogue: the specification.
        manifest: the locked denominator.
        selection: what the user asked for.
        claims: what level 4 decided.

    Returns:
        The report; :func:`sdpo_ref.verify.verdict.verdict` says what it amounts to.

    Raises:
        ValueError: if the run only collected checks.
    """
    if run.header is None:
        raise ValueError("this run collected checks and ran none; there is nothing to judge")
    asked = selection.requirements(catalogue, run.checks)
    of_claims = {entry.requirement.id: entry for entry in claims}
    own = {name: of_claims.get(name) or _own(catalogue[name], run, run.header) for name in asked}
    unknown = {
        f"{check.function} decides {name}, which is not in the specification"
        for check in run.checks
        for name in check.requirements
        if name not in catalogue.requirements
    }
    return Report(
        header=run.header,
        selection=selection,
        decided=tuple(_after_prerequisites(own[name], own) for name in asked),
        not_asked=tuple(requirement for requirement in catalogue if requirement.id not in own),
        deviations=(*differences(manifest, lock(catalogue, run.checks)), *sorted(unknown)),
        broken=run.collection_errors,
        seconds=run.seconds,
    )


def _own(requirement: Requirement, run: Run, header: Header) -> Decided:
    """What its own checks say."""
    checks = tuple(_of(requirement, run.checks, run.finished))
    missing = not_declared(requirement.needs, header.capabilities)
    if missing:
        return Decided(requirement, Status.NA, reason(missing), Status.NA, checks)
    status = worst(check.status for check in checks)
    because = next((check.reason for check in checks if check.status is status), "no check decides it")
    needs = {check.id: check.needs for check in run.checks}
    if status is Status.NA and all(not_declared(needs[check.check], header.capabilities) for check in checks):
        # It applies, but every check of it needs more than it does: a hole in the suite, and no reason to leave it out.
        status, because = Status.NOT_RUN, f"applies, but every check of it needs more ({because})"
    return Decided(requirement, status, because, status, checks)


def _of(requirement: Requirement, checks: Iterable[Check], finished: Mapping[str, Finished]) -> Iterable[Finished]:
    return (finished[check.id] for check in checks if requirement.id in check.requirements and check.id in finished)


def _after_prerequisites(entry: Decided, own: Mapping[str, Decided]) -> Decided:
    """Not decided, if it failed after something more basic had failed: one fault shall not print forty failures.

    A MUST is never hidden behind a SHOULD, because then no failed MUST would be left to see.
    """
    if not entry.own_status.is_failure:
        return entry
    root = _failed_first(entry, own)
    if root is entry:
        return entry
    because = f"not decided, {root.requirement.id} failed first"
    return Decided(entry.requirement, Status.NOT_RUN, because, entry.own_status, entry.checks)


def _failed_first(entry: Decided, own: Mapping[str, Decided]) -> Decided:
    """The most basic failure below a failed requirement; itself, if all its prerequisites hold."""
    for name in entry.requirement.after:
        before = own.get(name)
        hides = before is not None and (before.requirement.strength == "MUST" or entry.requirement.strength != "MUST")
        if before is not None and hides and before.own_status.is_failure:
            return _failed_first(before, own)
    return entry


def _size(given: str) -> tuple[bool, int]:
    """How much there is to read: an input that is shown whole comes before one that was too large to show."""
    return TOO_LARGE in given, len(given)
