"""A source of runs of an external trainer in an isolated process: requests go in, only numbers come out."""

import json
import os
import queue
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path

from sdpo_ref.claims.comparison import Metrics
from sdpo_ref.claims.runs import RunName
from sdpo_ref.errors import TaskError
from sdpo_ref.verification.isolation.process import start_isolated
from sdpo_ref.verification.isolation.run_worker import REQUESTS

_SECONDS_TO_START = 120.0
_LONGEST_LINE = 1 << 26


class _BudgetUsedError(Exception):
    """There was no answer before the end of the budget."""


class IsolatedRuns:
    """Fresh runs, in a process without a network and without the user's home.

    Closing it terminates the process with its children and removes what they wrote.
    """

    def __init__(
        self,
        implementation: str,
        *,
        offers: Collection[str],
        jobs: int,
        memory: float,
        time_limit: float,
        budget: float | None,
        progress: Callable[[int, int], None],
    ) -> None:
        """Start the process; the budget begins now, and with its end the process ends, whatever it is doing.

        Args:
            implementation: ``module:factory[,key=value]`` of the trainer that replaces SDPO's.
            offers: its capabilities.
            jobs: worker processes.
            memory: of each process, in GiB.
            time_limit: seconds that one batch of runs may take.
            budget: seconds after which nothing is computed any more; ``None`` for no end.
            progress: called with the numbers of runs done and requested.
        """
        self._until = None if budget is None else time.monotonic() + budget
        self._silence = time_limit + _SECONDS_TO_START
        self._progress = progress
        self._home = Path(tempfile.mkdtemp(prefix="sdpo-ref-"))
        own = self._home / "worker"
        own.mkdir()
        with (self._home / "printed.txt").open("wb") as printed:
            self._process = start_isolated("sdpo_ref.verification.isolation.run_worker", own, memory, printed)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._send(
            {"implementation": implementation, "offers": sorted(offers), "jobs": jobs, "time_limit": time_limit},
        )

    def values(self, runs: Collection[RunName]) -> Mapping[RunName, Metrics]:
        """Metrics of the runs that were done within the budget.

        Args:
            runs: the requested runs.

        Raises:
            TaskError: if a run raises, hangs or dies, or the process does, or it returns anything but numbers.
        """
        ordered = list(runs)
        if self._until is not None and time.monotonic() >= self._until:
            self._terminate()
            return {}
        left = None if self._until is None else max(0.0, self._until - time.monotonic())
        self._send({"runs": REQUESTS.dump_python(ordered, mode="json"), "seconds_left": left})
        while True:
            try:
                line = self._line()
            except _BudgetUsedError:
                self._terminate()
                return {}
            try:
                answer = json.loads(line)
                if "error" in answer:
                    raise TaskError(str(answer["error"]))
                if "metrics" in answer:
                    return _metrics(ordered, answer["metrics"])
                self._progress(int(answer["done"]), int(answer["runs"]))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise TaskError(
                    f"the process that trains answered {line[:80]!r}, which is not a result of runs"
                ) from error

    def close(self) -> None:
        """Terminate the process with its children and remove what was written."""
        self._terminate()
        self._reader.join()
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def _terminate(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _read(self) -> None:
        if self._process.stdout is not None:
            with self._process.stdout as lines:
                while line := lines.readline(_LONGEST_LINE):
                    self._lines.put(line)
        self._lines.put("")

    def _send(self, what: Mapping[str, object]) -> None:
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.write(f"{json.dumps(what)}\n")
                self._process.stdin.flush()

    def _line(self) -> str:
        left = self._silence if self._until is None else self._until - time.monotonic()
        try:
            line = self._lines.get(timeout=max(0.0, min(self._silence, left)))
        except queue.Empty:
            if left < self._silence:
                raise _BudgetUsedError from None
            raise TaskError(f"a run did not end within {self._silence:g} s; something in it hangs") from None
        if not line:
            raise TaskError(f"the process that trains ended with exit code {self._process.wait()}")
        return line


def _metrics(runs: list[RunName], found: list[dict[str, float] | None]) -> dict[RunName, Metrics]:
    """Metrics by run; a run beyond the budget has none."""
    pairs = zip(runs, found, strict=True)
    return {run: {name: float(value) for name, value in row.items()} for run, row in pairs if row is not None}
