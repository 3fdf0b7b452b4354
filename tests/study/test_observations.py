"""Observations are what the store has of an experiment, in the order of cells and seeds."""

from pathlib import Path

from sdpo_ref.study.observations import observations
from sdpo_ref.study.runner import run_tasks
from sdpo_ref.study.simulators import alone
from sdpo_ref.study.store import Store
from tests.study import tiny


def test_they_come_cell_by_cell(tmp_path: Path) -> None:
    """Labels and seeds go through the cells, and in each through the seeds in the given order."""
    with Store(tmp_path / "s") as store:
        run_tasks(tiny.tasks(3), store, jobs=1, simulator=alone(tiny.answer))
        seen = observations(tiny.experiment(), (2, 0), store)
    assert [(one.labels["rate"], one.seed) for one in seen] == [(0.1, 2), (0.1, 0), (0.2, 2), (0.2, 0)]
    assert [one.outcome for one in seen] == [
        tiny.answer(tiny.settings(rate), seed) for rate in (0.1, 0.2) for seed in (2, 0)
    ]


def test_what_is_not_there_is_left_out(tmp_path: Path) -> None:
    """A study that was stopped shows what it has; failed tasks are there."""
    with Store(tmp_path / "s") as store:
        assert observations(tiny.experiment(), (0, 1), store) == []
        run_tasks(tiny.tasks(1), store, jobs=1, simulator=alone(tiny.diverges))
        seen = observations(tiny.experiment(), (0, 1), store)
    assert [(one.labels["rate"], one.seed, one.outcome.error) for one in seen] == [
        (rate, 0, "the policy of seed 0 is not finite") for rate in (0.1, 0.2)
    ]


def test_cells_that_share_a_task_both_have_it(tmp_path: Path) -> None:
    """Two cells with other labels and equal settings are one task and two observations."""
    one = tiny.experiment()
    twin = one.cells[0].model_copy(update={"labels": {"rate": "the first again"}})
    both = one.model_copy(update={"cells": (*one.cells, twin)})
    with Store(tmp_path / "s") as store:
        run_tasks(both.tasks((0,)), store, jobs=1, simulator=alone(tiny.answer))
        assert len(store.keys()) == 2
        seen = observations(both, (0,), store)
    assert [observed.labels["rate"] for observed in seen] == [0.1, 0.2, "the first again"]
    assert seen[0].outcome == seen[2].outcome
