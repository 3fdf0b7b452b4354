"""A training step on two processes, one of which has no usable row (TRAIN-005).

Each process loads the implementation anew, wraps a small model for data parallelism over gloo on the loopback
interface, and takes two backward passes: first with usable rows everywhere, as a control, then with none on rank 1.
Collectives give up after a few seconds, so a deadlock ends as an error and not as a hang.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch

from sdpo_ref.types import FULL, DistillationBatch
from sdpo_ref.verification.checks.mismatch import ImplementationRaisedError
from sdpo_ref.verification.checks.outside import LOADING
from sdpo_ref.verification.checks.settings import Setting
from sdpo_ref.verification.isolation.surroundings import began

VOCAB = 5
"""Tokens of the small model."""

COLLECTIVE_LIMIT = timedelta(seconds=8)
"""How long a process waits for the other in a collective."""

PROCESS_LIMIT = 50
"""Seconds for a process in all, loading the implementation included; below the time limit of a check."""

_MODULE = "sdpo_ref.verification.checks.processes"

STAGES = ("loaded", "both usable", "one empty")
"""What each process reports, in order."""


@dataclass(frozen=True)
class TwoProcesses:
    """How far each process came.

    Attributes:
        reached: the last stage that each process completed; empty if none.
        messages: the last line of what each printed on its way out.
    """

    reached: tuple[str, str]
    messages: tuple[str, str]


def run_two_processes(implementation: str, setting: Setting) -> TwoProcesses:
    """Take the steps in two processes and report how far they came.

    Args:
        implementation: its ``module:factory`` text.
        setting: alpha and support, on a vocabulary of :data:`VOCAB`.

    Returns:
        The stages reached; both ``one empty`` if all went well. ``loaded`` if this machine does not let two processes
        take even a step in which both have usable rows.

    Raises:
        ImplementationRaisedError: if a process cannot load the implementation, although this one could, or does not
            take the step with usable rows on both, which the bundled reference takes here.
    """
    found = _run(implementation, setting)
    for stage, what in (("", LOADING), (STAGES[0], "loss, in a step on two processes with usable rows on both,")):
        if stage in found.reached:
            says = found.messages[found.reached.index(stage)] or "it ended in silence"
            if stage == "" or _run("reference", Setting(1.0, FULL)).reached == (STAGES[-1], STAGES[-1]):
                raise ImplementationRaisedError(what, says, says)
    return found


def _run(implementation: str, setting: Setting) -> TwoProcesses:
    with tempfile.TemporaryDirectory() as folder:
        here = began()
        environment = here.environment() | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        if sys.platform == "linux":
            environment["GLOO_SOCKET_IFNAME"] = "lo"
        children = [
            subprocess.Popen(  # noqa: S603 - this interpreter, running this file
                [sys.executable, "-m", _MODULE, implementation, str(rank), folder, *setting.as_arguments()],
                env=environment,
                cwd=here.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in (0, 1)
        ]
        messages = [_ending(child) for child in children]
        reached = [_reached(Path(folder), rank) for rank in (0, 1)]
    return TwoProcesses((reached[0], reached[1]), (messages[0], messages[1]))


def _ending(child: subprocess.Popen[str]) -> str:
    try:
        _, errors = child.communicate(timeout=PROCESS_LIMIT)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        return f"killed after {PROCESS_LIMIT} s"
    lines = [line for line in errors.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines and child.returncode else ""


def _reached(folder: Path, rank: int) -> str:
    return next((stage for stage in reversed(STAGES) if (folder / f"{stage}-{rank}").exists()), "")


def _work(implementation: str, rank: int, folder: Path, setting: Setting) -> None:
    """What one process does."""
    from sdpo_ref.verification.isolation.loader import load

    torch.set_num_threads(1)
    loss = load(implementation).implementation.loss  # type: ignore[attr-defined]
    (folder / f"loaded-{rank}").touch()
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=2, timeout=COLLECTIVE_LIMIT
    )
    torch.manual_seed(rank)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, VOCAB))
    for stage, usable in (("both usable", True), ("one empty", rank == 0)):
        true = torch.ones(2, 4, dtype=torch.bool)
        student_logits = model(torch.randn(2, 4, 3))
        teacher_logits = torch.randn(2, 4, VOCAB)
        batch = DistillationBatch(
            student_logits, teacher_logits, torch.zeros(2, 4).long(), true, torch.tensor([usable, usable])
        )
        torch.autograd.backward(loss(batch, **setting.options, temperature=1.0, ratio_cap=None))
        torch.distributed.barrier()
        (folder / f"{stage}-{rank}").touch()
    _wait_for(folder / f"{STAGES[-1]}-{1 - rank}")
    os._exit(0)  # leaving in order would wait for the other process, which may have ended already


def _wait_for(other: Path) -> None:
    """Until the other process has left the last barrier as well: it reads from this one until then."""
    limit = time.monotonic() + COLLECTIVE_LIMIT.total_seconds()
    while not other.exists() and time.monotonic() < limit:
        time.sleep(0.01)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("implementation")
    parser.add_argument("rank", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("setting", nargs="+")
    arguments = parser.parse_args()
    _work(arguments.implementation, arguments.rank, arguments.folder, Setting.parse(arguments.setting))


if __name__ == "__main__":
    _main()
