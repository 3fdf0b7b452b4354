"""Runs tasks in parallel and stores each one as it finishes; whatever ends a study, what had finished is kept.

Worker processes compute, this process alone writes. A simulator says which tasks go together; these batches are handed
out in chunks, so memory does not grow with their number.
"""

import itertools
import json
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import torch

from sdpo_ref.errors import TaskError, UsageError
from sdpo_ref.loading import summary, where
from sdpo_ref.study.extra import needed
from sdpo_ref.study.outcome import Outcome
from sdpo_ref.study.provenance import provenance
from sdpo_ref.study.record import Record
from sdpo_ref.study.simulators import Simulator, simulator
from sdpo_ref.study.store import Store
from sdpo_ref.study.task import Task

_CHUNK = 64
"""Batches for each worker that are handed out together. Joblib computes ahead of whoever stores, without a limit."""

_BATCHED = simulator("batched")

_MORE = "what had finished is in the store, and the same command goes on from there"


@dataclass(frozen=True)
class _Done:
    """A task that ended, and when it ran."""

    task: Task
    outcome: Outcome
    started: float
    wall_seconds: float
    simulator: str


@dataclass(frozen=True)
class _Broken:
    """A task that raised, and what, in words that survive the way between processes."""

    task: Task
    summary: str
    where: str


def pending(tasks: Iterable[Task], store: Store) -> list[Task]:
    """Those that the store does not have, each once, in their order.

    Args:
        tasks: that are asked for; several experiments may ask for the same.
        store: to look in.
    """
    there = store.keys()
    return list({task.key: task for task in tasks if task.key not in there}.values())


def run_tasks(
    tasks: Iterable[Task],
    store: Store,
    *,
    jobs: int,
    progress: Callable[[Record], None] = lambda _record: None,
    simulator: Simulator = _BATCHED,
) -> None:
    """Run what the store does not have, and put each outcome into it.

    An outcome that holds an error is an outcome: it is stored and not tried again.
    Implements: SIM-146, SIM-147, SIM-148.

    Args:
        tasks: that are asked for.
        store: open for writing.
        jobs: worker processes; with 1 everything runs in this process.
        progress: is shown each record once it is in the store.
        simulator: does the tasks.

    Raises:
        UsageError: if there is no job.
        UnsupportedError: if joblib is not installed and there are several jobs.
        TaskError: if a task raises; tasks that were handed out are finished and stored first.
        StoreError: if the store cannot be written.
    """
    if jobs < 1:
        raise UsageError(f"received {jobs} jobs; allowed are 1 or more, and one for each core is the default")
    todo = pending(tasks, store)
    broken: list[_Broken] = []

    def until_broken() -> Iterator[tuple[Task, ...]]:
        for batch in simulator.batches(todo, jobs=jobs):
            if broken:
                return
            yield batch

    with closing(_ended(simulator, until_broken(), jobs=min(jobs, max(len(todo), 1)))) as ended:
        for one in itertools.chain.from_iterable(ended):
            if isinstance(one, _Broken):
                broken.append(one)
            else:
                record = _record(one)
                store.put(record)
                progress(record)
    if broken:
        raise TaskError(
            f"a task raised {broken[0].summary} ({broken[0].where}); it was {_described(broken[0].task)}; {_MORE}"
        )


def available_jobs() -> int:
    """Cores that this process may use, as a container or a scheduler has granted them."""
    return int(needed("joblib").cpu_count())


def _ended(
    simulator: Simulator, batches: Iterator[tuple[Task, ...]], *, jobs: int
) -> Generator[list[_Done | _Broken], None, None]:
    """Batches as they end, in any order; closing it stops what is under way."""
    if jobs == 1:
        threads = torch.get_num_threads()
        try:
            yield from (_attempt(simulator, batch) for batch in batches)
        finally:
            torch.set_num_threads(threads)
        return
    for first in batches:
        chunk = itertools.chain([first], itertools.islice(batches, _CHUNK * jobs - 1))
        yield from _ended_together(simulator, chunk, jobs=jobs)


def _ended_together(
    simulator: Simulator, batches: Iterator[tuple[Task, ...]], *, jobs: int
) -> Generator[list[_Done | _Broken], None, None]:
    """The batches of one chunk in worker processes, which stay for the next."""
    joblib = needed("joblib")
    with joblib.parallel_config(
        "loky", n_jobs=jobs, inner_max_num_threads=1, initializer=_settle_in, initargs=(os.getpid(),)
    ):
        workers = joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="2 * n_jobs")
        ended = workers(joblib.delayed(_attempt)(simulator, batch) for batch in batches)
    try:
        with warnings.catch_warnings():
            # loky replaces workers whose memory has grown, as it does after large worlds; nothing is lost by it
            warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given to the executor")
            for one in ended:  # noqa: UP028 - `yield from` would close it before the next warning is silenced
                yield one
    except joblib.externals.loky.process_executor.TerminatedWorkerError as error:
        raise TaskError(
            f"a worker process died, perhaps because memory ran out; try fewer --jobs than {jobs}; {_MORE}"
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


def _attempt(simulator: Simulator, batch: Sequence[Task]) -> list[_Done | _Broken]:
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
        return [_Broken(batch[0], summary(error), where(error, machinery=__file__))]
    seconds = (time.perf_counter() - clock) / len(batch)
    name = simulator.name_for(batch[0].settings)
    return [_Done(task, outcome, started, seconds, name) for task, outcome in zip(batch, outcomes, strict=True)]


def _described(task: Task) -> str:
    """What departs from the defaults, and always the method."""
    settings = task.settings.model_dump(mode="json", exclude_defaults=True)
    if task.settings.kind == "run":
        settings["method"] = task.settings.method.model_dump(mode="json")
    return f"seed {task.seed} of the {task.settings.kind} {json.dumps(settings)}"


def _record(done: _Done) -> Record:
    return Record(
        key=done.task.key,
        settings=done.task.settings,
        seed=done.task.seed,
        outcome=done.outcome,
        provenance=provenance(started=done.started, wall_seconds=done.wall_seconds, simulator=done.simulator),
    )
