"""Findings as a reader meets them: what the study states with its verdict, and beside it how far that goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sdpo_ref.claims.comparison import Comparison, comparisons
from sdpo_ref.claims.findings import ClaimFinding, Findings, PartFinding
from sdpo_ref.claims.schema import Claim, Part
from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.study.experiments import EXPERIMENTS

HOLDS = "HOLDS"
ENDS = "ENDS HERE"
REFUTED = "REFUTED"
"""Without a kind: refuted, and the stored runs show none of the three."""

_OTHERWISE: Mapping[ClaimOutcome | None, str] = {
    ClaimOutcome.PASS: HOLDS,
    ClaimOutcome.INCONCLUSIVE: "OPEN",
    ClaimOutcome.INVALID: "INVALID",
    None: "NOT-RUN",
}

CONTROLS = "Controls, and where the lead comes from (ours, not the study's)"
"""The line in a table below which no finding has a statement of the study."""

NOT_ASKED = "not asked"


@dataclass(frozen=True)
class Row:
    """One finding in a table.

    Attributes:
        id: of the finding: F01, or F09a and F09b where a claim says two things. Further columns are joined by it.
        claim: id of the claim whose parts it is.
        title: a few words.
        statement: what is found, or not.
        as_stated: the verdict on what the study states; :data:`NOT_ASKED` where it states nothing.
        how_far: our extensions in words, each with what became of it.
        note: what else a reader has to know; may be empty.
        studys: whether the study states any of it.
    """

    id: str
    claim: str
    title: str
    statement: str
    as_stated: str
    how_far: tuple[str, ...]
    note: str
    studys: bool


@dataclass(frozen=True)
class _Half:
    """One of two findings in a claim: its letter, title and statement, and its parts, with the study's in a word."""

    letter: str
    title: str
    statement: str
    parts: Mapping[str, str]


_HALVES: Mapping[str, tuple[_Half, ...]] = {
    "F09": (
        _Half(
            "a",
            "The lead in a larger world",
            "With a fixed budget of annotations SDPO's lead shrinks as the vocabulary, the completions and the number "
            "of aspects grow.",
            {"declines": "vocabulary", "longer": "length", "aspects": "aspects"},
        ),
        _Half(
            "b",
            "The embedding subspace",
            "In a large vocabulary a reader in the embedding subspace restores SDPO's lead.",
            {"restored": "reward", "ahead": "lead", "gap": "gap", "share": "share"},
        ),
    )
}
"""Claims that say two things, the second of which may hold although the first does not."""

_STATEMENTS = {
    "F03": "The implicit reward tracks the true advantage of tokens better than what the baselines broadcast.",
    "F05": "The weight of the KL penalty trades reward for diversity: what was lost can be had back.",
    "F06": "SDPO degrades gracefully as ratings get noisier, and no baseline overtakes it up to noise of half of the "
    "scale, in every regime (decided from a twentieth of the scale on).",
    "F10": "A hybrid of SDPO and REINFORCE beats both of its parents where the quality of feedback differs between "
    "prompts (decided for a gated one, with a quarter and half of the prompts misleading).",
    "F11": "SDPO keeps the reward that it gained: in fewer than 5 % of the seeds does a run of any regime lose half of "
    "it.",
}
"""Where the registered sentence says more than the study's parts, or is read as more: what those parts say."""

_NOTES: Mapping[str, str] = {
    "F01": "read it with F13: once the baselines have the reader's knowledge and information, little of the lead is "
    "left; where a token's worth depends on its neighbour it is gone (F14); scalar and rubric have the same baselines, "
    "run for run",
    "F02": "SDFT, which reads a demonstration and is no baseline here, is sooner in scalar for about 60 steps",
    "F03": "on the first rollouts; over the run SDPO is level with the baselines in ordinal and rubric",
    "F04": "the published cause (the self-teacher is sharp) cannot be asked in this world, because SDPO's gradient is "
    "linear in the tilt and Adam cancels its size",
    "F05": "the baselines too have the penalty alone; a lower learning rate buys them distinctness more cheaply",
    "F06": "every baseline keeps more than half of its reward as well, so that 'graceful' tells no method from another"
    ": F14 compares shares",
    "F07": "of the mean gradient; a single one turns",
    "F09a": "of the vocabulary it is RLOO against which the lead grows; the part had ended before GRPO was decided",
    "F10": "the study says neither how feedback goes wrong nor which hybrid",
    "F11": "of reward, not of entropy, of which almost nothing is left in rubric",
    "F14": "over all stored seeds the reader that is told too little noise ends .006 higher in scalar and .011 lower "
    "in critique",
    "F15": "with the sign of the quality in its shares, as published, the advantage-weighted baseline does not learn; "
    "tuning takes the form without it",
    "F16": "it is ahead of SDPO and far behind RLOO, because a teacher that misleads is as far from the student as one "
    "that helps; nor does the publication's own hybrid beat SDPO (P06)",
}
"""What else a reader has to know beside a verdict, by finding."""


