"""Which known defect a failing implementation looks like: its failed checks beside those of every mutant."""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from sdpo_ref.verification.diagnosis.kill_matrix import KillMatrix, Row

NEAR = 1 / 2
"""Likeness from which a mutant is named."""

_SAME = 0.99
"""Share of failed checks that agree from which an implementation is said to look like a mutant, and not to be near."""

_SHOWN = 3
"""How many of several defects that are equally near are named."""

_OTHER_INPUTS = 0.9
"""What it counts to fail the same checks, but with other inputs."""

_SHARE_OF_PLACES = 0.05
"""How much of the likeness depends on failing in the same parts at all."""


@dataclass(frozen=True)
class Diagnosis:
    """The known defect with the most similar failures.

    Attributes:
        row: the defect.
        agreeing: how many failures both have.
        together: how many failures either has.
        likeness: in ``[0, 1]``, see :func:`diagnose`.
        others: other defects that are exactly as near.
    """

    row: Row
    agreeing: int
    together: int
    likeness: float
    others: tuple[Row, ...] = ()

    @property
    def sentence(self) -> str:
        """For a person.

        Example:
            >>> row = Row("M006", "", "", "M006", "JSD coefficients swapped", "", ("LOSS-003",), (), frozenset(), None)
            >>> Diagnosis(row, 12, 12, 1.0).sentence
            'looks like M006, JSD coefficients swapped (12 of 12 failed checks agree)'
            >>> Diagnosis(row, 11, 12, 0.9).sentence
            'nearest known defect: M006, JSD coefficients swapped (11 of 12 failed checks agree)'
            >>> Diagnosis(row, 0, 2, 0.9).sentence
            'nearest known defect: M006, JSD coefficients swapped (which fails the same checks with other inputs)'
        """
        how = "looks like" if self.agreeing >= _SAME * self.together else "nearest known defect:"
        agreement = f"{self.agreeing} of {self.together} failed checks agree"
        agreement = agreement if self.agreeing else "which fails the same checks with other inputs"
        others = [f"{row.id}, {row.wrong}" for row in self.others[: _SHOWN - 1]]
        more = len(self.others) - len(others)
        rest = [f"{more} more"] if more else []
        equally = f"; or, exactly as near: {'; '.join([*others, *rest])}" if others else ""
        return f"{how} {self.row.id}, {self.row.wrong} ({agreement}){equally}"


def diagnose(
    failing: Collection[str],
    matrix: KillMatrix,
    *,
    ran: Collection[str] | None = None,
    near: float = NEAR,
    recognised: Iterable[str] = (),
) -> Diagnosis | None:
    r"""The mutant whose failing checks are most like these.

    One defect shows in one part of an implementation or in all that are built on it, as the code happens to be cut.
    So the failures are compared where both have some: with F and K the failed checks of implementation and mutant,
    and F', K' those in the parts of which both fail a check,

    .. math::
        \text{likeness} = \frac{|F' \cap K'|}{|F' \cup K'|}
            \left( 1 - s + s\, \frac{|F' \cup K'|}{|F \cup K|} \right), \qquad s = 0.05

    A defect of the same kind may fail the same checks with other inputs (ids in 8 bits, ids in 16). So a likeness that
    is less than nine tenths of the share of checks that agree when their inputs are left aside, is raised to that.

    Args:
        failing: ids of the checks that failed.
        matrix: what the suite says about known defects.
        ran: ids of the checks that ran; what a mutant fails of the others is left aside. All, if left out.
        near: least likeness.
        recognised: what the numbers of failed checks look like, in words with the ids of mutants among them, such as
            ``M006 coefficients swapped``. Between mutants that are equally near, the one that is cited most, itself or
            by its defect, is named.

    Returns:
        The nearest mutant, with all that are as near; ``None`` if nothing failed, or nothing is near.
    """
    found = ranking(failing, matrix.rows, matrix.parts, ran=ran, near=near)
    nearest = [it for it in found if math.isclose(it.likeness, found[0].likeness)]
    ids = {row.id for row in matrix.rows}
    cited = Counter(word for text in recognised for word in text.split() if word in ids)
    votes = [sum(cited[id_] for id_ in {it.row.id, it.row.defect}) for it in nearest]
    best = [it for it, vote in zip(nearest, votes, strict=True) if vote == max(votes)]
    if not best:
        return None
    by_defect = {it.row.defect: it.row for it in reversed(best) if it.row.defect != best[0].row.defect}
    return replace(best[0], others=tuple(reversed(by_defect.values())))


def ranking(
    failing: Collection[str],
    rows: Iterable[Row],
    parts: Mapping[str, str],
    *,
    ran: Collection[str] | None = None,
    near: float = NEAR,
) -> list[Diagnosis]:
    """Mutants that are near, the nearest first.

    Args:
        failing: as for :func:`diagnose`.
        rows: the mutants to choose from.
        parts: the part that each check calls; checks that are not in it make a part of their own.
        ran: as for :func:`diagnose`.
        near: as for :func:`diagnose`.

    Returns:
        Those that are near.
    """
    failed = frozenset(failing)
    possible = None if ran is None else frozenset(ran)
    found = []
    for row in rows:
        known = row.checks if possible is None else row.checks & possible
        if _without_inputs(failed) & _without_inputs(known):
            likeness = _likeness(failed, known, parts)
            found.append(Diagnosis(row, len(failed & known), len(failed | known), likeness))
    return sorted((it for it in found if it.likeness >= near), key=lambda it: -it.likeness)


def _likeness(failed: frozenset[str], known: frozenset[str], parts: Mapping[str, str]) -> float:
    here, there = _by_part(failed, parts), _by_part(known, parts)
    both = [part for part in here if part in there]
    agreeing = sum(len(here[part] & there[part]) for part in both)
    together = sum(len(here[part] | there[part]) for part in both)
    places = together / len(failed | known)
    exactly = agreeing / max(together, 1) * (1 - _SHARE_OF_PLACES + _SHARE_OF_PLACES * places)
    these, those = _without_inputs(failed), _without_inputs(known)
    return max(exactly, _OTHER_INPUTS * len(these & those) / len(these | those))


def _without_inputs(checks: frozenset[str]) -> frozenset[str]:
    """The checks without the parameters in brackets that pytest adds for each input."""
    return frozenset(check.partition("[")[0] for check in checks)


def _by_part(checks: frozenset[str], parts: Mapping[str, str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for check in checks:
        found[parts.get(check, "")].add(check)
    return found
