"""Findings carried to changed code: stored runs are run again, and only if no number differs is that recorded.

Data flows one way: results of other code -> the runs that a hash draws from those they rest on -> the same runs with
this code -> numbers that differ, or results with the new code beside the old. What a sample shows, and what may hide
from it, is in spec/decisions/0049.
"""

import hashlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import BaseModel

from sdpo_ref.claims.code import Code
from sdpo_ref.claims.comparison import Metrics
from sdpo_ref.claims.findings import Findings, read_findings, write_findings
from sdpo_ref.claims.kept import differing
from sdpo_ref.claims.outside import Rewards, measure_rewards, read_rewards, write_rewards
from sdpo_ref.claims.power import rewards_of_bad, source_of_bad
from sdpo_ref.claims.published import (
    PublishedFindings,
    decide_published,
    read_published_findings,
    write_published_findings,
)
from sdpo_ref.claims.rates import Measurement, Rates, Repeats, read_rates, write_rates
from sdpo_ref.claims.records import chosen_claims, read_claims, record_sha256
from sdpo_ref.claims.runs import Fresh, RunName
from sdpo_ref.claims.schema import Claim, Seeds
from sdpo_ref.claims.stored import FOLDER, Stored, wanted_columns
from sdpo_ref.errors import IntegrityError, UsageError
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.study.experiment import StudySettings
from sdpo_ref.study.fingerprint import code_fingerprint

SEEDS = 4
"""Of every stored cell; nobody chooses how many, or which."""

ROUNDING = 1e-12
"""A number below it is zero but for rounding, as the error of an identity is; two of them are the same."""

Runs = Mapping[RunName, None]
"""Names of runs, each once, in order."""


@dataclass(frozen=True)
class Difference:
    """A number that the changed code does not give again.

    Attributes:
        where: the run, or the place in a file.
        stored: the number that is kept.
        found: that was found now.
    """

    where: str
    stored: object
    found: object

    def __str__(self) -> str:
        return f"{self.where}: stored {self.stored}, found {self.found}"


@dataclass
class Carried:
    """What became of results of other code.

    Attributes:
        findings: with the new code; ``None`` if there is nothing to write.
        rates: likewise.
        published: likewise.
        rewards: of the picture, likewise.
        says: a line for each result.
        differences: numbers that are not the same; nothing is written if there are any.
    """

    findings: Findings | None = None
    rates: Rates | None = None
    published: PublishedFindings | None = None
    rewards: Rewards | None = None
    says: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    def write(self, conformance: Path) -> list[Path]:
        """Write what was carried.

        Args:
            conformance: folder of the checks.

        Returns:
            The files; none if a number differs.
        """
        if self.differences:
            return []
        written = []
        if self.findings is not None:
            written.append(write_findings(conformance, self.findings))
        if self.rates is not None:
            written.append(write_rates(conformance, self.rates))
        if self.published is not None:
            written.append(write_published_findings(conformance, self.published))
        if self.rewards is not None:
            written.append(write_rewards(conformance, self.rewards))
        return written


def carry(conformance: Path, spec: Path, names: Sequence[str], *, fresh: Fresh, plain: Fresh) -> Carried:
    """Show by recomputation that a change of the code altered no number of what other code gave.

    Ends with the first group of runs in which a number differs. Writes nothing.
    Implements: STAT-038.

    Args:
        conformance: folder of what was found.
        spec: folder of the records.
        names: of claims; none for all of them, the rates, the published study and the picture.
        fresh: executes runs as they were executed for the stored ones.
        plain: executes them in the simulator of plain objects, which runs other people's trainers.

    Raises:
        UsageError: if a claim is unknown, undecided, or not the one that was decided.
        IntegrityError: if a run that a finding rests on is not stored.
        TaskError: if a run raises.
    """
    carried, stored, claims = Carried(), Stored(conformance / FOLDER), read_claims(spec)
    chosen = chosen_claims(claims, tuple(names))
    _carry_findings(carried, read_findings(conformance), chosen, stored, fresh=fresh, plain=plain)
    if not names:
        _carry_wrong(carried, read_rates(conformance), claims, stored, jobs=fresh.jobs)
        rates, findings = carried.rates or read_rates(conformance), carried.findings or read_findings(conformance)
        _carry_repeats(carried, rates, findings, claims, stored)
        _carry_published(carried, read_published_findings(conformance), spec, fresh)
        _carry_rewards(carried, read_rewards(conformance), stored, fresh)
    return carried


def drawn(before: str, after: str, of: str, count: int, wanted: int = SEEDS) -> tuple[int, ...]:
    """Which of stored repeats are run again: those with the least hashes of both codes, so that nobody chooses them.

    Args:
        before: fingerprint of the code that gave the numbers.
        after: of the changed code.
        of: whose repeats.
        count: how many are stored.
        wanted: how many are run again.

    Returns:
        Indices from 0, in order.

    Example:
        >>> drawn("a", "b", "F01", 256) == drawn("a", "c", "F01", 256)
        False
    """
    return tuple(sorted(sorted(range(count), key=lambda index: _mark(before, after, of, str(index)))[:wanted]))


