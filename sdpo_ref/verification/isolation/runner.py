"""Runs the suite: starts workers, detects one that hangs or dies, and starts another one with the remaining checks.

An implementation that hangs or dies fails the check that it was in, and the run goes on. Data flows one way:
worker -> events -> this file -> :class:`~sdpo_ref.verification.isolation.run.Run` -> ``verification.results``.
"""

import os
import queue
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sdpo_ref.errors import IntegrityError, LoadError
from sdpo_ref.verification.isolation.events import Check, Event, Failure, Finished, Forged, Opened, Started
from sdpo_ref.verification.isolation.limits import Limits, name_exceeded_limit
from sdpo_ref.verification.isolation.loader import Loaded
from sdpo_ref.verification.isolation.process import WorkerProcess, isolated_environment
from sdpo_ref.verification.isolation.run import Request, Run, RunLog
from sdpo_ref.verification.isolation.text import one_line
from sdpo_ref.verification.status import Status

_STANDARD_LIMITS = Limits()
_LOSSES_PER_PART = 3
_LOSSES_WITHOUT_PROGRESS = 3
_TICK_SECONDS = 0.1
_LONGEST_LINE = 500
END_OF_RUN = "not run: a check had failed before, and --exitfirst ends a run there"
"""Why what was left of a run was not run."""

_ADVICE_ON_ENDING = "something in this check leaves or crashes the whole process"
_ADVICE_ON_FORGING = "leave file descriptors alone that are not yours"
_ADVICE_ON_HANGING = "if it is only slow, raise --time-limit"


