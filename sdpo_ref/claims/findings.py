"""What was decided about each claim for the bundled reference, as kept in ``conformance/findings.json``."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from sdpo_ref import SPEC_VERSION
from sdpo_ref.claims.code import Code
from sdpo_ref.claims.comparison import count_comparisons
from sdpo_ref.claims.first_gradient import CREDIT
from sdpo_ref.claims.further_parts import with_further_levels
from sdpo_ref.claims.kept import read_kept, write_kept
from sdpo_ref.claims.procedure import Answer, Compared
from sdpo_ref.claims.profile import ProfileName
from sdpo_ref.claims.rates import Rates
from sdpo_ref.claims.records import record_sha256
from sdpo_ref.claims.rule import sign_rule_of
from sdpo_ref.claims.schema import Claim, Direction, Grid, Part
from sdpo_ref.claims.statistics.display import interquartile_mean, stratified_bootstrap
from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.claims.statistics.refutation import Kind, Refutation, refutation
from sdpo_ref.claims.stored import Stored
from sdpo_ref.claims.verdict import ClaimVerdict
from sdpo_ref.study.fingerprint import code_fingerprint
from sdpo_ref.study.summary import estimate

FILE_NAME = "findings.json"
"""In ``conformance/``."""

_DIGITS = 6
"""Decimals that are kept; every resolution is coarser."""

_NOT_RUN = "NOT-RUN"


_StoredOutcome = Annotated[
    ClaimOutcome | None, Field(validation_alias=AliasChoices("outcome", "ruling"), serialization_alias="ruling")
]
"""The file has always called it a ruling, and files stay readable."""


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ComparisonFinding(_Kept):
    """What was found in one comparison.

    Attributes:
        name: its point on the part's axes.
        outcome: PASS, FAIL, INCONCLUSIVE or INVALID; ``None`` if the part had ended before it was decided.
        seeds: how many were used.
        wins: seeds on which the quantity was positive; ``None`` where that does not decide.
        mean: of the quantity.
        low: lower end of its 95 % interval over seeds, to be shown and not decided with.
        high: upper end.
        further_seeds: that would likely settle it.
    """

    name: str
    outcome: _StoredOutcome
    seeds: int
    wins: int | None
    mean: float | None
    low: float | None
    high: float | None
    further_seeds: int | None


class PartFinding(_Kept):
    """What was found about one part.

    Attributes:
        name: of the part.
        outcome: of all its comparisons; ``None`` without time.
        false_pass: chance of a PASS although one comparison is at its boundary.
        false_fail: most that the chance of a FAIL can be although all hold.
        middle: interquartile mean of the quantities of all comparisons and seeds, to be shown.
        middle_low: lower end of its 95 % bootstrap interval, stratified by comparison.
        middle_high: upper end.
        comparisons: each.
        refutations: name of a refuted direction to what the stored runs of the same seeds show that it is instead.
    """

    name: str
    outcome: _StoredOutcome
    false_pass: float
    false_fail: float
    middle: float | None
    middle_low: float | None
    middle_high: float | None
    comparisons: tuple[ComparisonFinding, ...]
    refutations: Mapping[str, Refutation] = {}

    @property
    def kinds(self) -> Mapping[str, Kind | None]:
        """Name of each refuted comparison to its kind."""
        refuted = [one.name for one in self.comparisons if one.outcome is ClaimOutcome.FAIL]
        return {name: self.refutations[name].kind if name in self.refutations else None for name in refuted}


class ClaimFinding(_Kept):
    """What was found about one claim.

    Attributes:
        outcome: of all its parts and controls.
        record: fingerprint of the record that was decided.
        controls: how many held, and what came out of the others.
        parts: each.
    """

    outcome: _StoredOutcome
    record: str
    controls: int
    controls_broken: tuple[str, ...]
    parts: tuple[PartFinding, ...]

    @property
    def verdict(self) -> str:
        """In one word."""
        return _NOT_RUN if self.outcome is None else self.outcome.value


class Findings(_Kept):
    """All of them.

    Attributes:
        command: that decides them again.
        profile: how thoroughly.
        spec_version: of the specification whose seeds they have.
        code: claim to the code that gave its finding.
        claims: by id.
    """

    command: str
    profile: ProfileName
    spec_version: str
    code: Mapping[str, Code]
    claims: Mapping[str, ClaimFinding]

    def passed(self, claim: str) -> frozenset[str]:
        """Names of the parts of a claim that the bundled reference has passed.

        Args:
            claim: its id.
        """
        found = self.claims.get(claim)
        return (
            frozenset() if found is None else frozenset(p.name for p in found.parts if p.outcome is ClaimOutcome.PASS)
        )


def findings_of(verdicts: Sequence[ClaimVerdict], stored: Stored | None, *, profile: ProfileName) -> Findings:
    """What is kept of verdicts on all parts of claims.

    Args:
        verdicts: on the bundled reference.
        stored: its stored runs, which say what a refuted direction is instead; ``None`` for the values that decided.
        profile: under which they were reached.
    """
    return Findings(
        command=f"sdpo-ref claims decide --profile {profile}",
        profile=profile,
        spec_version=SPEC_VERSION,
        code={one.claim.id: Code(decided=code_fingerprint()) for one in verdicts},
        claims={
            one.claim.id: ClaimFinding(
                outcome=one.outcome,
                record=record_sha256(one.claim),
                controls=sum(control.holds is True for control in one.controls),
                controls_broken=tuple(f"{c.name}: {c.says}" for c in one.controls if c.holds is not True),
                parts=tuple(_part(answer, stored) for answer in one.answers),
            )
            for one in verdicts
        },
    )


def checked_parts(
    claims: Sequence[Claim], findings: Findings | None, rates: Rates, *, implementation: bool
) -> dict[str, list[Part]]:
    """The parts of each claim that conformance is about: those that the bundled reference passes, and reliably.

    A part about credit is asked of another trainer's first gradient (STAT-037), and its level in further metrics
    (STAT-036).
    Implements: STAT-019.

    Args:
        claims: that are checked.
        findings: for the bundled reference; ``None`` if nothing was decided yet.
        rates: how reliably.
        implementation: whether another trainer is checked, which has no part in the bundled gradient.
    """
    checked = {
        claim.id: [
            part
            for part in passed_parts(claim, findings)
            if rates.promoted(claim.id, part.name)
            and (part.asks_trainer or part.metric == CREDIT or not implementation)
        ]
        for claim in claims
    }
    return {name: with_further_levels(parts) for name, parts in checked.items()} if implementation else checked


def passed_parts(claim: Claim, findings: Findings | None) -> list[Part]:
    """The parts of a claim that the bundled reference has passed.

    Args:
        claim: the record.
        findings: for the bundled reference; ``None`` if nothing was decided yet.
    """
    passed = findings.passed(claim.id) if findings else frozenset()
    return [part for part in claim.parts if part.name in passed]


def read_findings(conformance: Path) -> Findings | None:
    """The findings that a suite was released with.

    Args:
        conformance: folder of the checks.

    Returns:
        The findings; ``None`` if there is no file.

    Raises:
        IntegrityError: if the file is not one of these.
    """
    return read_kept(conformance / FILE_NAME, Findings, again="sdpo-ref claims decide")


def write_findings(conformance: Path, findings: Findings) -> Path:
    """Write them so that a change of one number is a change of one line.

    Args:
        conformance: folder of the checks.
        findings: to write.
    """
    return write_kept(conformance / FILE_NAME, findings)


def merged(old: Findings | None, new: Findings) -> Findings:
    """New findings about some claims beside the old ones about the others, each with the code that gave it.

    Args:
        old: if there are any; dropped if they are of another version of the specification, or of another profile.
        new: that take their place.
    """
    if old is None or (old.spec_version, old.profile) != (new.spec_version, new.profile):
        return new
    claims, code = {**old.claims, **new.claims}, {**old.code, **new.code}
    return new.model_copy(
        update={"claims": dict(sorted(claims.items())), "code": {name: code[name] for name in sorted(claims)}}
    )


def _part(answer: Answer, stored: Stored | None) -> PartFinding:
    strata = [[value for value in one.values if math.isfinite(value)] for one in answer.compared]
    strata = [values for values in strata if values]
    middle = low = high = None
    if strata:
        middle = _middle(strata)
        low, high = stratified_bootstrap(strata, _middle, generator=np.random.default_rng(0))
    return PartFinding(
        name=answer.question.part.name,
        outcome=answer.outcome,
        false_pass=answer.rule.false_pass,
        false_fail=answer.rule.false_fail * len(answer.compared),
        middle=_rounded(middle),
        middle_low=_rounded(low),
        middle_high=_rounded(high),
        comparisons=tuple(_comparison(answer, one) for one in answer.compared),
        refutations=_refutations(answer, stored),
    )


def _refutations(answer: Answer, stored: Stored | None) -> dict[str, Refutation]:
    question, lane = answer.question, answer.question.part.lane
    if not isinstance(lane, Direction | Grid):
        return {}
    rule = sign_rule_of(lane, question.design, comparisons=count_comparisons(question.claim))
    found = {}
    for one in answer.compared:
        if one.decision is not None and one.decision.outcome is ClaimOutcome.FAIL:
            values: Sequence[float] = one.values
            if stored is not None:
                values = stored.quantities(question.part, one.comparison, question.claim.seeds)
            shown = refutation(values, rule, resolution=lane.resolution)
            if shown is not None:
                numbers = {name: round(getattr(shown, name), _DIGITS) for name in ("mean", "low", "high")}
                found[one.comparison.name] = replace(shown, **numbers)
    return found


def _comparison(answer: Answer, one: Compared) -> ComparisonFinding:
    found = estimate(one.values) if one.values and all(map(math.isfinite, one.values)) else None
    decision = one.decision
    counts = isinstance(answer.question.part.lane, Direction | Grid)
    return ComparisonFinding(
        name=one.comparison.name,
        outcome=None if decision is None else decision.outcome,
        seeds=len(one.values),
        wins=decision.wins if decision is not None and counts else None,
        mean=None if found is None else _rounded(found.mean),
        low=None if found is None else _rounded(found.low),
        high=None if found is None else _rounded(found.high),
        further_seeds=None if decision is None else decision.further_seeds,
    )


def _middle(strata: Sequence[Sequence[float]]) -> float:
    return interquartile_mean([value for values in strata for value in values])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
