"""What a pytest session shows of each requirement, and how processes of one session share a single run."""

import fcntl
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Literal

from rich.console import Console

from sdpo_ref.verification.decided import Decided
from sdpo_ref.verification.reports.report_failures import failure_block
from sdpo_ref.verification.results import Report
from sdpo_ref.verification.status import ExitCode, Status
from sdpo_ref.verification.verdict import verdict

VERDICT = "verdict"
"""Name of the item that says what the run as a whole amounts to."""

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
    found = {entry.requirement.id: _outcome(entry, report.header.spec) for entry in report.decided}
    return {VERDICT: _verdict(report), **found}


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


def _outcome(entry: Decided, spec: str) -> Outcome:
    match entry.status:
        case Status.PASS:
            return Outcome("passed")
        case Status.NA:
            return Outcome("skipped", f"not applicable, {entry.reason}")
        case Status.NOT_RUN | Status.SKIPPED | Status.INCONCLUSIVE:
            return Outcome("skipped", entry.reason or entry.status.value)
    if entry.status is Status.XFAIL:
        return Outcome("xfail", entry.reason or "announced")
    if entry.requirement.strength != "MUST" and entry.status is not Status.INVALID:
        return Outcome("xfail", f"{entry.requirement.strength} not met: {entry.requirement.sentence}")
    text = StringIO()
    Console(file=text, width=_WIDTH, highlight=False, color_system=None).print(failure_block(entry, spec))
    return Outcome("failed", "\n".join(line.rstrip() for line in text.getvalue().splitlines()))


def _verdict(report: Report) -> Outcome:
    conclusion = verdict(report)
    text = "\n".join([conclusion.sentence, *report.broken, *report.deviations])
    if conclusion.exit_code is ExitCode.PASSED:
        return Outcome("passed")
    if conclusion.exit_code is ExitCode.FAILED:
        return Outcome("skipped", f"{conclusion.sentence}; see the requirements that failed")
    return Outcome("failed", f"{text}\nexit code {int(conclusion.exit_code)}: {conclusion.exit_code.meaning}")