def default_jobs(request: Request) -> int:
    """Two workers for a whole run on two cores or more; one if only a few checks are selected."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1 if request.selection.only or request.implementation is None else min(2, cores)


def run_isolated(
    request: Request,
    *,
    limits: Limits = _STANDARD_LIMITS,
    jobs: int = 1,
    observe: Callable[[Event], None] = lambda _event: None,
    ends: Callable[[Check, Finished], bool] = lambda _check, _finished: False,
) -> Run:
    """Run the checks in processes of their own.

    Args:
        request: what to run.
        limits: how long to wait for a check and for the start, and how much memory to give.
        jobs: number of workers that share the checks.
        observe: called with each event as it happens, for a progress line.
        ends: whether the run ends with a check that ended like this; what is left is not run.

    Returns:
        How every selected check ended: none is ever missing.

    Raises:
        LoadError: if the implementation cannot be loaded.
        IntegrityError: if the suite itself cannot be collected.
    """
    with tempfile.TemporaryDirectory(prefix="sdpo-ref-", ignore_cleanup_errors=True) as home:
        return _Supervisor(request, limits, observe, ends, Path(home)).run(jobs)


def run_in_process(
    request: Request,
    *,
    loaded: Loaded | None = None,
    observe: Callable[[Event], None] = lambda _event: None,
    first_failure: bool = False,
) -> Run:
    """Run the checks here: no isolation, no limits, and what the implementation prints is shown.

    Args:
        request: what to run.
        loaded: the implementation, if it is loaded already.
        observe: called with each event as it happens.
        first_failure: whether the run ends with the first check that does not pass.

    Returns:
        How every selected check ended.

    Raises:
        LoadError: if the implementation cannot be loaded.
        IntegrityError: if the suite itself cannot be collected.
    """
    from sdpo_ref.verification.isolation import worker
    from sdpo_ref.verification.isolation.surroundings import Surroundings

    log = RunLog(observe)
    before, before_bytecode = Surroundings(), sys.dont_write_bytecode
    with tempfile.TemporaryDirectory(prefix="sdpo-ref-", ignore_cleanup_errors=True) as home:
        isolated = isolated_environment(Path(home))
        try:
            os.environ.clear()
            os.environ.update(isolated)
            sys.dont_write_bytecode = True
            worker.run(request, log.record, loaded=loaded, capture=False, first_failure=first_failure)
        finally:
            before.restore()
            sys.dont_write_bytecode = before_bytecode
    if first_failure:
        for check in log.remaining((0, 1)):
            log.record(Finished(check.id, Status.NOT_RUN, END_OF_RUN))
    return log.run()


class _Supervisor:
    """Keeps workers going until every selected check has ended."""

    def __init__(
        self,
        request: Request,
        limits: Limits,
        observe: Callable[[Event], None],
        ends: Callable[[Check, Finished], bool],
        home: Path,
    ) -> None:
        self._request = request
        self._ends = ends
        self._limits = limits
        self._home = home
        self._log = RunLog(observe)
        self._inbox: queue.Queue[tuple[WorkerProcess, Event | None]] = queue.Queue()
        self._workers: list[WorkerProcess] = []
        self._losses: Counter[str] = Counter()
        self._losses_without_progress = 0

    def run(self, jobs: int) -> Run:
        """Start the workers and wait for the last one."""
        try:
            for share in range(jobs):
                self._start(replace(self._request, share=(share, jobs)))
            while self._workers and not self._has_ended():
                self._wait()
            if self._workers:
                self._give_up(self._log.remaining((0, 1)), END_OF_RUN)
            return self._log.run()
        finally:
            for worker in self._workers:
                worker.kill()

    def _has_ended(self) -> bool:
        checks = () if self._log.collected is None else self._log.collected.checks
        finished = self._log.finished
        return any(check.id in finished and self._ends(check, finished[check.id]) for check in checks)

    def _start(self, request: Request) -> None:
        memory = self._limits.memory
        self._workers.append(
            WorkerProcess(request, memory, self._home, lambda worker, event: self._inbox.put((worker, event)))
        )

    def _wait(self) -> None:
        """Handle the next event; while there is none, look for workers that hang."""
        try:
            worker, event = self._inbox.get(timeout=_TICK_SECONDS)
        except queue.Empty:
            for worker in tuple(self._workers):
                self._stop_if_silent(worker)
            return
        if worker not in self._workers:
            return
        worker.last_event = time.monotonic()
        if event is None:
            worker.kill()
            self._retire(worker, f"the process ended with {worker.ending()}", _ADVICE_ON_ENDING, worker.last_stack())
            return
        if isinstance(event, Forged):
            worker.kill()
            how = f"it wrote {one_line(event.line)!r} to where this suite counts its results"
            self._retire(worker, how, _ADVICE_ON_FORGING, "")
            return
        match event:
            case Opened(header):
                event = Opened(replace(header, isolation={**header.isolation, "time": self._time()}))
            case Started(check):
                worker.check = worker.last_check = check
            case Finished(_, status):
                worker.check = None
                if status is not Status.NA:
                    self._losses_without_progress = 0
                event = name_exceeded_limit(event, self._limits)
        self._log.record(event)

    def _time(self) -> str:
        return f"{self._limits.check:g} s a check, {self._limits.start:g} s to load"

    def _stop_if_silent(self, worker: WorkerProcess) -> None:
        limit = self._limits.start if worker.check is None else self._limits.check
        if worker.is_silent_for(limit):
            stack = worker.where()
            worker.kill()
            self._retire(worker, f"it did not return within {limit:g} s", _ADVICE_ON_HANGING, stack)

    def _retire(self, worker: WorkerProcess, how: str, advice: str, stack: str) -> None:
        """Record how a worker ended, and start another one if checks of its share are left."""
        self._workers.remove(worker)
        if self._log.header is None and self._request.implementation is not None:
            raise LoadError(self._never_opened(how, worker, stack))
        if self._log.collected is None:
            raise IntegrityError(f"the checks could not be collected: {_last_line(worker)}")
        if worker.check is not None:
            if worker.check not in self._log.finished:
                self._losses.update(self._log.parts(worker.check))
            failure = Failure(message=f"{how}; {advice}", traceback=stack)
            self._log.record(Finished(worker.check, Status.ERROR, failure=failure))
        remaining = self._log.remaining(worker.request.share)
        if self._request.implementation is None or not remaining:
            if worker.check is None and worker.last_check is not None and not worker.has_closed:
                after = Failure(message=f"{how} after this check, before it had said that it was done; {advice}")
                self._log.record(Finished(worker.last_check, Status.ERROR, failure=after))
            return
        self._losses_without_progress += worker.check is None
        if self._losses_without_progress > _LOSSES_WITHOUT_PROGRESS:
            self._give_up(remaining, "the process kept ending between checks")
            return
        self._give_up_on_lost_parts(remaining)
        if self._log.remaining(worker.request.share):
            self._start(replace(worker.request, finished=frozenset(self._log.finished), silent=self._log.silent()))

    def _give_up_on_lost_parts(self, remaining: list[Check]) -> None:
        for check in remaining:
            lost = [part for part in sorted(self._log.parts(check.id)) if self._losses[part] >= _LOSSES_PER_PART]
            if lost:
                self._give_up(
                    [check], f"{lost[0] or 'the implementation'} hung or died in {_LOSSES_PER_PART} checks before"
                )

    def _give_up(self, checks: list[Check], reason: str) -> None:
        for check in checks:
            self._log.record(Finished(check.id, Status.NOT_RUN, reason))

    def _never_opened(self, how: str, worker: WorkerProcess, stack: str) -> str:
        at = f" (it was at: {one_line(stack.splitlines()[0])})" if stack else ""
        printed = f" (it printed: {_last_line(worker)})" if _last_line(worker) and not stack else ""
        name, fix = self._request.implementation, "import it and call its factory by hand to see why"
        if "did not return" in how:
            fix = f"if it is only slow, raise --load-limit; else {fix}"
        return f"{name} could not be loaded: {how}{at}{printed}; {fix}"


def _last_line(worker: WorkerProcess) -> str:
    lines = worker.printed().strip().splitlines()
    return one_line(lines[-1])[:_LONGEST_LINE] if lines else ""
