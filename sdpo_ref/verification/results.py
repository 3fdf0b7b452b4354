"""From how each check ended to what is known about each requirement, and to one verdict."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from sdpo_ref.claims.profile import ProfileName
from sdpo_ref.claims.verdict import ClaimVerdict
from sdpo_ref.verification.decided import Decided
from sdpo_ref.verification.diagnosis.diagnosis import Diagnosis
from sdpo_ref.verification.isolation.events import Check, Finished, Header
from sdpo_ref.verification.isolation.run import Run
from sdpo_ref.verification.status import Status, worst
from sdpo_ref.verification.suite.capabilities import not_declared, not_offered
from sdpo_ref.verification.suite.catalogue import Catalogue, Requirement, Strength
from sdpo_ref.verification.suite.manifest import Manifest, differences, lock
from sdpo_ref.verification.suite.prerequisites import after_prerequisites
from sdpo_ref.verification.suite.selection import Selection
from sdpo_ref.verification.suite.waivers import Waiver


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
        waivers: the user's, also those of requirements that were not asked for.
        diagnosis: the known defect that the failures look like.
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
    waivers: tuple[Waiver, ...] = ()
    diagnosis: Diagnosis | None = None

    def of(self, *statuses: Status, strength: Strength | None = None) -> tuple[Decided, ...]:
        """Requirements with one of these statuses."""
        return tuple(
            entry
            for entry in self.decided
            if entry.status in statuses and strength in (None, entry.requirement.strength)
        )

    def requirement(self, requirement_id: str) -> Requirement:
        """The requirement with this id, asked for or not.

        Raises:
            KeyError: if there is none.
        """
        known = {entry.requirement.id: entry.requirement for entry in self.decided}
        return {**known, **{it.id: it for it in self.not_asked}}[requirement_id]

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
    run: Run,
    catalogue: Catalogue,
    manifest: Manifest,
    selection: Selection,
    claims: Iterable[Decided] = (),
    *,
    waivers: Collection[Waiver] = (),
) -> Report:
    """Decide every requirement that was asked for.

    Args:
        run: what happened.
        catalogue: the specification.
        manifest: the locked denominator.
        selection: what the user asked for.
        claims: what level 4 decided.
        waivers: which failures are announced.

    Returns:
        The report; :func:`sdpo_ref.verification.verdict.verdict` says what it amounts to.

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
    covered = {waiver.id: waiver for waiver in waivers}
    decided = after_prerequisites(own, run.checks).values()
    return Report(
        header=run.header,
        selection=selection,
        decided=tuple(_under(covered.get(entry.requirement.id), entry) for entry in decided),
        not_asked=tuple(requirement for requirement in catalogue if requirement.id not in own),
        deviations=(*differences(manifest, lock(catalogue, run.checks)), *sorted(unknown)),
        broken=run.collection_errors,
        seconds=run.seconds,
        waivers=tuple(waivers),
    )


def _own(requirement: Requirement, run: Run, header: Header) -> Decided:
    """What its own checks say."""
    checks = tuple(_of(requirement, run.checks, run.finished))
    missing = not_declared(requirement.needs, header.capabilities)
    if missing:
        return Decided(requirement, Status.NA, not_offered(missing), Status.NA, checks)
    status = worst(check.status for check in checks)
    because = next((check.reason for check in checks if check.status is status), "no check decides it")
    needs = {check.id: check.needs for check in run.checks}
    if status is Status.NA and all(not_declared(needs[check.check], header.capabilities) for check in checks):
        # It applies, but every check of it needs more than it does: a hole in the suite, and no reason to leave it out.
        status, because = Status.NOT_RUN, f"applies, but every check of it needs more ({because})"
    return Decided(requirement, status, because, status, checks)


def _of(requirement: Requirement, checks: Iterable[Check], finished: Mapping[str, Finished]) -> Iterable[Finished]:
    return (finished[check.id] for check in checks if requirement.id in check.requirements and check.id in finished)


def _under(waiver: Waiver | None, entry: Decided) -> Decided:
    """With its waiver: a failure is announced, also where something more basic failed; a pass is one too many."""
    if waiver is None:
        return entry
    changed = Status.XFAIL if entry.own_status.is_failure else entry.status
    changed = Status.XPASS if entry.status is Status.PASS else changed
    because = f"{waiver.until}: {waiver.reason}" if changed in (Status.XFAIL, Status.XPASS) else entry.reason
    return replace(entry, status=changed, reason=because, waiver=waiver)
