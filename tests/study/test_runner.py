"""The runner does each task once, keeps what has finished whatever happens, and names the task that broke."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sdpo_ref.errors import StoreError, TaskError, UsageError
from sdpo_ref.study.experiment import Task
from sdpo_ref.study.runner import pending, run_tasks
from sdpo_ref.study.simulators import Simulator, alone
from sdpo_ref.study.store import Record, Store
from sdpo_ref.study.workers import available_jobs
from tests.study import tiny


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with Store(tmp_path / "study.sqlite") as opened:
        yield opened


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_task_is_answered_once(store: Store, jobs: int) -> None:
    """Whatever the number of workers, the outcomes are those of the tasks, and each is shown once it is stored."""
    shown: list[str] = []

    def show(record: Record) -> None:
        assert store.outcomes([record.key]) == {record.key: record.outcome}
        shown.append(record.key)

    asked = tiny.tasks(10)
    run_tasks([*asked, *asked], store, jobs=jobs, simulator=alone(tiny.answer), progress=show)
    assert sorted(shown) == sorted(task.key for task in asked)
    assert store.outcomes(shown) == {task.key: tiny.answer(task.settings, task.seed) for task in asked}
    for task, record in zip(asked, store.records([task.key for task in asked]), strict=True):
        assert (record.settings, record.seed) == (task.settings, task.seed)
        assert 0 <= record.provenance.wall_seconds < 10


def test_what_is_there_is_not_done_again(store: Store) -> None:
    """The second time nothing runs; a task that another experiment shares runs once."""
    run_tasks(tiny.tasks(2), store, jobs=1, simulator=alone(tiny.answer))
    shown: list[Record] = []
    run_tasks(tiny.tasks(3), store, jobs=1, simulator=alone(tiny.answer), progress=shown.append)
    assert {record.seed for record in shown} == {2}
    assert pending(tiny.tasks(4), store) == [task for task in tiny.tasks(4) if task.seed == 3]


def test_tasks_that_end_early_are_outcomes(store: Store) -> None:
    """They are stored, and not tried again."""
    run_tasks(tiny.tasks(2), store, jobs=1, simulator=alone(tiny.diverges))
    assert all(entry.failed for entry in store.entries())
    run_tasks(tiny.tasks(2), store, jobs=1, simulator=alone(tiny.answer))
    assert len([entry for entry in store.entries() if entry.failed]) == 4


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_task_that_raises_is_named(store: Store, jobs: int) -> None:
    """Settings, seed, what and where; what had finished is there, the rest is not started, and it goes on later."""
    message = (
        r"a task raised KeyError: 'no such tensor' \(.*tiny.py:\d+: `raise KeyError.*`\); it was seed 3 of the run "
        r'\{"method": \{"method": "rloo", .*\}\}; what had finished is in the store'
    )
    asked = tiny.tasks(100)
    with pytest.raises(TaskError, match=message):
        run_tasks(asked, store, jobs=jobs, simulator=alone(tiny.fails_at_three))
    seeds = {entry.seed for entry in store.entries()}
    assert {0, 1, 2} <= seeds
    assert 3 not in seeds
    assert len(seeds) < (5 if jobs == 1 else 70)
    run_tasks(asked, store, jobs=1, simulator=alone(tiny.answer))
    assert len(store.keys()) == 200


def test_a_batch_that_raises_loses_its_mistake_alone(store: Store) -> None:
    """Its tasks are tried one by one: the message names the one that broke, and the others are stored."""
    one_seed_is_wrong = Simulator(tiny.together, tiny.one_batch)
    with pytest.raises(TaskError, match=r"it was seed 3 of the run"):
        run_tasks(tiny.tasks(6), store, jobs=1, simulator=one_seed_is_wrong)
    assert {entry.seed for entry in store.entries()} == {0, 1, 2, 4, 5}


def test_what_is_under_way_is_kept_when_another_task_raises(store: Store) -> None:
    """A slow task that had been started before the one that breaks is waited for, and the queue is not."""
    one, two = Task(tiny.settings(), 0), Task(tiny.settings(), 3)
    later = [Task(tiny.settings(), seed) for seed in range(4, 40)]
    with pytest.raises(TaskError):
        run_tasks([one, two, *later], store, jobs=2, simulator=alone(tiny.slow_beside_a_mistake))
    assert one.key in store.keys()  # noqa: SIM118 - a store is no mapping
    assert len(store.keys()) < 8


@pytest.mark.slow
def test_a_worker_that_dies_is_reported(store: Store) -> None:
    """As when memory runs out; the same command goes on."""
    with pytest.raises(TaskError, match=r"a worker process died, perhaps because memory ran out; try fewer --jobs"):
        run_tasks(tiny.tasks(20), store, jobs=2, simulator=alone(tiny.dies))
    run_tasks(tiny.tasks(20), store, jobs=2, simulator=alone(tiny.answer))
    assert len(store.keys()) == 40


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_ends_the_study(store: Store, jobs: int) -> None:
    """The store's error comes through, and what it has stays."""
    store._connection.execute("PRAGMA max_page_count = 20")
    with pytest.raises(StoreError, match="the disk is full"):
        run_tasks(tiny.tasks(30), store, jobs=jobs, simulator=alone(tiny.answer))
    there = {entry.key for entry in store.entries()}
    assert 0 < len(there) < 60
    store._connection.execute("PRAGMA max_page_count = 10000")
    run_tasks(tiny.tasks(30), store, jobs=1, simulator=alone(tiny.answer))
    assert len(store.keys()) == 60


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_keeps_what_has_finished(store: Store, jobs: int) -> None:
    """The interrupt goes to the caller at once, without a warning about what was under way."""

    def stop(_record: Record) -> None:
        if len(store.keys()) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tasks(tiny.tasks(50), store, jobs=jobs, simulator=alone(tiny.slow), progress=stop)
    assert len(store.keys()) == 5


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_task_has_one_thread(store: Store, jobs: int) -> None:
    """In a worker and in this process, which has its own number back afterwards."""
    torch.set_num_threads(2)
    try:
        run_tasks(tiny.tasks(2), store, jobs=jobs, simulator=alone(tiny.threads))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    found = [outcome.metrics for outcome in store.outcomes(store.keys()).values()]
    assert {one["threads"] for one in found} == {1}
    assert (os.getpid() in {one["process"] for one in found}) == (jobs == 1)


def test_no_jobs_are_refused(store: Store) -> None:
    """Zero workers would never be done; by default there is one for each core."""
    with pytest.raises(UsageError, match="received 0 jobs; allowed are 1 or more"):
        run_tasks(tiny.tasks(1), store, jobs=0, simulator=alone(tiny.answer))
    assert available_jobs() >= 1