def _mark(*parts: str) -> bytes:
    return hashlib.sha256("|".join(parts).encode()).digest()


def _carry_findings(
    carried: Carried,
    findings: Findings | None,
    chosen: Sequence[Claim],
    stored: Stored,
    *,
    fresh: Fresh,
    plain: Fresh,
) -> None:
    now = code_fingerprint()
    if findings is None:
        raise UsageError("nothing was decided yet; run `sdpo-ref claims decide` first")
    undecided = [claim.id for claim in chosen if _record(findings, claim.id) != record_sha256(claim)]
    if undecided:
        raise UsageError(
            f"{undecided[0]} was never decided, or its record has changed since; run `sdpo-ref claims decide "
            f"{undecided[0]}`, and carry the others by name"
        )
    stale = [claim for claim in chosen if findings.code[claim.id].now != now]
    runs = {claim.id: _sample(claim, stored, findings.code[claim.id].now, now) for claim in stale}
    together = dict.fromkeys(one for asked in runs.values() for one in asked)
    groups = [(plain, _plain_sample(together, fresh, now))]
    groups += [(fresh, {one: None for one in together if one.seeds == seeds}) for seeds in _seeds(together)]
    for source, asked in groups:
        if asked and not carried.differences:
            carried.differences += _differences(asked, stored, source)
    if carried.differences or not stale:
        return
    code = dict(findings.code)
    for claim in stale:
        compared, of = len(runs[claim.id]), _rests_on(claim, stored)
        code[claim.id] = code[claim.id].carry(now, compared=compared, of=of)
        carried.says.append(f"{claim.id}: {compared} of {of} stored runs again, no number differs")
    carried.findings = findings.model_copy(update={"code": code})


def _record(findings: Findings, claim: str) -> str | None:
    return findings.claims[claim].record if claim in findings.claims else None


def _sample(claim: Claim, stored: Stored, before: str, now: str) -> Runs:
    """The runs of a claim that are compared: every cell, and its mutant, at the same drawn repeats."""
    columns, _ = wanted_columns([claim], claim.seeds)
    indices = drawn(before, now, claim.seeds.claim, stored.count(claim.seeds))
    runs = [RunName(claim.seeds, index, cell, variant) for cell, variant in columns for index in indices]
    there = stored.values(runs)
    missing = [one for one in runs if one not in there]
    if missing or not runs:
        what = missing[0].cell if missing else "a cell"
        raise IntegrityError(
            f"{claim.id} rests on {what}, which is not stored; run `sdpo-ref claims reference {claim.id}`"
        )
    return dict.fromkeys(runs)


def _rests_on(claim: Claim, stored: Stored) -> int:
    return len(wanted_columns([claim], claim.seeds)[0]) * stored.count(claim.seeds)


def _seeds(runs: Collection[RunName]) -> Mapping[Seeds, None]:
    return dict.fromkeys(one.seeds for one in runs)


def _plain_sample(runs: Collection[RunName], fresh: Fresh, now: str) -> Runs:
    """Of the drawn runs one for each method with each kind of feedback, and one probe: again the least hash."""
    least: dict[tuple[str, ...], RunName] = {}
    for one in sorted(runs, key=lambda one: _mark(now, one.seeds.claim, str(one.cell), one.variant, str(one.index))):
        least.setdefault(_kind(fresh.settings(one)), one)
    return dict.fromkeys(least.values())


def _kind(settings: StudySettings) -> tuple[str, ...]:
    if not isinstance(settings, RunSettings):
        return (settings.kind,)
    return (settings.method.method, *sorted({regime.regime for regime in settings.oracle.regimes}))


def _differences(runs: Runs, stored: Stored, source: Fresh) -> Iterator[Difference]:
    there, found = stored.values(runs), source.values(runs)
    for one in runs:
        for metric in stored.metrics(one.seeds):
            pair = _in_float32(there[one], metric), _in_float32(found[one], metric)
            if not _same(*pair):
                where = f"{one.seeds.claim} at repeat {one.index}, {one.cell}, {one.variant} SDPO, {metric}"
                yield Difference(where, *pair)


def _in_float32(metrics: Metrics, metric: str) -> float:
    return _rounded(metrics.get(metric, math.nan))


def _rounded(number: float) -> float:
    """To float32: the last bits of float64 depend on how many runs are computed together."""
    return torch.tensor(number, dtype=torch.float32).item()


def _same(stored: float, found: float) -> bool:
    if math.isnan(stored) or math.isnan(found):
        return math.isnan(stored) and math.isnan(found)
    return stored == found or max(abs(stored), abs(found)) < ROUNDING


