"""From how each check ended to the result of each requirement, and to the report."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict

from sdpo_ref.verification.checks.mismatch import TOO_LARGE
from sdpo_ref.verification.diagnosis.diagnosed import diagnosed
from sdpo_ref.verification.diagnosis.kill_matrix import KillMatrix
from sdpo_ref.verification.diagnosis.known_answers import KnownAnswers
from sdpo_ref.verification.isolation.events import Check, Finished, Header
from sdpo_ref.verification.isolation.run import Run
from sdpo_ref.verification.report import (
    SCHEMA,
    CheckResult,
    Claims,
    Departure,
    Diagnosis,
    Failure,
    Implementation,
    Repeat,
    Report,
    RequirementResult,
    RunResults,
    Selection,
)
from sdpo_ref.verification.status import Status, worst
from sdpo_ref.verification.suite import selection as of_suite
from sdpo_ref.verification.suite.capabilities import not_declared, not_offered
from sdpo_ref.verification.suite.catalogue import Catalogue, Requirement
from sdpo_ref.verification.suite.manifest import Manifest, differences, lock
from sdpo_ref.verification.suite.prerequisites import after_prerequisites
from sdpo_ref.verification.suite.waivers import Waiver
from sdpo_ref.verification.verdict import verdict

NO_CLAIMS = Claims(profile="standard", legend=(), verdicts=())
"""Where level 4 was not run."""

_NOTHING_ELSE = Repeat()


def judge(
    run: Run,
    catalogue: Catalogue,
    manifest: Manifest,
    selection: of_suite.Selection,
    of_claims: Collection[RequirementResult] = (),
    *,
    claims: Claims = NO_CLAIMS,
    waivers: Collection[Waiver] = (),
    matrix: KillMatrix | None = None,
    known_answers: KnownAnswers | None = None,
    deviations: Iterable[str] = (),
    repeat: Repeat = _NOTHING_ELSE,
) -> Report:
    """The report of a run: a result for every selected requirement, the verdict, and the diagnosis.

    Args:
        run: what happened.
        catalogue: the specification.
        manifest: the locked denominator.
        selection: what the user selected.
        of_claims: results of the requirements that level 4 decides.
        claims: the verdicts behind them.
        waivers: the user's.
        matrix: what the suite records about known defects; without it there is no diagnosis.
        known_answers: their answers; without them, a diagnosis rests on failed checks.
        deviations: further differences between the suite and what was locked.
        repeat: what else was asked for.

    Returns:
        The report.

    Raises:
        ValueError: if the run only collected checks.
    """
    header = run.header
    if header is None:
        raise ValueError("this run collected checks and ran none; there is nothing to judge")
    of_level4 = {result.id: result for result in of_claims}
    selected = selection.requirements(catalogue, run.checks)
    own = {name: of_level4.get(name) or _result(catalogue[name], run, header) for name in selected}
    covered = {waiver.id: waiver for waiver in waivers}
    requirements = tuple(
        _waived(result, covered.get(result.id)) for result in after_prerequisites(own, run.checks).values()
    )
    unknown = {
        f"{check.function} decides {name}, which is not in the specification"
        for check in run.checks
        for name in check.requirements
        if name not in catalogue.requirements
    }
    departures = {name: Departure(declared=one, paper=paper) for name, (one, paper) in header.departures.items()}
    results = RunResults(
        versions=dict(header.versions),
        isolation=dict(header.isolation),
        implementation=Implementation(
            spec=header.spec,
            name=header.name,
            capabilities=header.capabilities,
            profile=dict(header.profile),
            departures=departures,
        ),
        selection=Selection(level=selection.level, only=tuple(selection.only)),
        repeat=repeat,
        chapters={chapter: catalogue.titles[chapter] for chapter in dict.fromkeys(it.chapter for it in requirements)},
        requirements=requirements,
        waivers=tuple(waivers),
        claims=claims,
        not_selected={it.id: it.strength for it in catalogue if it.id not in own},
        deviations=(*differences(manifest, lock(catalogue, run.checks)), *sorted(unknown), *deviations),
        broken=run.collection_errors,
        seconds=round(run.seconds, 3),
    )
    return Report(
        schema=SCHEMA,
        verdict=verdict(results),
        diagnosis=None if matrix is None else _diagnosis(results, run, matrix, known_answers, catalogue),
        **dict(results),
    )


def requirement_result(
    requirement: Requirement, status: Status, reason: str = "", checks: Iterable[Finished] = ()
) -> RequirementResult:
    """The result of a requirement by its own checks, before prerequisites and waivers.

    Args:
        requirement: of the specification.
        status: its worst check's.
        reason: why it is not decided, or not applicable.
        checks: those that ran for it, or were left out.

    Returns:
        The result, with the check that best shows what is wrong: of the worst, a recognised defect before others, the
        smallest input first.
    """
    ended = tuple(checks)
    failed = [(check, check.failure) for check in ended if check.failure is not None]
    shown = min(
        failed,
        key=lambda pair: (-pair[0].status.severity, not pair[1].looks_like, _size(pair[1].given)),
        default=(None, None),
    )[0]
    return RequirementResult(
        id=requirement.id,
        chapter=requirement.chapter,
        strength=requirement.strength,
        level=requirement.level,
        sentence=requirement.sentence,
        if_broken=requirement.if_broken,
        read=requirement.anchor,
        after=requirement.after,
        status=status,
        own_status=status,
        reason=reason,
        failed_first=None,
        waiver=None,
        first_failure=None if shown is None else shown.check,
        checks=tuple(_check_result(check) for check in ended),
    )


def _check_result(check: Finished) -> CheckResult:
    texts = {} if check.failure is None else {name: text for name, text in asdict(check.failure).items() if text}
    return CheckResult(
        id=check.check,
        status=check.status,
        reason=check.reason,
        seconds=round(check.seconds, 4),
        failure=Failure(**texts) if texts else None,
    )


def _size(given: str) -> tuple[bool, int]:
    """How much there is to read: an input that is shown whole comes before one that was too large to show."""
    return TOO_LARGE in given, len(given)


def _result(requirement: Requirement, run: Run, header: Header) -> RequirementResult:
    """By its own checks."""
    checks = tuple(_of(requirement, run.checks, run.finished))
    missing = not_declared(requirement.needs, header.capabilities)
    if missing:
        return requirement_result(requirement, Status.NA, not_offered(missing), checks)
    status = worst(check.status for check in checks)
    reason = next((check.reason for check in checks if check.status is status), "no check decides it")
    needs = {check.id: check.needs for check in run.checks}
    if status is Status.NA and all(not_declared(needs[check.check], header.capabilities) for check in checks):
        # It applies, but every check of it needs more than it does: a hole in the suite, and no reason to leave it out.
        return requirement_result(
            requirement, Status.NOT_RUN, f"applies, but every check of it needs more ({reason})", checks
        )
    return requirement_result(requirement, status, reason, checks)


def _of(requirement: Requirement, checks: Iterable[Check], finished: Mapping[str, Finished]) -> Iterable[Finished]:
    return (finished[check.id] for check in checks if requirement.id in check.requirements and check.id in finished)


def _waived(result: RequirementResult, waiver: Waiver | None) -> RequirementResult:
    """With its waiver: a failure is expected, also where a more basic one came first; a pass is not."""
    if waiver is None:
        return result
    status = Status.XFAIL if result.own_status.is_failure else result.status
    status = Status.XPASS if result.status is Status.PASS else status
    reason = f"{waiver.until}: {waiver.reason}" if status in (Status.XFAIL, Status.XPASS) else result.reason
    return result.model_copy(update={"status": status, "reason": reason, "waiver": waiver})


def _diagnosis(
    results: RunResults, run: Run, matrix: KillMatrix, known: KnownAnswers | None, catalogue: Catalogue
) -> Diagnosis | None:
    found = diagnosed(results, run, matrix, known, requirements=catalogue.requirements)
    if found is None:
        return None
    row = found.row
    requirement = None if row is None else catalogue[row.caught_by[0]]
    return Diagnosis(
        basis=found.basis,
        mutant="" if row is None else row.id,
        name="" if row is None else row.name,
        wrong="" if row is None else row.wrong,
        effect="" if row is None else row.effect,
        agreeing=found.agreeing,
        together=found.together,
        likeness=round(found.likeness, 4),
        sentence=found.sentence,
        requirement="" if requirement is None else requirement.id,
        read="" if requirement is None else requirement.anchor,
    )