def finding_rows(findings: Findings, claims: Mapping[str, Claim]) -> tuple[Row, ...]:
    """Every finding as data, those of the study first, in the order of their ids.

    Implements: STAT-035.

    Args:
        findings: for the bundled reference, about some or all claims.
        claims: the records.
    """
    rows = [row for name in sorted(findings.claims) for row in _rows(claims[name], findings.claims[name])]
    return tuple(sorted(rows, key=lambda row: not row.studys))


def verdict_lines(findings: Findings, claims: Mapping[str, Claim]) -> dict[str, list[str]]:
    """Experiment to what stands beside its figure: a line for each finding of the claim that it is called after.

    A claim without an experiment of its own stands beside each that its parts compare.

    Args:
        findings: for the bundled reference.
        claims: the records.
    """
    lines: dict[str, list[str]] = {}
    for row in finding_rows(findings, claims):
        stated = f"as the study states it {row.as_stated}" if row.studys else "ours, the study does not ask it"
        further = "; ".join((*row.how_far, row.note) if row.note else row.how_far)
        line = f"{row.id}: {stated}." + (f" How far: {further}." if further else "")
        compared = [part.experiment for part in claims[row.claim].parts]
        for experiment in [row.claim] if row.claim in EXPERIMENTS else dict.fromkeys(compared):
            lines.setdefault(experiment, []).append(line)
    return lines


def rows_of(claim: Claim, found: ClaimFinding) -> tuple[Row, ...]:
    """The findings of one claim.

    Args:
        claim: the record.
        found: what was found about it.
    """
    return tuple(_rows(claim, found))


def part_word(record: Part, part: PartFinding) -> str:
    """What became of a part: HOLDS, OPEN, INVALID or NOT-RUN; where it is refuted, in which way, or that it ends here.

    Args:
        record: of the part.
        part: what was found.
    """
    if part.outcome is not ClaimOutcome.FAIL:
        return _OTHERWISE[part.outcome]
    if record.source == "study":
        return " and ".join(_kinds(part))
    places = {one.name: _place(record, one) for one in comparisons(record)}
    where = (f"{kind}: {', '.join(places[name] for name in names)}" for kind, names in _kinds(part).items())
    return f"{ENDS} ({'; '.join(where)})"


def comparison_word(outcome: ClaimOutcome | None, kind: str | None) -> str:
    """What became of one comparison.

    Args:
        outcome: of it.
        kind: of a refuted one.
    """
    return (kind or REFUTED) if outcome is ClaimOutcome.FAIL else _OTHERWISE[outcome]


def _rows(claim: Claim, found: ClaimFinding) -> Sequence[Row]:
    halves = _HALVES.get(claim.id)
    if halves is None:
        statement = _STATEMENTS.get(claim.id, claim.statement)
        return [_row(claim, found, _Half("", claim.title, statement, {part.name: part.name for part in claim.parts}))]
    return [_row(claim, found, half) for half in halves]


def _row(claim: Claim, found: ClaimFinding, half: _Half) -> Row:
    own = [part for part in found.parts if part.name in half.parts]
    stated = [part for part in own if claim.part(part.name).source == "study"]
    further = [part for part in own if claim.part(part.name).source == "ours"]
    name = f"{claim.id}{half.letter}"
    return Row(
        id=name,
        claim=claim.id,
        title=half.title,
        statement=half.statement,
        as_stated=_verdict(stated, found, half.parts) if stated else NOT_ASKED,
        how_far=tuple(_extension(claim.part(part.name), part) for part in further),
        note=_NOTES.get(name, ""),
        studys=bool(stated),
    )


def _verdict(parts: Sequence[PartFinding], found: ClaimFinding, words: Mapping[str, str]) -> str:
    """By STAT-027 over the study's parts, with every kind and where it is."""
    if found.outcome is ClaimOutcome.INVALID:  # a control failed: no part shows anything
        return "INVALID"
    refuted = [part for part in parts if part.outcome is ClaimOutcome.FAIL]
    if not refuted:
        worst = (ClaimOutcome.INVALID, None, ClaimOutcome.INCONCLUSIVE, ClaimOutcome.PASS)
        return _OTHERWISE[next(outcome for outcome in worst if any(part.outcome is outcome for part in parts))]
    where: dict[str, list[str]] = {}
    for part in refuted:
        for kind in _kinds(part):
            where.setdefault(kind, []).append(words[part.name])
    if len(where) == 1 and len(refuted) == len(parts):
        return next(iter(where))
    return "; ".join(f"{kind} ({', '.join(names)})" for kind, names in where.items())


def _kinds(part: PartFinding) -> Mapping[str, list[str]]:
    """Kind to the refuted comparisons that are of it."""
    found: dict[str, list[str]] = {}
    for name, kind in part.kinds.items():
        found.setdefault(REFUTED if kind is None else kind.value, []).append(name)
    return found


def _extension(record: Part, part: PartFinding) -> str:
    return f"{record.name} ({record.says}): {part_word(record, part)}"


def _place(record: Part, comparison: Comparison) -> str:
    """A comparison by the axes along which there are several; all of it where there are none."""
    single = {axis for axis, values in record.over.items() if len(values) == 1}
    return " ".join(str(value) for axis, value in comparison.point if axis not in single) or comparison.name
