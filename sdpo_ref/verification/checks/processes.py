"""Work on several processes (spec/05-trainer, C): gloo on the loopback interface, the implementation loaded in each.

A check asks a launcher, a Python that has imported PyTorch and nothing of the implementation. It forks the processes of
each request, so that they begin in milliseconds, and ends those that take too long. Collectives give up after a few
seconds, so a deadlock ends as an error and not as a hang. What each process does is in ``shares``, by name.
"""

import atexit
import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, NoReturn

import torch

from sdpo_ref.types import FULL
from sdpo_ref.verification.checks.mismatch import ImplementationRaisedError
from sdpo_ref.verification.checks.outside import LOADING
from sdpo_ref.verification.checks.settings import Setting
from sdpo_ref.verification.isolation.surroundings import began

COLLECTIVE_LIMIT = timedelta(seconds=8)
"""How long a process waits for the others in a collective."""

PROCESS_LIMIT = 45
"""Seconds for the processes of one request, loading the implementation included; below the time limit of a check."""

_MODULE = "sdpo_ref.verification.checks.processes"

STAGES = ("loaded", "both usable", "one empty")
"""What each process reports in a step in which one of two has no usable row, in order."""


@dataclass(frozen=True)
class Outcome:
    """What came of one process.

    Attributes:
        reached: the last stage that it completed; empty if none.
        message: what it raised, in one line; empty if it finished.
        not_offered: whether that was a ``NotImplementedError``.
        found: numbers by name, nested as lists.
    """

    reached: str = ""
    message: str = ""
    not_offered: bool = False
    found: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What several processes are asked to do.

    Attributes:
        implementation: its ``module:factory`` text.
        work: name of a function of ``shares.WORK``.
        case: which case of it, if there are several.
        setting: alpha and support, as arguments of a command line.
        world: how many processes.
        folder: where they meet, and leave what came of them.
    """

    implementation: str
    work: str
    case: str
    setting: Sequence[str]
    world: int
    folder: str


Report = Callable[[str, Mapping[str, Any]], None]
"""Called by the work of a process: a stage that it has completed, and what it has found so far."""


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
    """A step on two processes, first with usable rows on both as a control, then with none on rank 1 (TRAIN-005).

    Args:
        implementation: its ``module:factory`` text.
        setting: alpha and support, on a vocabulary of ``shares.VOCAB``.

    Returns:
        The stages reached; both ``one empty`` if all went well. ``loaded`` if this machine does not let two processes
        take even a step in which both have usable rows.

    Raises:
        ImplementationRaisedError: if a process cannot load the implementation, although this one could, or does not
            take the step with usable rows on both, which the bundled reference takes here.
    """
    first, second = run_processes(implementation, "one empty", setting, world=2)
    found = TwoProcesses((first.reached, second.reached), (first.message, second.message))
    for stage, what in (("", LOADING), (STAGES[0], "loss, in a step on two processes with usable rows on both,")):
        if stage in found.reached:
            says = found.messages[found.reached.index(stage)] or "it ended in silence"
            if stage == "" or _reference_takes_it():
                raise ImplementationRaisedError(what, says, says)
    return found


def run_processes(
    implementation: str, work: str, setting: Setting, *, world: int, case: str = ""
) -> tuple[Outcome, ...]:
    """Let several processes do some work together.

    Args:
        implementation: its ``module:factory`` text.
        work: name of a function of ``shares.WORK``.
        setting: alpha and support.
        world: how many processes.
        case: which case of the work, if there are several.

    Returns:
        What came of each, by rank.
    """
    with tempfile.TemporaryDirectory() as folder:
        request = Request(implementation, work, case, setting.as_arguments(), world, folder)
        messages = _launcher().ask(request)
        outcomes = [_outcome(Path(folder), rank) for rank in range(world)]
    return tuple(
        outcome if outcome.message or not message else Outcome(outcome.reached, message, found=outcome.found)
        for outcome, message in zip(outcomes, messages, strict=True)
    )


def _reference_takes_it() -> bool:
    return {it.reached for it in run_processes("reference", "one empty", Setting(1.0, FULL), world=2)} == {STAGES[-1]}


class _Launcher:
    """The process that forks the others, as seen by the one that asks it to."""

    def __init__(self) -> None:
        here = began()
        environment = here.environment() | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        if sys.platform == "linux":
            environment["GLOO_SOCKET_IFNAME"] = "lo"
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, running this file
            [sys.executable, "-m", _MODULE],
            env=environment,
            cwd=here.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._owner = os.getpid()
        atexit.register(self.close)

    @property
    def is_usable(self) -> bool:
        """Whether this process started it, and it has not ended."""
        return self._owner == os.getpid() and self._process.poll() is None

    def close(self) -> None:
        """Let it end, if this process started it."""
        if self._owner == os.getpid():
            for pipe in filter(None, (self._process.stdin, self._process.stdout)):
                pipe.close()
            self._process.wait()

    def ask(self, request: Request) -> list[str]:
        """Let it serve a request; what is to be said of each process that did not report by itself."""
        commands, answers = self._process.stdin, self._process.stdout
        assert commands is not None and answers is not None  # noqa: S101, PT018 - they are pipes; for mypy
        commands.write(f"{json.dumps(asdict(request))}\n")
        commands.flush()
        answer: list[str] = json.loads(answers.readline() or json.dumps([""] * request.world))
        return answer


_launchers: list[_Launcher] = []


def _launcher() -> _Launcher:
    """The launcher of this process, started when it is first needed; it ends when this process does."""
    if not _launchers or not _launchers[-1].is_usable:
        _launchers[:] = [_Launcher()]
    return _launchers[-1]


def _outcome(folder: Path, rank: int) -> Outcome:
    try:
        return Outcome(**json.loads((folder / f"outcome-{rank}").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Outcome()


def _main() -> None:
    """Be the launcher: a request on each line of standard input, until it ends.

    What every process would import is imported once, before any is forked; optimisers and DDP import the
    compiler of PyTorch, which takes two CPU seconds.
    """
    import torch._dynamo

    from sdpo_ref.verification.checks import shares  # noqa: F401
    from sdpo_ref.verification.isolation import loader  # noqa: F401

    torch.set_num_threads(1)
    commands: IO[str] = os.fdopen(os.dup(0), encoding="utf-8")
    for line in commands:
        request = Request(**json.loads(line))
        children = [_forked(request, rank, commands) for rank in range(request.world)]
        messages = _ending(children)
        os.write(1, f"{json.dumps(messages)}\n".encode())


def _forked(request: Request, rank: int, commands: IO[str]) -> int:
    child = os.fork()
    if child == 0:
        os.close(commands.fileno())
        _be_a_process(request, rank)
    return child


def _ending(children: Sequence[int]) -> list[str]:
    """Wait for every process; those that take too long are ended."""
    messages = dict.fromkeys(children, "")
    waiting, until = set(children), time.monotonic() + PROCESS_LIMIT
    while waiting:
        for child in list(waiting):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                waiting.remove(child)
                if os.waitstatus_to_exitcode(status) not in (0, 1):
                    messages[child] = f"it ended with exit code {os.waitstatus_to_exitcode(status)}"
            elif time.monotonic() > until:
                os.kill(child, 9)
                messages[child] = f"killed after {PROCESS_LIMIT} s"
        time.sleep(0.005)
    return [messages[child] for child in children]


def _be_a_process(request: Request, rank: int) -> NoReturn:
    """Load the implementation, meet the others, and work."""
    from sdpo_ref.verification.checks.shares import WORK
    from sdpo_ref.verification.isolation.loader import load

    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)
    folder, setting = Path(request.folder), Setting.parse(request.setting)
    outcome = Outcome()

    def report(reached: str, found: Mapping[str, Any]) -> None:
        nonlocal outcome
        outcome = Outcome(reached, found=found)
        _write(folder, rank, outcome)

    code = 1
    try:
        implementation = load(request.implementation).implementation
        report(STAGES[0], {})
        torch.distributed.init_process_group(
            "gloo",
            init_method=f"file://{folder / 'store'}",
            rank=rank,
            world_size=request.world,
            timeout=COLLECTIVE_LIMIT,
        )
        WORK[request.work](implementation, request.case, setting, report)
        _wait_for_others(folder, rank, request.world)
        code = 0
    except BaseException as error:  # noqa: BLE001 - whatever it was, it is what came of this process
        text = " ".join(f"{type(error).__name__}: {error}".split())
        _write(folder, rank, Outcome(outcome.reached, text, isinstance(error, NotImplementedError), outcome.found))
    finally:
        os._exit(code)  # leaving in order would wait for the others, which may have ended already


def _write(folder: Path, rank: int, outcome: Outcome) -> None:
    draft = folder / f"draft-{rank}"
    draft.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
    draft.replace(folder / f"outcome-{rank}")


def _wait_for_others(folder: Path, rank: int, world: int) -> None:
    """Until every process has left its last collective: they read from each other until then."""
    (folder / f"left-{rank}").touch()
    limit = time.monotonic() + COLLECTIVE_LIMIT.total_seconds()
    with contextlib.suppress(FileNotFoundError):
        while any(not (folder / f"left-{other}").exists() for other in range(world)):
            if time.monotonic() > limit:
                return
            time.sleep(0.005)


@functools.cache
def gloo_is_there() -> bool:
    """Whether this build of PyTorch lets processes talk over gloo, and this system forks."""
    available = torch.distributed.is_available() and torch.distributed.is_gloo_available()
    return available and hasattr(os, "fork")


if __name__ == "__main__":
    _main()
