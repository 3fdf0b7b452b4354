"""What a pytest session shows of each requirement, and how processes of one session share a single run."""

import fcntl
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from sdpo_ref.verification.report import Report, RequirementResult
from sdpo_ref.verification.reports.terminal import failure_as_text
from sdpo_ref.verification.status import ExitCode, Status

VERDICT = "verdict"
"""Name of the item that shows the verdict of the whole run."""

SHARED = "sdpo_ref_shared"
"""Where a process of pytest-xdist finds the folder that all processes share: ``config.workerinput[SHARED]``."""

_WIDTH = 100


@dataclass(frozen=True)
class Outcome:
    """How one item ends.

    Attributes:
        kind: in pytest's terms. ``xfail`` is a failure that does not count.
        text: why; for a failure, what the command line prints.
    """

    kind: Literal["passed", "failed", "skipped", "xfail"]
    text: str = ""


Outcomes = Mapping[str, Outcome]
"""Requirement id, or ``VERDICT``, to its outcome."""


def outcomes(report: Report) -> Outcomes:
    """The outcome of every requirement of a report, and of the whole.

    Args:
        report: what the engine found.

    Returns:
        Only a MUST fails; what else does not hold is ``xfail``. What is not decided is skipped, and the verdict fails
        for it, unless a requirement fails.
    """
    return {VERDICT: _verdict(report), **{it.id: _outcome(report, it) for it in report.requirements}}


def shared(folder: Path, run: Callable[[], Outcomes]) -> Outcomes:
    """The outcomes of the one run that all processes of a session share.

    Args:
        folder: known to all of them; empty at first.
        run: called in the first process, while the others wait.

    Returns:
        The same in every process.
    """
    written = folder / "outcomes.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the process ends, however it does
        if not written.exists():
            written.write_text(json.dumps({name: asdict(outcome) for name, outcome in run().items()}))
    return {name: Outcome(**fields) for name, fields in json.loads(written.read_text()).items()}


def _outcome(report: Report, result: RequirementResult) -> Outcome:
    match result.status:
        case Status.PASS:
            return Outcome("passed")
        case Status.NA:
            return Outcome("skipped", f"not applicable, {result.reason}")
        case Status.NOT_RUN | Status.SKIPPED | Status.INCONCLUSIVE:
            return Outcome("skipped", result.reason or result.status.value)
    if result.status is Status.XFAIL:
        return Outcome("xfail", result.reason or "waived")
    if result.strength != "MUST" and result.status is not Status.INVALID:
        return Outcome("xfail", f"{result.strength} not met: {result.sentence}")
    return Outcome("failed", failure_as_text(report, result, width=_WIDTH))


def _verdict(report: Report) -> Outcome:
    verdict = report.verdict
    text = "\n".join([verdict.sentence, *report.broken, *report.deviations])
    if verdict.exit_code is ExitCode.PASSED:
        return Outcome("passed")
    if verdict.exit_code is ExitCode.FAILED:
        return Outcome("skipped", f"{verdict.sentence}; see the requirements that failed")
    return Outcome("failed", f"{text}\nexit code {int(verdict.exit_code)}: {verdict.meaning}")
