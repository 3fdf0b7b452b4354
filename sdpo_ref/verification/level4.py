"""Level 4: an implementation's trainer replaces SDPO's, and the claims that the reference passes are decided for it.

Statements of the published study are asked only where they are named; what their controls say stands in the legend.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass

from sdpo_ref._loading import parse
from sdpo_ref.claims.findings import checked_parts, read_findings
from sdpo_ref.claims.procedure import Answer, Compared
from sdpo_ref.claims.profile import ProfileName, is_checked_under
from sdpo_ref.claims.published import read_published_findings
from sdpo_ref.claims.rates import read_rates
from sdpo_ref.claims.records import read_claims, read_published, record_sha256
from sdpo_ref.claims.reproduced import Reproduced, asked_parts, reproduce
from sdpo_ref.claims.runs import FIRST_GRADIENT, Fresh, Source, verdict_seed
from sdpo_ref.claims.schema import Part, Reproduction, Statement
from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.claims.stored import FOLDER, Stored
from sdpo_ref.claims.verdict import ClaimVerdict, judge
from sdpo_ref.errors import TaskError
from sdpo_ref.study.workers import available_jobs
from sdpo_ref.verification.entry.from_file import importable
from sdpo_ref.verification.isolation.events import Failure, Finished, Header
from sdpo_ref.verification.isolation.isolated_runs import IsolatedRuns
from sdpo_ref.verification.isolation.limits import Limits
from sdpo_ref.verification.isolation.loader import BY_NAME, SHORT_NAMES
from sdpo_ref.verification.isolation.run import Request
from sdpo_ref.verification.judge import requirement_result
from sdpo_ref.verification.report import (
    ClaimResult,
    Claims,
    ComparisonResult,
    ControlResult,
    Decision,
    PartResult,
    RequirementResult,
    SeedValue,
    percent,
)
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.capabilities import not_declared, not_offered
from sdpo_ref.verification.suite.catalogue import Catalogue, Requirement
from sdpo_ref.verification.suite.silent import UNDECIDED

BUNDLED_MODULE = "sdpo_ref.bundled"
"""Its trainers run on the batched simulator, which tests hold equal to them."""

RUN_LIMIT = 120.0
"""Seconds that one run of an implementation may take by default; the bundled trainer takes one."""

_STATUS: Mapping[ClaimOutcome | None, Status] = {
    ClaimOutcome.PASS: Status.PASS,
    ClaimOutcome.FAIL: Status.FAIL,
    ClaimOutcome.INCONCLUSIVE: Status.INCONCLUSIVE,
    ClaimOutcome.INVALID: Status.INVALID,
    None: Status.NOT_RUN,
}


_RATES = (
    "held: controls. false pass: chance of PASS if one comparison is a toss-up (or at its margin). false fail: most "
    "that the chance of FAIL can be if every comparison holds. Between the two no guarantee is made."
)
_FIRST_CALLS = (
    "What is wrong with a trainer often shows in its first calls: --only TRAIN compares them exactly, in seconds, and "
    "names the known wrong trainer that they are like."
)
_UNSEEN = "no gradient of this trainer can be read: none reaches the policy's weights or an optimiser of PyTorch"
_NOT_CHECKED = (
    "Parts of claims that the reference fails or leaves undecided are not checked on other implementations: see "
    "FINDINGS.md."
)


@dataclass(frozen=True)
class Level4:
    """How claims are decided.

    Attributes:
        profile: how many seeds, at which error rates.
        budget: seconds after which the runs of an implementation end, and those of the bundled trainers do not begin;
            ``None`` for no limit.
        run_limit: seconds that one run of an implementation may take.
        memory: of each process of an implementation, in GiB.
        progress: called with the numbers of runs of a look that are done and requested.
    """

    profile: ProfileName = "standard"
    budget: float | None = None
    run_limit: float = RUN_LIMIT
    memory: float = Limits().memory
    progress: Callable[[int, int], None] = lambda _done, _all: None


def decide_claims(
    request: Request,
    header: Header,
    catalogue: Catalogue,
    options: Level4,
    *,
    jobs: int | None,
    silent: AbstractSet[str] = frozenset(),
) -> tuple[tuple[RequirementResult, ...], Claims]:
    """Decide every selected claim.

    Args:
        request: the implementation, the suite, and what was selected.
        header: what the implementation declares.
        catalogue: the specification.
        options: how.
        jobs: worker processes; one for each core if left out.
        silent: capabilities that do not answer their simplest call; nothing is trained with them.

    Returns:
        Each claim as a requirement, and the verdicts behind those that were run.
    """
    records, statements = read_claims(request.spec), read_published(request.spec)
    named = request.selection.requirements(catalogue, ())
    selected = [name for name in named if name in records or name in statements]
    if not selected:
        return (), claims_of((), options.profile)
    missing = {name: not_declared(catalogue[name].needs, header.capabilities) for name in selected}
    asked = {name for name in selected if not missing[name] and silent.isdisjoint(catalogue[name].needs)}
    bundled = header.spec is not None and parse(importable(header.spec), SHORT_NAMES).module == BUNDLED_MODULE
    claims = [claim for name, claim in records.items() if name in asked]
    published = [one for name, one in statements.items() if name in asked]
    findings, rates = read_findings(request.conformance), read_rates(request.conformance)
    wanted = checked_parts(claims, findings, rates, implementation=not bundled)
    left_out = {name for name, claim in records.items() if not is_checked_under(claim, options.profile)}
    wanted = {name: [] if name in left_out else parts for name, parts in wanted.items()}
    wanted |= asked_parts(published, read_published_findings(request.conformance), implementation=not bundled)
    verdicts, reproduced = list[ClaimVerdict](), Reproduced()
    error = ""
    if any(wanted.values()) and header.spec is not None:
        try:
            with _source(header.spec, header, options, jobs or available_jobs(), bundled=bundled) as source:
                verdicts = judge(
                    wanted,
                    list(records.values()),
                    fresh=source,
                    stored=Stored(request.conformance / FOLDER),
                    profile=options.profile,
                    implementation=not bundled,
                )
                reproduced = reproduce(
                    wanted,
                    list(statements.values()),
                    fresh=source,
                    bundled=Fresh(None, jobs or available_jobs()),
                    profile=options.profile,
                    implementation=not bundled,
                )
        except TaskError as raised:
            error = str(raised)
    verdicts += reproduced.verdicts
    found = {one.claim.id: one for one in verdicts}
    results = []
    for name in selected:
        requirement = catalogue[name]
        if name not in asked:
            result = _not_asked(requirement, missing[name])
        elif name in left_out:
            result = requirement_result(requirement, Status.SKIPPED, "five seeds are for the claims about F01's runs")
        elif not wanted[name]:
            nothing = "no part of it that the reference passes reliably is about a trainer"
            result = requirement_result(requirement, Status.NA, nothing)
        elif header.spec is None:
            result = requirement_result(requirement, Status.NOT_RUN, f"it trains in other processes; {BY_NAME}")
        elif error:
            failure = Finished(f"claims::{name}", Status.ERROR, failure=Failure(message=error))
            result = requirement_result(requirement, Status.ERROR, error, [failure])
        else:
            result = result_of_claim(requirement, found[name], options, bundled=bundled)
        results.append(result)
    return tuple(results), claims_of(verdicts, options.profile, says=reproduced.says)


def _not_asked(requirement: Requirement, missing: Sequence[str]) -> RequirementResult:
    """A claim about what is not offered, or does not answer."""
    if missing:
        return requirement_result(requirement, Status.NA, not_offered(missing))
    return requirement_result(requirement, Status.NOT_RUN, UNDECIDED)


def _source(spec: str, header: Header, options: Level4, jobs: int, *, bundled: bool) -> AbstractContextManager[Source]:
    """Where runs are done: the bundled trainers' in workers of this process, those of others in isolation."""
    if bundled:
        until = None if options.budget is None else time.monotonic() + options.budget
        return nullcontext(Fresh(None, jobs, until=until, progress=options.progress))
    return closing(
        IsolatedRuns(
            importable(spec),
            offers=header.capabilities,
            jobs=jobs,
            memory=options.memory,
            time_limit=options.run_limit,
            budget=options.budget,
            progress=options.progress,
        )
    )


