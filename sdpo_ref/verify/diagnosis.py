"""Which known defect a failing implementation looks like: its failed checks beside those of every mutant."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sdpo_ref.verify.kill_matrix import KillMatrix, Row

NEAR = 0.5
"""Likeness from which a mutant is named."""

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
    """

    row: Row
    agreeing: int
    together: int
    likeness: float

    @property
    def sentence(self) -> str:
        """For a person.

        Example:
            >>> row = Row("M006", "", "", "M006", "JSD coefficients swapped", "", ("LOSS-003",), (), frozenset(), None)
            >>> Diagnosis(row, 11, 12, 0.9).sentence
            'looks like M006, JSD coefficients swapped (11 of 12 failed checks agree)'
        """
        agreement = f"{self.agreeing} of {self.together} failed checks agree"
        return f"looks like {self.row.id}, {self.row.wrong} ({agreement})"


def diagnose(
    failing: Collection[str], matrix: KillMatrix, *, ran: Collection[str] | None = None, near: float = NEAR
) -> Diagnosis | None:
    r"""The mutant whose failing checks are most like these.

    One defect shows in one part of an implementation or in all that are built on it, as the code happens to be cut.
    So the failures are compared where both have some: with F and K the failed checks of implementation and mutant,
    and F', K' those in the parts of which both fail a check,

    .. math::
        \text{likeness} = \frac{|F' \cap K'|}{|F' \cup K'|}
            \left( 1 - s + s\, \frac{|F' \cup K'|}{|F \cup K|} \right), \qquad s = 0.05

    Args:
        failing: ids of the checks that failed.
        matrix: what the suite says about known defects.
        ran: ids of the checks that ran; what a mutant fails of the others is left aside. All, if left out.
        near: least likeness.

    Returns:
        The nearest mutant, of equals the first; ``None`` if nothing failed, or nothing is near.
    """
    return next(iter(ranking(failing, matrix.rows, matrix.parts, ran=ran, near=near)), None)


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
        if failed & known:
            likeness = _likeness(failed, known, parts)
            found.append(Diagnosis(row, len(failed & known), len(failed | known), likeness))
    return sorted((it for it in found if it.likeness >= near), key=lambda it: -it.likeness)


def _likeness(failed: frozenset[str], known: frozenset[str], parts: Mapping[str, str]) -> float:
    here, there = _by_part(failed, parts), _by_part(known, parts)
    both = [part for part in here if part in there]
    agreeing = sum(len(here[part] & there[part]) for part in both)
    together = sum(len(here[part] | there[part]) for part in both)
    places = together / len(failed | known)
    return agreeing / together * (1 - _SHARE_OF_PLACES + _SHARE_OF_PLACES * places)


def _by_part(checks: frozenset[str], parts: Mapping[str, str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for check in checks:
        found[parts.get(check, "")].add(check)
    return found
