"""Level 4: puts an implementation's trainer in SDPO's place and decides the claims that the reference has passed."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass

from sdpo_ref._loading import parse
from sdpo_ref.claims.findings import asked_parts, read_findings
from sdpo_ref.claims.fresh import Fresh
from sdpo_ref.claims.procedure import Answer, Compared
from sdpo_ref.claims.profile import ProfileName, asked_under
from sdpo_ref.claims.rates import read_rates
from sdpo_ref.claims.reader import read_claims
from sdpo_ref.claims.schema import Claim
from sdpo_ref.claims.source import Source
from sdpo_ref.claims.statistics.ruling import Ruling
from sdpo_ref.claims.stored import FOLDER, Stored
from sdpo_ref.claims.verdict import ClaimVerdict, judge
from sdpo_ref.errors import TaskError
from sdpo_ref.study.workers import available_jobs
from sdpo_ref.verification.decided import Decided
from sdpo_ref.verification.isolation.events import Failure, Finished, Header
from sdpo_ref.verification.isolation.isolated_runs import IsolatedRuns
from sdpo_ref.verification.isolation.limits import Limits
from sdpo_ref.verification.isolation.loader import SHORT_NAMES
from sdpo_ref.verification.isolation.run import Request
from sdpo_ref.verification.isolation.text import printable
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.capabilities import not_declared, not_offered
from sdpo_ref.verification.suite.catalogue import Catalogue, Requirement

BUNDLED_MODULE = "sdpo_ref.bundled"
"""Whose trainers run on the batched simulator, which is held equal to them."""

RUN_LIMIT = 120.0
"""Seconds that one run of an implementation may take by default; the bundled trainer takes one."""

_STATUS: Mapping[Ruling | None, Status] = {
    Ruling.PASS: Status.PASS,
    Ruling.FAIL: Status.FAIL,
    Ruling.INCONCLUSIVE: Status.INCONCLUSIVE,
    Ruling.INVALID: Status.INVALID,
    None: Status.NOT_RUN,
}


@dataclass(frozen=True)
class Level4:
    """How claims are decided.

    Attributes:
        profile: how many seeds, at which rates.
        budget: seconds after which no further runs are begun; ``None`` for no limit.
        run_limit: seconds that one run of an implementation may take.
        memory: of each process of an implementation, in GiB.
        progress: is told how many of how many runs of a look are done.
    """

    profile: ProfileName = "standard"
    budget: float | None = None
    run_limit: float = RUN_LIMIT
    memory: float = Limits().memory
    progress: Callable[[int, int], None] = lambda _done, _all: None


def decide_claims(
    request: Request, header: Header, catalogue: Catalogue, options: Level4, *, jobs: int | None
) -> tuple[tuple[Decided, ...], tuple[ClaimVerdict, ...]]:
    """Decide every claim that was asked for.

    Args:
        request: the implementation, the suite, and what was selected.
        header: what the implementation declares.
        catalogue: the specification.
        options: how.
        jobs: worker processes; one for each core if left out.

    Returns:
        Each claim as a requirement, and the verdicts behind those that were run.
    """
    records = read_claims(request.spec)
    asked = [name for name in request.selection.requirements(catalogue, ()) if name in records]
    if not asked:
        return (), ()
    bundled = parse(header.spec, SHORT_NAMES).module == BUNDLED_MODULE
    missing = {name: not_declared(catalogue[name].needs, header.capabilities) for name in asked}
    claims = [claim for name, claim in records.items() if name in missing and not missing[name]]
    findings, rates = read_findings(request.conformance), read_rates(request.conformance)
    wanted = asked_parts(claims, findings, rates, implementation=not bundled)
    left_out = {name for name, claim in records.items() if not asked_under(claim, options.profile)}
    wanted = {name: [] if name in left_out else parts for name, parts in wanted.items()}
    verdicts: list[ClaimVerdict] = []
    broken = ""
    try:
        with _source(header, options, jobs or available_jobs(), bundled=bundled) as source:
            verdicts = judge(
                wanted,
                list(records.values()),
                fresh=source,
                stored=Stored(request.conformance / FOLDER),
                profile=options.profile,
                implementation=not bundled,
            )
    except TaskError as error:
        broken = printable(str(error))
    found = {one.claim.id: one for one in verdicts}
    decided = []
    for name in asked:
        if missing[name]:
            decided.append(_without(catalogue[name], Status.NA, not_offered(missing[name])))
        elif name in left_out:
            decided.append(_without(catalogue[name], Status.SKIPPED, "five seeds are for the claims about F01's runs"))
        elif not wanted[name]:
            nothing = "no part of it that the reference passes reliably is about a trainer"
            decided.append(_without(catalogue[name], Status.NA, nothing))
        elif broken:
            failure = Finished(f"claims::{name}", Status.ERROR, failure=Failure(message=broken))
            decided.append(Decided(catalogue[name], Status.ERROR, broken, Status.ERROR, (failure,)))
        else:
            decided.append(decided_claim(catalogue[name], found[name], options, bundled=bundled))
    return tuple(decided), tuple(verdicts)


def _source(header: Header, options: Level4, jobs: int, *, bundled: bool) -> AbstractContextManager[Source]:
    """Where runs are done: ours here, those of an implementation behind a door."""
    if bundled:
        until = None if options.budget is None else time.monotonic() + options.budget
        return nullcontext(Fresh(None, jobs, until=until, progress=options.progress))
    return closing(
        IsolatedRuns(
            header.spec,
            offers=header.capabilities,
            jobs=jobs,
            memory=options.memory,
            time_limit=options.run_limit,
            budget=options.budget,
            progress=options.progress,
        )
    )


def _without(requirement: Requirement, status: Status, because: str) -> Decided:
    return Decided(requirement, status, because, status, ())


def decided_claim(requirement: Requirement, verdict: ClaimVerdict, options: Level4, *, bundled: bool) -> Decided:
    """A claim's verdict as that of a requirement.

    A value that is missing though every control holds is the implementation's own: its run ended early, which is a
    failure and not a fault of the suite.

    Args:
        requirement: of the claim.
        verdict: on it.
        options: under which it was reached.
        bundled: whether the bundled SDPO was judged.
    """
    broken = [f"{control.name}: {control.says}" for control in verdict.controls if control.holds is False]
    theirs = Status.INVALID if bundled or broken else Status.FAIL
    status = theirs if verdict.ruling is Ruling.INVALID else _STATUS[verdict.ruling]
    checks = tuple(
        _check(verdict.claim, answer, worst, theirs) for answer in verdict.answers for worst in _telling(answer)
    ) or (Finished(f"claims::{verdict.claim.id}", status),)
    if broken:
        checks = (
            Finished(
                f"claims::{verdict.claim.id} controls",
                Status.INVALID,
                failure=Failure(message="; ".join(broken[:3]) + (f"; and {len(broken) - 3} more" * (len(broken) > 3))),
            ),
        )
    because = ""
    if status is Status.NOT_RUN:
        because = f"the budget of {options.budget:g} s was used up" if options.budget is not None else "not decided"
    elif status is Status.INCONCLUSIVE:
        further = verdict.further_seeds
        because = f"{further} further seeds would likely settle it" if further else "undecided after its last look"
    return Decided(requirement, status, because, status, checks)


def _telling(answer: Answer) -> list[Compared]:
    """The comparisons that did not pass."""
    return [one for one in answer.compared if one.decision is not None and one.decision.ruling is not Ruling.PASS]


def _check(claim: Claim, answer: Answer, one: Compared, if_missing: Status) -> Finished:
    decision = one.decision
    ruling = None if decision is None else decision.ruling
    failure = None
    if decision is not None and ruling in (Ruling.FAIL, Ruling.INVALID):
        mean = sum(one.values) / len(one.values)
        failure = Failure(
            expected=answer.question.part.says,
            got=f"{one.comparison.name}: {decision.reason}; mean {mean:+.4f}",
        )
    name = f"claims::{claim.id}[{answer.question.part.name}: {one.comparison.name}]"
    status = if_missing if ruling is Ruling.INVALID else _STATUS[ruling]
    return Finished(name, status, "" if decision is None else decision.reason, failure=failure)
