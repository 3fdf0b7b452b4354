"""Which known defect a failing implementation has: its wrong answers beside those of every mutant, or nothing.

Two defects can fail the same checks; they seldom give the same answers. So the answers decide, and failed checks only
where there are no wrong answers to compare.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from sdpo_ref.verification.diagnosis.causes import Seen, cause_of
from sdpo_ref.verification.diagnosis.kill_matrix import KillMatrix, Row
from sdpo_ref.verification.diagnosis.known_answers import Deviations, KnownAnswers
from sdpo_ref.verification.diagnosis.probe_calls import probes_of
from sdpo_ref.verification.report import CheckResult

NEAR = 1 / 2
"""Likeness from which a mutant is named: the share of wrong answers that both give, or of failed checks."""

_ALIKE = 0.9
"""Likeness from which an implementation is said to look like a mutant, and not to be near."""

_SAME_CHECKS = 0.9
"""Share of failed checks that must agree, in all parts, before a mutant is named although no answers say so."""

_SHOWN = 3
"""How many defects that are equally near are named; where failed checks alone say so, more of them say nothing."""

_VOTES = 2
"""How many failed checks must recognise the numbers of a defect before that counts."""

_SHARE_OF_PLACES = 0.05
"""How much of the likeness depends on failing in the same parts at all."""

Basis = Literal["answers", "numbers", "checks", "cause"]
"""What a diagnosis rests on: the same wrong answers, numbers that failed checks recognise, the same failed checks, or a
cause that is no defect of SDPO's."""


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with an implementation.

    Attributes:
        basis: what that rests on.
        row: the known defect; ``None`` if it is none.
        agreeing: how many wrong answers, or failed checks, both have.
        together: how many either has.
        likeness: in ``[0, 1]``, see :func:`likeness_of_answers`.
        others: other defects that are exactly as near.
        cause: what is wrong beside the defect, or instead of one.
    """

    basis: Basis
    row: Row | None = None
    agreeing: int = 0
    together: int = 0
    likeness: float = 0.0
    others: tuple[Row, ...] = ()
    cause: str = ""

    @property
    def sentence(self) -> str:
        """For a person.

        Example:
            >>> row = Row("M006", "", "", "M006", "JSD coefficients swapped", "", ("LOSS-003",), (), frozenset(), None)
            >>> Diagnosis("answers", row, 12, 12, 1.0).sentence
            'looks like M006, JSD coefficients swapped (12 of 12 wrong answers are the same)'
            >>> Diagnosis("answers", row, 6, 10, 0.6).sentence
            'nearest known defect: M006, JSD coefficients swapped (6 of 10 wrong answers are the same)'
            >>> Diagnosis("checks", row, 3, 3, 1.0).sentence
            'fails the same checks as M006, JSD coefficients swapped (3 of 3), which is all that is known'
        """
        if self.row is None:
            return self.cause
        named = f"{self.row.id}, {self.row.wrong}"
        counts = f"{self.agreeing} of {self.together}"
        match self.basis:
            case "answers":
                how = "looks like" if self.likeness >= _ALIKE else "nearest known defect:"
                text = f"{how} {named} ({counts} wrong answers are the same)"
            case "numbers":
                text = f"looks like {named} (whose numbers {counts} failed checks recognise)"
            case _:
                text = f"fails the same checks as {named} ({counts}), which is all that is known"
        others = [f"{row.id}, {row.wrong}" for row in self.others[: _SHOWN - 1]]
        more = len(self.others) - len(others)
        rest = [f"{more} more"] if more else []
        equally = f"; or, exactly as near: {'; '.join([*others, *rest])}" if others else ""
        return f"{self.cause}. Beside that it {text}{equally}" if self.cause else f"{text}{equally}"


def diagnose(
    seen: Seen,
    matrix: KillMatrix,
    known: KnownAnswers | None,
    *,
    wrong: Deviations,
    compared: Collection[str],
    ran: Collection[str],
    is_missing: Collection[str],
) -> Diagnosis | None:
    """What is wrong, or nothing.

    A cause that is no defect of SDPO's comes first. Then the known defect whose wrong answers are the most similar, if
    at least half of them agree. Then one whose numbers most of the failed checks recognise. Only without any wrong
    answers the one that fails the same checks, and none that a check which was left out would tell apart.

    Args:
        seen: failed checks and answers.
        matrix: which known defect fails which check.
        known: how the answers of known defects differ from the right ones.
        wrong: how those of the implementation do.
        compared: calls that could be compared.
        ran: checks that were decided.
        is_missing: checks that were not, though what they need is offered.

    Returns:
        The diagnosis.
    """
    cause = cause_of(seen)
    if cause is not None and cause.is_all:
        return Diagnosis("cause", cause=cause.sentence)
    explained = cause.explains if cause is not None else frozenset()
    failing = {name: check for name, check in seen.failing.items() if name not in explained}
    others = [name for name in ran if name not in explained]
    rows = matrix.rows
    found = (
        _by_answers(wrong, compared, rows, known)
        or _by_numbers(failing, others, rows, matrix.parts)
        or (None if wrong else _by_checks(failing, others, _possible(rows, is_missing, compared, known), matrix.parts))
    )
    if found is None:
        return None if cause is None else Diagnosis("cause", cause=cause.sentence)
    return found if cause is None else replace(found, cause=cause.sentence)


def likeness_of_answers(wrong: Deviations, known: Deviations) -> tuple[float, int, int]:
    r"""How similar two implementations are in what they answer wrongly.

    One defect shows in one part of an implementation or in all that are built on it, as the code happens to be cut. So
    answers are compared in the parts where both give wrong ones: with A the calls to which both give the same wrong
    answer, F and K those that each answers wrongly, and F', K' those in parts that both fail in,

    .. math::
        \text{likeness} = \frac{|A|}{|F' \cup K'|}
            \left( 1 - s + s\, \frac{|F' \cup K'|}{|F \cup K|} \right), \qquad s = 0.05

    Args:
        wrong: of one.
        known: of the other.

    Returns:
        The likeness, :math:`|A|`, and :math:`|F' \cup K'|`.
    """
    calls = probes_of()
    parts = {calls[name][0] for name in wrong} & {calls[name][0] for name in known}
    here = {name for name in wrong if calls[name][0] in parts}
    there = {name for name in known if calls[name][0] in parts}
    agreeing = sum(1 for name in here & there if wrong[name].is_same(known[name]))
    together = len(here | there)
    places = together / max(len(wrong.keys() | known.keys()), 1)
    likeness = agreeing / max(together, 1) * (1 - _SHARE_OF_PLACES + _SHARE_OF_PLACES * places)
    return likeness, agreeing, together


def _by_answers(
    wrong: Deviations, compared: Collection[str], rows: Iterable[Row], known: KnownAnswers | None
) -> Diagnosis | None:
    found = []
    for row in rows if known is not None and wrong else ():
        assert known is not None  # noqa: S101 - for mypy
        theirs = {name: it for name, it in known.wrong.get(row.id, {}).items() if name in compared}
        likeness, agreeing, together = likeness_of_answers(wrong, theirs)
        if likeness >= NEAR:
            found.append(Diagnosis("answers", row, agreeing, together, likeness))
    return _nearest(found)


def _by_numbers(
    failing: Mapping[str, CheckResult], ran: Collection[str], rows: Iterable[Row], parts: Mapping[str, str]
) -> Diagnosis | None:
    """The defect that most of those failed checks recognise which recognise any, if it fails the same checks."""
    texts = [check.failure.looks_like for check in failing.values() if check.failure and check.failure.looks_like]
    by_id = {row.id: row for row in rows}
    votes: Counter[str] = Counter()
    for text in texts:
        votes.update({by_id[word].defect for word in text.split() if word in by_id})
    likely = [
        Diagnosis("numbers", it.row, votes[it.row.defect], len(texts), it.likeness)
        for it in ranking(failing, by_id.values(), parts, ran=ran)
        if it.row is not None and votes[it.row.defect] >= max(_VOTES, NEAR * len(texts))
    ]
    most = max((it.agreeing for it in likely), default=0)
    return _nearest([it for it in likely if it.agreeing == most])


def _possible(
    rows: Iterable[Row], is_missing: Collection[str], compared: Collection[str], known: KnownAnswers | None
) -> list[Row]:
    """Defects that no missing check could tell apart, and that answer rightly where the implementation does."""
    missing, asked = frozenset(is_missing), frozenset(compared)
    wrong = known.wrong if known is not None else {}
    return [row for row in rows if row.checks.isdisjoint(missing) and asked.isdisjoint(wrong.get(row.id, ()))]


def _by_checks(
    failing: Collection[str], ran: Collection[str], rows: Iterable[Row], parts: Mapping[str, str]
) -> Diagnosis | None:
    """The defect that fails the same checks; none, if so many do that it means nothing."""
    found = _nearest([it for it in ranking(failing, rows, parts, ran=ran) if it.agreeing >= _SAME_CHECKS * it.together])
    return None if found is None or len(found.others) >= _SHOWN else found


def _nearest(found: Collection[Diagnosis]) -> Diagnosis | None:
    """The most similar one, with those of other defects that are as similar."""
    best = max((it.likeness for it in found), default=0.0)
    tied = [it for it in found if math.isclose(it.likeness, best)]
    if not tied:
        return None
    first = tied[0]
    rows = [it.row for it in reversed(tied) if it.row is not None]
    others = {row.defect: row for row in rows if first.row is not None and row.defect != first.row.defect}
    return replace(first, others=tuple(reversed(others.values())))


def ranking(
    failing: Collection[str],
    rows: Iterable[Row],
    parts: Mapping[str, str],
    *,
    ran: Collection[str] | None = None,
    near: float = NEAR,
) -> list[Diagnosis]:
    """Mutants that fail similar checks, the nearest first; likeness is that of answers, with failed checks instead.

    Args:
        failing: ids of the checks that failed.
        rows: the mutants to choose from.
        parts: the part that each check calls; checks that are not in it make a part of their own.
        ran: ids of the checks that ran; what a mutant fails of the others is left aside. All, if left out.
        near: least likeness.

    Returns:
        Those that are near.
    """
    failed = frozenset(failing)
    possible = None if ran is None else frozenset(ran)
    found = []
    for row in rows:
        checks = row.checks if possible is None else row.checks & possible
        if failed & checks:
            likeness = _likeness(failed, checks, parts)
            found.append(Diagnosis("checks", row, len(failed & checks), len(failed | checks), likeness))
    return sorted((it for it in found if it.likeness >= near), key=lambda it: -it.likeness)


def _likeness(failed: frozenset[str], known: frozenset[str], parts: Mapping[str, str]) -> float:
    here, there = _by_part(failed, parts), _by_part(known, parts)
    both = [part for part in here if part in there]
    agreeing = sum(len(here[part] & there[part]) for part in both)
    together = sum(len(here[part] | there[part]) for part in both)
    places = together / len(failed | known)
    return agreeing / max(together, 1) * (1 - _SHARE_OF_PLACES + _SHARE_OF_PLACES * places)


def _by_part(checks: frozenset[str], parts: Mapping[str, str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for check in checks:
        found[parts.get(check, "")].add(check)
    return found
