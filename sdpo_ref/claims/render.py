"""FINDINGS.md and the README's table from what was decided, and one record as text. Same findings, same text."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sdpo_ref.claims.comparison import comparisons, count_comparisons
from sdpo_ref.claims.findings import ClaimFinding, ComparisonFinding, Findings, PartFinding
from sdpo_ref.claims.headline import (
    CONTROLS,
    ENDS,
    REFUTED,
    Row,
    comparison_word,
    finding_rows,
    part_word,
    rows_of,
)
from sdpo_ref.claims.power import DEFECTS
from sdpo_ref.claims.profile import Design
from sdpo_ref.claims.rates import PROMOTED_SHARE, Rates
from sdpo_ref.claims.runs import verdict_seed
from sdpo_ref.claims.schema import (
    Claim,
    Collapse,
    Direction,
    Equivalence,
    Grid,
    Lane,
    Magnitude,
    Part,
    Reproduction,
    Statement,
)
from sdpo_ref.claims.statistics.outcome import ClaimOutcome, grid_reading
from sdpo_ref.claims.statistics.refutation import Kind, Refutation
from sdpo_ref.claims.statistics.sign_rule import SignRule

_BESIDE = {"F01": "F13"}
"""A claim to the one that is read beside it, because it limits the first one."""

_OUTCOMES = ("PASS", "INCONCLUSIVE", "FAIL", "INVALID", "NOT-RUN")

_SHOWN = 8
"""Comparisons that a part lists at most, the nearest to failing first."""

_HEAD = """# Findings

