"""Worker processes that do a study's tasks, batch by batch; each batch is returned as it ends.

Batches are handed out in chunks, so memory does not grow with their number.
"""

import inspect
import itertools
import multiprocessing
import os
import signal
import sysconfig
import threading
import time
import traceback
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import joblib
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

import sdpo_ref
from sdpo_ref._loading import summary, where
from sdpo_ref.errors import TaskError
from sdpo_ref.simulation import third_party
from sdpo_ref.study.experiment import Task
from sdpo_ref.study.outcome import Outcome
from sdpo_ref.study.simulators import Simulator

NOT_THE_AUTHORS = (*(sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")), "<frozen ")
"""How the files begin that nobody who writes a part has written."""

_CHUNK = 64
"""Batches for each worker that are handed out together. Joblib computes ahead of the caller without a limit."""


@dataclass(frozen=True)
class Done:
    """A task that ended, and when it ran."""

    task: Task
    outcome: Outcome
    started: float
    wall_seconds: float
    simulator: str


@dataclass(frozen=True)
class Broken:
    """A task that raised, and what, in words that survive the way between processes."""

    task: Task
    summary: str
    where: str


def available_jobs() -> int:
    """Cores that this process may use, as a container or a scheduler has granted them."""
    return int(joblib.cpu_count())


def ended(
    simulator: Simulator, batches: Iterator[tuple[Task, ...]], *, jobs: int, time_limit: float | None = None
) -> Generator[list[Done | Broken], None, None]:
    """Batches as they end, in any order; closing it stops what is under way.

    Args:
        simulator: does the tasks.
        batches: tasks that go together.
        jobs: worker processes; with 1 and no limit everything runs in this process, and with a limit at least two are
            used, because what hangs here could not be given up.
        time_limit: seconds that one batch may take; ``None`` for no limit.

    Raises:
        TaskError: if a worker process dies, or a batch takes too long.
    """
    if jobs == 1 and time_limit is None:
        threads = torch.get_num_threads()
        try:
            yield from (_attempt(simulator, batch) for batch in batches)
        finally:
            torch.set_num_threads(threads)
        return
    for first in batches:
        chunk = itertools.chain([first], itertools.islice(batches, _CHUNK * jobs - 1))
        workers = jobs if time_limit is None else max(jobs, 2)
        yield from _ended_together(simulator, chunk, jobs=workers, time_limit=time_limit)


def _ended_together(
    simulator: Simulator, batches: Iterator[tuple[Task, ...]], *, jobs: int, time_limit: float | None
) -> Generator[list[Done | Broken], None, None]:
    """The batches of one chunk in worker processes, which stay for the next."""
    with joblib.parallel_config(
        "loky", n_jobs=jobs, inner_max_num_threads=1, initializer=_settle_in, initargs=(os.getpid(),)
    ):
        workers = joblib.Parallel(
            return_as="generator_unordered", batch_size=1, pre_dispatch="2 * n_jobs", timeout=time_limit
        )
        ended = workers(joblib.delayed(_attempt)(simulator, batch) for batch in batches)
    try:
        with warnings.catch_warnings():
            # loky replaces workers whose memory has grown, as it does after large worlds; nothing is lost by it
            warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given to the executor")
            for one in ended:  # noqa: UP028 - `yield from` would close it before the next warning is silenced
                yield one
    except (TimeoutError, multiprocessing.TimeoutError) as error:
        raise TaskError(f"a run did not end within {time_limit:g} s; something in it hangs") from error
    except TerminatedWorkerError as error:
        raise TaskError(
            f"a worker process died, perhaps because memory ran out; try fewer --jobs than {jobs}"
        ) from error
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joblib warns that tasks were still under way
            ended.close()


def _settle_in(parent: int) -> None:
    """Once in each worker: Ctrl-C is the parent's business, and without a parent there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def place(error: BaseException) -> str:
    """Where the author of a part finds what is wrong: a line of theirs, or what they defined; else a line of ours.

    Args:
        error: with its traceback.
    """
    frames = list(zip(traceback.extract_tb(error.__traceback__), traceback.walk_tb(error.__traceback__), strict=True))
    asked = max((at for at, (one, _) in enumerate(frames) if one.filename == third_party.__file__), default=-1)
    theirs = [one for one, _ in frames[asked + 1 :] if _is_the_authors(one.filename)]
    if theirs:
        return f"{theirs[-1].filename}:{theirs[-1].lineno}: `{theirs[-1].line}`"
    found = [frame.f_locals[name] for _, (frame, _) in reversed(frames) for name in _PARTS if name in frame.f_locals]
    return next(filter(None, map(_definition, found)), where(error, machinery=__file__))


_PARTS = ("made", "make")
"""What :mod:`sdpo_ref.simulation.third_party` calls what it was given, and what it asked for that."""


def _is_the_authors(file: str) -> bool:
    return not file.startswith((*NOT_THE_AUTHORS, str(Path(sdpo_ref.__file__).parent)))


def _definition(part: object) -> str:
    """File and line of a function or of an object's class; empty if they are not the author's."""
    defined = inspect.unwrap(part) if inspect.isroutine(part) or inspect.isclass(part) else type(part)
    with suppress(TypeError, OSError):
        file = inspect.getsourcefile(defined) or ""
        line = inspect.getsourcelines(defined)[1]
        return f"{file}:{line}: `{defined.__name__}`" if _is_the_authors(file) else ""
    return ""


def _attempt(simulator: Simulator, batch: Sequence[Task]) -> list[Done | Broken]:
    """One batch on one thread, so that its numbers do not depend on how many run beside it.

    If a batch raises, each of its tasks is tried alone: the others are not lost, and the message names the one.
    """
    torch.set_num_threads(1)
    started, clock = time.time(), time.perf_counter()
    try:
        outcomes = simulator.execute(batch)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, it is reported with the task
        if len(batch) > 1:
            return [one for task in batch for one in _attempt(simulator, (task,))]
        return [Broken(batch[0], summary(error), place(error))]
    seconds = (time.perf_counter() - clock) / len(batch)
    name = simulator.name_for(batch[0].settings)
    return [Done(task, outcome, started, seconds, name) for task, outcome in zip(batch, outcomes, strict=True)]
