"""Which known defect a run's failures look like, whatever is waived left aside."""

from dataclasses import replace

from sdpo_ref.verification.diagnosis.diagnosis import Diagnosis, diagnose
from sdpo_ref.verification.diagnosis.kill_matrix import KillMatrix
from sdpo_ref.verification.results import Report
from sdpo_ref.verification.status import Status

_NOT_LOOKED_AT = (Status.NA, Status.NOT_RUN, Status.SKIPPED)


def diagnosed(report: Report, matrix: KillMatrix) -> Diagnosis | None:
    """The diagnosis of a run in which a MUST fails that nobody has waived.

    Claims take no part: they are about training, and a mutant has no trainer.

    Args:
        report: of the run.
        matrix: of the suite that was run.

    Returns:
        The nearest defect, if one is near.
    """
    entries = [entry for entry in report.decided if entry.waiver is None and not entry.is_statistical]
    if not any(entry.own_status.is_failure and entry.requirement.strength == "MUST" for entry in entries):
        return None
    checks = {check.check: check for entry in entries for check in entry.checks}
    ran = {name: check for name, check in checks.items() if check.status not in _NOT_LOOKED_AT}
    failing = {name: check for name, check in ran.items() if check.status.is_failure}
    known = {*(entry.requirement.id for entry in report.decided), *(it.id for it in report.not_asked)}
    return diagnose(
        failing,
        replace(matrix, rows=tuple(row for row in matrix.rows if known.issuperset(row.caught_by[:1]))),
        ran=ran,
        recognised=[check.failure.looks_like for check in failing.values() if check.failure is not None],
    )