{readers}
Each row is explained below: our claims first, then [the published study](#the-published-study) with its figures.

What became of each claim of [spec/07-claims](spec/07-claims.md) for the bundled reference. Everything on this page is
printed by `sdpo-ref claims render` from `conformance/findings.json`, which

```sh
{command}
```

writes anew in some minutes (`--stored`: in one, from the stored runs of the same seeds): {runs} at seeds that are a
hash of the claim (specification {spec_version}, code {code}). Nothing was tuned or chosen on these seeds. What is
refuted is a result: it stays.

**The world.** The reader of feedback is the exact posterior under the true model: it is given the regime, the noise,
the slope and the form of the world, and learns the loadings of tokens alone. A method's lead is therefore the lead of
a teacher that reads as well as can be read. Dense credit as such is worth about nothing here; knowledge and
information are worth all: see F13 with every lead. Baselines learn from the scalar reward, so that in scalar and in
rubric they are the same runs. The study says why diversity is lost (the self-teacher is sharp); that cannot be asked
here, because SDPO's gradient is linear in the teacher's tilt and Adam cancels its size.

**How to read it.** A finding is a statement of the published study, tested in our world. *As the study states it* is
the verdict on that statement and no more; *how far it goes* are extensions of ours, each of which HOLDS or ENDS HERE,
and what a reader has to know beside them. What is decided are the parts of a claim, marked as the study's or ours.

| word | a part, or a comparison of it |
|---|---|
| HOLDS | each comparison has passed; falsely with the chance of one comparison at PoI ½ (or at its margin) |
| REVERSED | refuted, and the opposite passes the same rule |
| SMALLER | refuted, and its mean is above zero all the same: it is there, at too few seeds |
| LEVEL | refuted, neither of these, and its mean is within ten resolutions of zero (.01 of final reward) |
| REFUTED | refuted, and none of the three is shown |
| ENDS HERE | an extension of ours is refuted; the kind says how |
| OPEN | neither; further seeds are named where those would likely settle it |

Refuted is that the quantity is positive with a probability of .8 or more, with the first comparison that fails; the
chance that this is an error, if all hold, is at most the false-FAIL rate. What it is instead is decided on all stored
runs of the same seeds (06-simulation, STAT-030 to STAT-033), each kind at an error of at most 5 %. Means have 95 %
intervals over the seeds used, IQM is the interquartile mean over all comparisons and seeds with a stratified
bootstrap interval; both are shown and decide nothing, and a rule that stops early makes means a little too good.
Final reward: 0 is the base policy, 1 the optimum.

"""


def render(
    findings: Findings, claims: Mapping[str, Claim], limits: Mapping[str, str], rates: Rates, readers: str
) -> str:
    """The page about our claims.

    Implements: STAT-020.

    Args:
        findings: for the bundled reference.
        claims: the records.
        limits: claim to the sentence that says under which conditions it is made.
        rates: that were measured.
        readers: the table that is seen first.
    """
    seeds = max(one.seeds for found in findings.claims.values() for part in found.parts for one in part.comparisons)
    head = _HEAD.format(
        readers=readers,
        command=findings.command,
        runs=f"up to {seeds} repeats",
        spec_version=findings.spec_version,
        code=_codes(findings),
    )
    table = findings_table(findings, claims)
    protocol = _protocol(claims)
    sections = (
        section for name in _order(findings.claims) for section in _section(name, findings.claims[name], claims, limits)
    )
    return "\n".join([head + table, *protocol, *_measured(rates), *sections]).rstrip() + "\n"


def _codes(findings: Findings) -> str:
    """Which code was run, and to which code that was carried since; with the claims where they differ."""
    names: dict[str, list[str]] = {}
    for name, code in findings.code.items():
        since = "".join(f", and `{step.after}` gives the same numbers" for step in code.carried[-1:])
        names.setdefault(f"`{code.decided}`{since}", []).append(name)
    return "; ".join(f"{code}{f' ({chr(32).join(of)})' if len(names) > 1 else ''}" for code, of in names.items())


def findings_table(findings: Findings, claims: Mapping[str, Claim]) -> str:
    """One row for each finding; below a line those that the study does not ask.

    Args:
        findings: for the bundled reference.
        claims: the records.
    """
    lines = ["| | finding | as the study states it | how far it goes |", "|---|---|---|---|"]
    above = True
    for row in finding_rows(findings, claims):
        if above and not row.studys:
            lines.append(f"| | **{CONTROLS}** | | |")
        above = row.studys
        note = f"{row.note[:1].upper()}{row.note[1:]}"
        how_far = ". ".join(text for text in ("; ".join(row.how_far), note) if text) or "–"
        lines.append(f"| {row.id} | {row.statement} | {_strong(row.as_stated)} | {_strong(how_far)} |")
    return "\n".join(lines) + "\n"


def _strong(text: str) -> str:
    """With what does not hold in bold."""
    return re.sub(rf"\b(?:{'|'.join((*Kind, REFUTED, ENDS, 'INVALID'))})\b", r"**\g<0>**", text)


def _order(names: Iterable[str]) -> list[str]:
    """In their own order, but for those that are read beside another."""
    there = sorted(names)
    first = [name for name in there if name not in _BESIDE.values()]
    return [each for name in first for each in (name, _BESIDE.get(name)) if each in there]


def _protocol(claims: Mapping[str, Claim]) -> Iterator[str]:
    """The error rates of the study's own protocol of five seeds."""
    claim = claims["F01"]
    rule = SignRule((5,), claim.alpha, claim.beta, comparisons=20)
    yield "## Five seeds\n"
    yield (
        "The study's own protocol, one look at five seeds, has these error rates, computed exactly. PASS is five wins "
        f"of five in every comparison, FAIL none of five in one. False PASS: {_percent(rule.false_pass)} with one "
        f"comparison at PoI ½. False FAIL: {_percent(1 - (1 - rule.false_fail) ** 20)} or less with twenty comparisons "
        f"at PoI .8. But it seldom decides: of twenty comparisons at PoI .98 all pass in "
        f"{_percent(rule.outcomes(0.98).passed ** 20)} of the cases. It is the profile `smoke`, and no verdict.\n"
    )


def _measured(rates: Rates) -> Iterator[str]:
    """How often verdicts were right."""
    if rates.promotion is None and rates.reference is None and not rates.wrong:
        return
    yield "## How often it errs, measured\n"
    if rates.promotion is not None:
        shaky = [
            f"{claim} {part} ({_outcomes(counts)})"
            for claim, parts in rates.promotion.parts.items()
            for part, counts in parts.items()
            if not rates.promoted(claim, part)
        ]
        yield (
            "Implementations are checked for what the reference has passed and passes reliably: of "
            f"{rates.promotion.repeats} repeats on stored runs in random orders none fails and {PROMOTED_SHARE:.0%} "
            "pass. Passed once and not "
            f"checked: {'; '.join(shaky) or 'nothing'}. `sdpo-ref claims promote --keep`\n"
        )
    if rates.reference is not None:
        measured = rates.reference
        bad = sum(counts.get(outcome, 0) for counts in measured.outcomes.values() for outcome in ("FAIL", "INVALID"))
        least, most = min(measured.stored.values()), max(measured.stored.values())
        yield (
            f"What is checked, {measured.repeats} repeats of the whole procedure for the bundled reference, in other "
            "orders, under the profile "
            f"`{measured.profile}`, each on stored runs drawn without replacement, from {least} seeds for some claims "
            f"and {most} for others: {bad} FAIL or INVALID. With none in 299, false FAIL is at most 1 % with 95 % "
            "confidence. `sdpo-ref claims repeat --keep`\n"
        )
        names = [name for name in _OUTCOMES if any(name in counts for counts in measured.outcomes.values())]
        yield f"| | {' | '.join(names)} |\n|---|{'---|' * len(names)}"
        for claim, counts in measured.outcomes.items():
            yield f"| {claim} | {' | '.join(str(counts.get(name, 0)) for name in names)} |"
        yield ""
    if rates.wrong:
        yield (
            "What is wrong, before F01 in the scalar regime at its first look of eight seeds, each repeat at fresh "
            "seeds. `sdpo-ref claims power --keep`\n"
        )
        yield "| | what is wrong | not passed | outcomes |\n|---|---|---|---|"
        for name, counts in rates.wrong.items():
            total = sum(counts.values())
            yield f"| {name} | {DEFECTS[name]} | {total - counts.get('PASS', 0)} of {total} | {_outcomes(counts)} |"
        yield ""


def _outcomes(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{outcome} {count}" for outcome, count in sorted(counts.items()))


def _section(name: str, found: ClaimFinding, claims: Mapping[str, Claim], limits: Mapping[str, str]) -> Iterator[str]:
    claim = claims[name]
    rows = rows_of(claim, found)
    yield f"## {name} {claim.title}: {', '.join(_headline(row, several=len(rows) > 1) for row in rows)}\n"
    yield f"> {claim.statement}\n"
    yield f"All parts together, as registered: {_strong(comparison_word(found.outcome, None))}.\n"
    if limits.get(name):
        yield f"{limits[name]}\n"
    broken = f"; broken: {'; '.join(found.controls_broken)}" if found.controls_broken else ""
    yield f"`sdpo-ref claims decide {name}` · {found.controls} controls held{broken}\n"
    for part in found.parts:
        yield from _part(claim.part(part.name), part)


def _part(record: Part, found: PartFinding) -> Iterator[str]:
    whose, word = "the study's" if record.source == "study" else "ours", _strong(part_word(record, found))
    yield f"**{record.name}** ({whose}): {word}. {record.says[0].upper()}{record.says[1:]}. {_rates(found)}\n"
    if isinstance(record.lane, Grid):
        yield f"Grid along {record.lane.along}: {_reading(record, record.lane, found)}.\n"
    if isinstance(record.lane, Collapse):
        one = found.comparisons[0]
        yield f"{one.seeds} seeds, in {round((one.mean or 0.0) * one.seeds)} of which a run collapsed.\n"
        return
    shown = sorted(found.comparisons, key=lambda one: _nearness(record.lane, one))[:_SHOWN]
    yield f"| {', '.join(record.over) or 'comparison'} | outcome | {_unit(record)} | wins | |"
    yield "|---|---|---|---|---|"
    for one in shown:
        wins = f"{one.wins} of {one.seeds}" if one.wins is not None else f"{one.seeds} seeds"
        further = f"{one.further_seeds} further seeds" if one.further_seeds else ""
        word = _strong(comparison_word(one.outcome, found.kinds.get(one.name)))
        more = _evidence(found.refutations[one.name]) if one.name in found.refutations else further
        yield f"| {one.name} | {word} | {_interval(one.mean, one.low, one.high)} | {wins} | {more} |"
    left = len(found.comparisons) - len(shown)
    middle = _interval(found.middle, found.middle_low, found.middle_high)
    yield f"\n{f'And {left} more, all further from failing. ' if left else ''}IQM of all: {middle}.\n"


def _headline(row: Row, *, several: bool) -> str:
    """What the study states, or that it states nothing."""
    return f"{row.id} {row.as_stated}" if several else row.as_stated if row.studys else "ours"


def _evidence(shown: Refutation) -> str:
    """What the kind of a refuted comparison is decided on, with the interval that decides."""
    return f"all stored: {_interval(shown.mean, shown.low, shown.high)} (90 %), {shown.wins} of {shown.seeds}"


def _rates(found: PartFinding) -> str:
    return f"False PASS {_percent(found.false_pass)}, false FAIL {_percent(found.false_fail)} or less."


def _nearness(lane: Lane, one: ComparisonFinding) -> tuple[int, float]:
    """Worst first: what failed, then what is open, then by the lower end of the interval."""
    order = [ClaimOutcome.INVALID, ClaimOutcome.FAIL, ClaimOutcome.INCONCLUSIVE, None, ClaimOutcome.PASS]
    if isinstance(lane, Direction | Grid):
        return order.index(one.outcome), one.low if one.low is not None else 0.0
    return order.index(one.outcome), -abs(one.mean or 0.0)


def _reading(record: Part, lane: Grid, found: PartFinding) -> str:
    levels = [float(level) for level in record.over[lane.along] if not isinstance(level, dict)]
    outcomes = []
    for level in levels:
        own = [one.outcome for one in found.comparisons if str(level) in one.name.split(", ")]
        present = [outcome for outcome in own if outcome is not None]
        worst = next(
            (r for r in (ClaimOutcome.INVALID, ClaimOutcome.FAIL, ClaimOutcome.INCONCLUSIVE) if r in present),
            ClaimOutcome.PASS,
        )
        outcomes.append(worst if len(present) == len(own) or worst is ClaimOutcome.FAIL else ClaimOutcome.INCONCLUSIVE)
    return grid_reading(levels, outcomes)


def _unit(record: Part) -> str:
    name = record.metric.replace("_", " ")
    if record.log:
        return f"log ratio of {name}"
    if isinstance(record.lane, Reproduction):
        return f"{name}, less the reference's"
    return f"difference in {name}" if len(record.terms) > 1 else name


def _interval(mean: float | None, low: float | None, high: float | None) -> str:
    if mean is None or low is None or high is None:
        return "–"
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def _percent(rate: float) -> str:
    return f"{100 * rate:.2g} %"


def shown(claim: Statement) -> str:
    """The record in lines of text.

    Args:
        claim: to show.
    """
    return "\n".join(_lines(claim))


def _lines(claim: Statement) -> Iterator[str]:
    count = count_comparisons(claim)
    yield f"{claim.id} {claim.title}"
    yield claim.statement
    yield f"estimand: {claim.estimand}"
    yield f"paired: {claim.pairing}"
    yield f"alpha {claim.alpha:g}, beta {claim.beta:g} shared by {count} comparisons, looks {_list(claim.looks)}"
    first = ", ".join(str(verdict_seed(claim.seeds, index)) for index in range(2))
    yield f"seeds: {claim.seeds.claim}, {claim.seeds.setting}: {first}, ..."
    if isinstance(claim, Claim):
        yield f"negative control: {claim.negative_control.mutant}, in {claim.negative_control.part}"
    for part in claim.parts:
        yield ""
        yield f"{part.name}: {part.says}"
        yield f"  {'the study states it' if part.source == 'study' else 'our extension'}"
        yield f"  {part.lane.kind}, {part.metric}{' (log)' if part.log else ''}, experiment {part.experiment}"
        yield f"  {_operating_points(part.lane, Design(claim.looks, claim.alpha, claim.beta), count)}"
        yield f"  {len(comparisons(part))} comparisons: {'; '.join(one.name for one in comparisons(part))}"


def _operating_points(lane: Lane, design: Design, count: int) -> str:
    match lane:
        case Direction() | Grid():
            rule = SignRule(design.looks, design.alpha, design.beta, count, lane.least)
            passes, fails = _list(rule.pass_at), _list(rule.fail_at)
            return f"PASS from {passes} wins, FAIL up to {fails}; less than {lane.resolution:g} is a tie"
        case Magnitude():
            return f"claimed {_list(lane.claimed)}, tolerated {_list(lane.tolerated)}"
        case Equivalence() | Reproduction():
            return f"margin {lane.margin:g}"
        case Collapse():
            return f"below {lane.most:g}; {lane.usual:g} is the usual rate of runs without a defect"


def _list(numbers: Sequence[float | int | None]) -> str:
    return ", ".join("never" if number is None else f"{number:g}" for number in numbers)