def result_of_claim(
    requirement: Requirement, verdict: ClaimVerdict, options: Level4, *, bundled: bool
) -> RequirementResult:
    """The verdict on a claim as the result of a requirement.

    A value that is missing although every control holds is the implementation's own: its run ended early, which is a
    failure and not a fault of the suite.

    Args:
        requirement: of the claim.
        verdict: on it.
        options: under which it was reached.
        bundled: whether the bundled SDPO was judged.
    """
    broken = [f"{control.name}: {control.says}" for control in verdict.controls if control.holds is False]
    if_missing = Status.INVALID if bundled or broken else Status.FAIL
    status = if_missing if verdict.outcome is ClaimOutcome.INVALID else _STATUS[verdict.outcome]
    if not broken and _no_gradient_is_seen(verdict):
        return requirement_result(requirement, Status.NA, _UNSEEN)
    name = f"claims::{verdict.claim.id}"
    checks = tuple(
        _check(verdict.claim, answer, one, if_missing) for answer in verdict.answers for one in _not_passed(answer)
    ) or (Finished(name, status),)
    if broken:
        more = f"; and {len(broken) - 3} more" * (len(broken) > 3)
        failure = Failure(message="; ".join(broken[:3]) + more)
        checks = (Finished(f"{name} controls", Status.INVALID, failure=failure),)
    reason = ""
    if status is Status.NOT_RUN:
        used_up = f"not reached: the budget of {options.budget:g} s was used up; give more, or fewer claims by --only"
        reason = used_up if options.budget is not None else "not decided"
    elif status is Status.INCONCLUSIVE:
        further = verdict.further_seeds
        reason = f"{further} further seeds would likely settle it" if further else "undecided after its last look"
    return requirement_result(requirement, status, reason, checks)


