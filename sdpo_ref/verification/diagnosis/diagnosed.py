"""Which known defect a run's failures look like, whatever is waived left aside."""

from collections.abc import Collection
from dataclasses import replace

from sdpo_ref.verification.diagnosis.diagnosis import Diagnosis, diagnose
from sdpo_ref.verification.diagnosis.kill_matrix import KillMatrix
from sdpo_ref.verification.report import CLAIMS_LEVEL, RequirementResult
from sdpo_ref.verification.status import Status

_NOT_LOOKED_AT = (Status.NA, Status.NOT_RUN, Status.SKIPPED)


def diagnosed(
    requirements: Collection[RequirementResult], matrix: KillMatrix, *, known: Collection[str]
) -> Diagnosis | None:
    """The diagnosis of a run in which a MUST fails that is not waived.

    Claims take no part: they are about training, and a mutant has no trainer.

    Args:
        requirements: results of the run.
        matrix: of the suite that was run.
        known: ids of all requirements of the specification.

    Returns:
        The nearest defect, if one is near.
    """
    entries = [entry for entry in requirements if entry.waiver is None and entry.level != CLAIMS_LEVEL]
    if not any(entry.own_status.is_failure and entry.strength == "MUST" for entry in entries):
        return None
    checks = {check.id: check for entry in entries for check in entry.checks}
    ran = {name: check for name, check in checks.items() if check.status not in _NOT_LOOKED_AT}
    failing = {name: check for name, check in ran.items() if check.status.is_failure}
    return diagnose(
        failing,
        replace(matrix, rows=tuple(row for row in matrix.rows if set(row.caught_by[:1]) <= set(known))),
        ran=ran,
        recognised=[check.failure.looks_like for check in failing.values() if check.failure is not None],
    )
