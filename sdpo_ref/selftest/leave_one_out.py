"""How good the diagnosis is: each mutant is diagnosed from the others, as if it were somebody's new implementation."""

from dataclasses import dataclass

from sdpo_ref.verification.diagnosis.diagnosis import ranking
from sdpo_ref.verification.diagnosis.kill_matrix import KillMatrix, Row


@dataclass(frozen=True)
class LeaveOneOut:
    """The result.

    Attributes:
        asked: mutants whose defect another mutant has as well, so that it could be named.
        right: of these, those for which such a mutant is named first.
        misses: the others, each with what was named instead; ``None`` where nothing was near.
        rows: all mutants, asked or not.
        akin: of these, those for which a mutant of the same family is named first: what to expect of a new defect.
    """

    asked: int
    right: int
    misses: tuple[tuple[Row, Row | None], ...]
    rows: int
    akin: int

    @property
    def share(self) -> float:
        """Right among asked."""
        return self.right / max(self.asked, 1)


def leave_one_out(matrix: KillMatrix) -> LeaveOneOut:
    """Diagnose each mutant from all others.

    Args:
        matrix: which mutant fails what.

    Returns:
        How often the right defect came first.
    """
    asked, akin, misses = 0, 0, []
    for row in matrix.rows:
        others = [other for other in matrix.rows if other.id != row.id]
        found = next((it.row for it in ranking(row.checks, others, matrix.parts)), None)
        akin += found is not None and found.family == row.family
        if not any(other.defect == row.defect for other in others):
            continue
        asked += 1
        if found is None or found.defect != row.defect:
            misses.append((row, found))
    return LeaveOneOut(asked, asked - len(misses), tuple(misses), len(matrix.rows), akin)
