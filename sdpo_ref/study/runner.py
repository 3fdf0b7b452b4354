"""Runs tasks in parallel and stores each one as it finishes; whatever ends a study, what had finished is kept.

Worker processes compute, this process alone writes.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing

from sdpo_ref.errors import TaskError, UsageError
from sdpo_ref.study.experiment import Task
from sdpo_ref.study.provenance import provenance
from sdpo_ref.study.simulators import Simulator, simulator
from sdpo_ref.study.store import Record, Store
from sdpo_ref.study.workers import Broken, Done, ended

_BATCHED = simulator("batched")

_MORE = "what had finished is in the store, and the same command goes on from there"


def pending(tasks: Iterable[Task], store: Store) -> list[Task]:
    """Those that the store does not have, each once, in their order.

    Args:
        tasks: that are wanted; several experiments may share some.
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
    Implements: SIM-146, SIM-147, SIM-177, SIM-178.

    Args:
        tasks: that are wanted.
        store: open for writing.
        jobs: worker processes; with 1 everything runs in this process.
        progress: is shown each record once it is in the store.
        simulator: does the tasks.

    Raises:
        UsageError: if there is no job.
        TaskError: if a task raises; tasks that were handed out are finished and stored first.
        StoreError: if the store cannot be written.
    """
    if jobs < 1:
        raise UsageError(f"received {jobs} jobs; allowed are 1 or more, and one for each core is the default")
    todo = pending(tasks, store)
    broken: list[Broken] = []

    def until_broken() -> Iterator[tuple[Task, ...]]:
        for batch in simulator.batches(todo, jobs=jobs):
            if broken:
                return
            yield batch

    with closing(ended(simulator, until_broken(), jobs=min(jobs, max(len(todo), 1)))) as done:
        for one in itertools.chain.from_iterable(done):
            if isinstance(one, Broken):
                broken.append(one)
            else:
                record = _record(one)
                store.put(record)
                progress(record)
    if broken:
        raise TaskError(
            f"a task raised {broken[0].summary} ({broken[0].where}); it was {_described(broken[0].task)}; {_MORE}"
        )


def _described(task: Task) -> str:
    """What departs from the defaults, and always the method."""
    settings = task.settings.model_dump(mode="json", exclude_defaults=True)
    if task.settings.kind == "run":
        settings["method"] = task.settings.method.model_dump(mode="json")
    return f"seed {task.seed} of the {task.settings.kind} {json.dumps(settings)}"


def _record(done: Done) -> Record:
    return Record(
        key=done.task.key,
        settings=done.task.settings,
        seed=done.task.seed,
        outcome=done.outcome,
        provenance=provenance(started=done.started, wall_seconds=done.wall_seconds, simulator=done.simulator),
    )