def _no_gradient_is_seen(verdict: ClaimVerdict) -> bool:
    """Whether all that was asked is about a first gradient, and none can be read."""
    values = [value for answer in verdict.answers for one in answer.compared for value in one.values]
    asked = all(answer.question.variant == FIRST_GRADIENT for answer in verdict.answers)
    return asked and bool(values) and all(map(math.isnan, values))


def _not_passed(answer: Answer) -> list[Compared]:
    return [
        one for one in answer.compared if one.decision is not None and one.decision.outcome is not ClaimOutcome.PASS
    ]


def _check(claim: Statement, answer: Answer, one: Compared, if_missing: Status) -> Finished:
    decision = one.decision
    outcome = None if decision is None else decision.outcome
    failure = None
    if decision is not None and outcome in (ClaimOutcome.FAIL, ClaimOutcome.INVALID):
        mean = sum(one.values) / len(one.values)
        got = f"{decision.reason}; mean {mean:+.4f}"
        if isinstance(answer.question.part.lane, Reproduction) and outcome is ClaimOutcome.FAIL:
            got = f"{_beside_the_reference(answer.question.part, mean)} ({decision.reason})"
        failure = Failure(expected=answer.question.part.says, got=f"{one.comparison.name}: {got}")
    name = f"claims::{claim.id}[{answer.question.part.name}: {one.comparison.name}]"
    status = if_missing if outcome is ClaimOutcome.INVALID else _STATUS[outcome]
    return Finished(name, status, "" if decision is None else decision.reason, failure=failure)


def _beside_the_reference(part: Part, mean: float) -> str:
    """That a value is another than the reference's; a higher one is no defect, and still another method's."""
    what = part.metric.replace("_", " ")
    if mean < 0:
        return f"{what} is lower than the reference's by {-mean:.4f}"
    better = "; that is no defect, but another method's" if part.metric.endswith("reward") else ""
    return f"{what} is higher than the reference's by {mean:.4f}{better}"


def claims_of(verdicts: Sequence[ClaimVerdict], profile: ProfileName, *, says: Sequence[str] = ()) -> Claims:
    """The verdicts as the report has them, with both error rates of all of them together.

    Args:
        verdicts: on the claims that were run.
        profile: under which.
        says: what controls say about published statements that passed, a line for each.
    """
    legend: tuple[str, ...] = ()
    if verdicts:
        fails = sum(one.false_fail for one in verdicts)
        passes = max(one.false_pass for one in verdicts)
        together = (
            f"all {len(verdicts)} claims: a FAIL of an implementation that reproduces them {percent(fails)} or less, a "
            f"PASS of one that breaks one comparison {percent(passes)} or less, and less if it breaks several."
        )
        failed = any(one.outcome is ClaimOutcome.FAIL for one in verdicts)
        legend = (together, *says, _RATES, _NOT_CHECKED, *((_FIRST_CALLS,) if failed else ()))
    return Claims(profile=profile, legend=legend, verdicts=tuple(map(_claim, verdicts)))


def _claim(verdict: ClaimVerdict) -> ClaimResult:
    return ClaimResult(
        id=verdict.claim.id,
        title=verdict.claim.title,
        record=record_sha256(verdict.claim),
        outcome=verdict.outcome,
        false_pass=verdict.false_pass,
        false_fail=verdict.false_fail,
        further_seeds=verdict.further_seeds,
        controls=tuple(ControlResult(**asdict(control)) for control in verdict.controls),
        parts=tuple(
            PartResult(
                name=answer.question.part.name,
                outcome=answer.outcome,
                comparisons=tuple(_comparison(answer, one) for one in answer.compared),
            )
            for answer in verdict.answers
        ),
    )


def _comparison(answer: Answer, one: Compared) -> ComparisonResult:
    decision = None if one.decision is None else Decision(**asdict(one.decision))
    seeds = [verdict_seed(answer.question.claim.seeds, index) for index in range(len(one.values))]
    values = (SeedValue(seed=seed, value=value) for seed, value in zip(seeds, one.values, strict=True))
    return ComparisonResult(name=one.comparison.name, decision=decision, values=tuple(values))