def _carry_wrong(carried: Carried, rates: Rates, claims: Mapping[str, Claim], stored: Stored, *, jobs: int) -> None:
    """One drawn repeat of each defect: the rewards of the cells that it alters."""
    now, code = code_fingerprint(), rates.code.get("wrong")
    if carried.differences or code is None or code.now == now:
        return
    unkept = [name for name in rates.wrong if not rates.wrong_rewards.get(name)]
    if unkept:
        carried.says.append(f"power: no rewards of {', '.join(unkept)} are kept; run `sdpo-ref claims power --keep`")
        return
    compared = of = 0
    for name in rates.wrong:
        kept = rates.wrong_rewards[name]
        count = min(len(rewards) for rewards in kept.values())
        indices = drawn(code.now, now, name, count, 1)
        found = rewards_of_bad(name, claims["F01"], source_of_bad(name, stored, jobs=jobs), indices)
        for cell in kept.keys() | found.keys():
            was = tuple(map(_rounded, (kept[cell][index] for index in indices))) if cell in kept else ()
            now_found = tuple(map(_rounded, found.get(cell, ())))
            if was != now_found:
                where = f"power, {name} at repeat {indices[0]}, {cell}, final_reward"
                carried.differences.append(Difference(where, was, now_found))
        compared += len(found)
        of += len(found) * sum(rates.wrong[name].values())
    if not carried.differences:
        carried.says.append(f"power: {compared} of {of} runs again, no number differs")
        carried.rates = _with_code(rates, "wrong", code.carry(now, compared=compared, of=of))


def _carry_repeats(
    carried: Carried, rates: Rates, findings: Findings | None, claims: Mapping[str, Claim], stored: Stored
) -> None:
    """Repeats rest on stored runs and on nothing else, so they are carried with the claims whose runs these are."""
    if carried.differences:
        return
    now = code_fingerprint()
    measured: tuple[tuple[Measurement, Repeats | None], ...] = (
        ("promotion", rates.promotion),
        ("reference", rates.reference),
    )
    for name, repeats in measured:
        code = rates.code.get(name)
        if repeats is None or code is None or code.now == now or findings is None:
            continue
        again = "promote" if name == "promotion" else "repeat"
        anew = [
            claim for claim in repeats.stored if claim not in findings.code or not _carried_from(findings, claim, code)
        ]
        if anew:
            carried.says.append(
                f"{again}: {', '.join(anew)} not carried from the same code; run `sdpo-ref claims {again} --keep`"
            )
            continue
        runs = [_sample(claims[claim], stored, code.now, now) for claim in repeats.stored]
        compared = len({one for asked in runs for one in asked})
        columns = {
            (claims[c].seeds, *one) for c in repeats.stored for one in wanted_columns([claims[c]], claims[c].seeds)[0]
        }
        of = sum(stored.count(seeds) for seeds, _, _ in columns)
        carried.says.append(f"{again}: rests on the same runs, {compared} of {of}")
        rates = _with_code(rates, name, code.carry(now, compared=compared, of=of))
        carried.rates = rates


def _carried_from(findings: Findings, claim: str, code: Code) -> bool:
    last = findings.code[claim].carried[-1:]
    return any((step.before, step.after) == (code.now, code_fingerprint()) for step in last)


def _with_code(rates: Rates, name: Measurement, code: Code) -> Rates:
    return rates.model_copy(update={"code": {**rates.code, name: code}})


def _carry_published(carried: Carried, before: PublishedFindings | None, spec: Path, fresh: Fresh) -> None:
    """Everything of the published study is decided again; that takes two minutes."""
    if carried.differences or before is None or before.code == code_fingerprint("published"):
        return
    found = decide_published((), spec, fresh)
    carried.differences += _kept_differently("published.json", before, found)
    if not carried.differences:
        carried.published = found
        carried.says.append("published study: all of it decided again, no number differs")


def _carry_rewards(carried: Carried, before: Rewards | None, stored: Stored, fresh: Fresh) -> None:
    """The picture's rewards are measured again, those of our world from the stored runs."""
    now = {"published": code_fingerprint("published"), "ours": code_fingerprint()}
    if carried.differences or before is None or before.code == now:
        return
    found = measure_rewards(fresh, stored)
    carried.differences += _kept_differently("lead.json", before, found)
    if not carried.differences:
        carried.rewards = found
        carried.says.append("picture: all of it measured again, no number differs")


def _kept_differently(name: str, before: BaseModel, after: BaseModel) -> list[Difference]:
    pairs = differing(before.model_dump(mode="json", exclude={"code"}), after.model_dump(mode="json", exclude={"code"}))
    return [Difference(f"{name}, {path}", was, found) for path, was, found in pairs]
