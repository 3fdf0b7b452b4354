"""What a run's failures show, whatever is waived left aside."""

from collections.abc import Collection
from dataclasses import replace

from sdpo_ref.verification.diagnosis.answers import Answer
from sdpo_ref.verification.diagnosis.causes import Seen
from sdpo_ref.verification.diagnosis.diagnosis import Diagnosis, diagnose
from sdpo_ref.verification.diagnosis.kill_matrix import KillMatrix
from sdpo_ref.verification.diagnosis.known_answers import EXACT, KnownAnswers
from sdpo_ref.verification.diagnosis.probe_calls import probes_of
from sdpo_ref.verification.isolation.run import Run
from sdpo_ref.verification.report import CLAIMS_LEVEL, RunResults
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.capabilities import not_declared

_NOT_LOOKED_AT = (Status.NA, Status.NOT_RUN, Status.SKIPPED)
_EXACT = {"float64": EXACT, "float32": 1e-4}
_HALF_EXACT = 0.03
"""By which share of its largest number an answer in half precision must differ to be wrong."""


def diagnosed(
    results: RunResults,
    run: Run,
    matrix: KillMatrix,
    known: KnownAnswers | None,
    *,
    requirements: Collection[str],
) -> Diagnosis | None:
    """The diagnosis of a run in which a MUST fails that is not waived.

    Claims take no part: they are about training, and a mutant has no trainer.

    Args:
        results: of the run.
        run: with all checks, and what the implementation answered.
        matrix: of the suite that was run.
        known: the answers of known defects.
        requirements: ids of all requirements of the specification.

    Returns:
        What is wrong, if that shows.
    """
    entries = [entry for entry in results.requirements if entry.waiver is None and entry.level != CLAIMS_LEVEL]
    if not any(entry.own_status.is_failure and entry.strength == "MUST" for entry in entries):
        return None
    checks = {check.id: check for entry in entries for check in entry.checks}
    ran = {name: check for name, check in checks.items() if check.status not in _NOT_LOOKED_AT}
    failing = {name: check for name, check in ran.items() if check.status.is_failure}
    answers, precision = {}, "float64"
    if run.answered is not None:
        answers = {name: Answer(*it) for name, it in run.answered.answers.items()}
        precision = run.answered.precision
    part_of_call, silent = {name: part for name, (part, _) in probes_of().items()}, run.silent()
    heard = {name: it for name, it in answers.items() if part_of_call.get(name) not in silent}
    compared = known.comparable(heard, results.implementation.departures) if known is not None else frozenset()
    wrong = known.deviations(answers, compared, exact=_EXACT.get(precision, _HALF_EXACT)) if known is not None else {}
    return diagnose(
        Seen(failing, answers, known.right if known is not None else {}, precision, len(wrong)),
        replace(matrix, rows=tuple(row for row in matrix.rows if set(row.caught_by[:1]) <= set(requirements))),
        known,
        wrong=wrong,
        compared=compared,
        ran=ran,
        is_missing=_missing(results, run),
    )


def _missing(results: RunResults, run: Run) -> frozenset[str]:
    """Checks that this run did not decide, although the implementation offers what they need."""
    offered = results.implementation.capabilities
    return frozenset(
        check.id
        for check in run.checks
        if not not_declared(check.needs, offered)
        and (check.id not in run.finished or run.finished[check.id].status in (Status.NOT_RUN, Status.SKIPPED))
    )
