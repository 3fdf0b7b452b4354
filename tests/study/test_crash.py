"""A study that is killed again and again ends with what an uninterrupted one has: each task once, to the digit."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sdpo_ref.study.outcome import Outcome
from sdpo_ref.study.runner import run_tasks
from sdpo_ref.study.simulators import alone
from sdpo_ref.study.store import Store
from tests.study import tiny

ROOT = Path(__file__).parent.parent.parent
SEEDS = 100

pytestmark = pytest.mark.slow


def started(path: Path, jobs: int) -> subprocess.Popen[str]:
    """A study in a process of its own, at the moment when its tasks begin."""
    study = subprocess.Popen(
        [sys.executable, "-m", "tests.study.tiny", str(path), str(SEEDS), str(jobs)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert study.stdout is not None
    assert study.stdout.readline() == "running\n"
    return study


def kill(study: subprocess.Popen[str]) -> None:
    """End it at once. Its output ends only when its workers, who have inherited it, have noticed and gone as well."""
    study.send_signal(signal.SIGKILL)
    study.communicate(timeout=30)


def finish(study: subprocess.Popen[str]) -> None:
    """Wait until it is done."""
    study.communicate(timeout=120)
    assert study.returncode == 0


def found(path: Path) -> dict[tuple[float, int], Outcome]:
    """What a store has, after a look at the whole file."""
    with Store(path, read_only=True) as store:
        assert store._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        records = store.records(sorted(store.keys()))
        assert len(records) == len(store.entries())
    return {(record.settings.method.learning_rate, record.seed): record.outcome for record in records}  # type: ignore[union-attr]


@pytest.mark.parametrize(("jobs", "kills", "longest"), [(1, 5, 0.6), (2, 2, 3.0)])
def test_a_study_that_is_killed_goes_on(tmp_path: Path, jobs: int, kills: int, longest: float) -> None:
    """Killed at random moments, it never loses a row that was there, never holds half a one, and ends complete."""
    moments = random.Random(0)  # noqa: S311 - not a secret
    path, whole = tmp_path / "killed.sqlite", tmp_path / "whole.sqlite"
    seen: dict[tuple[float, int], Outcome] = {}
    for _ in range(kills):
        study = started(path, jobs)
        time.sleep(moments.uniform(0.0, longest))
        kill(study)
        now = found(path)
        assert {name: now[name] for name in seen} == seen
        seen = now
    finish(started(path, jobs))
    with Store(whole) as store:
        run_tasks(tiny.tasks(SEEDS), store, jobs=1, simulator=alone(tiny.answer))
    assert found(path) == found(whole)
    assert len(found(path)) == SEEDS * len(tiny.RATES)


def test_two_runners_do_not_meet(tmp_path: Path) -> None:
    """The second is refused while the first is at work, and when that was killed a third goes on."""
    path = tmp_path / "study.sqlite"
    first = started(path, 1)
    second = subprocess.run(
        [sys.executable, "-m", "tests.study.tiny", str(path), str(SEEDS), "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    alive = first.poll() is None
    kill(first)
    assert not alive or "is in use: another study is running into it" in second.stderr
    finish(started(path, 1))
    assert len(found(path)) == SEEDS * len(tiny.RATES)
