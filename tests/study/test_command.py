"""``sdpo-ref study`` as a user calls it: run, kill, resume, status, third parties' parts, and wrong calls."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import sdpo_ref

EXPERIMENT = """
name = "mine"
title = "Two methods"
question = "Which one wins in a very small world?"

[[cells]]
labels = { method = "sdpo" }
[cells.settings]
kind = "run"
steps = 2
group_size = 4
world = { prompts = 2, time = 4, vocab = 6 }
method = { method = "sdpo", learning_rate = 0.2 }

[[cells]]
labels = { method = "rloo" }
[cells.settings]
kind = "run"
steps = 2
group_size = 4
world = { prompts = 2, time = 4, vocab = 6 }
method = { method = "rloo", learning_rate = 0.2 }
"""

PARTS = """
import torch
from sdpo_ref.simulation.oracles.build import build_oracle
from sdpo_ref.teachers.weights import LiveTeacher
from sdpo_ref.trainers.rloo import RlooTrainer

def trainer(policy, teacher, *, learning_rate):
    return RlooTrainer(policy, torch.optim.Adam(policy.parameters(), lr=learning_rate))

def oracle(world, settings, *, seed):
    return build_oracle(world, settings, seed=seed)

def teacher(policy, conditioning):
    return LiveTeacher(policy, conditioning)

def late(policy, teacher, *, learning_rate):
    raise RuntimeError("not today")
"""

COMMAND = [sys.executable, "-P", "-m", "sdpo_ref.cli.main", "study"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's folder, 80 columns wide."""
    (tmp_path / "mine.toml").write_text(EXPERIMENT)
    (tmp_path / "my_parts.py").write_text(PARTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


def study(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a sub-command to its end, in this process."""
    return sdpo_ref("study", *words)


def study_alone(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a sub-command to its end in a process of its own, whose workers start in the current folder."""
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False, timeout=120)


def row(status: subprocess.CompletedProcess[str]) -> list[str]:
    """What the status says about the experiment: done, and then what is not zero."""
    (found,) = [line.split() for line in status.stdout.splitlines() if line.startswith("mine ")]
    return found


def begun(*words: str) -> subprocess.Popen[str]:
    """A study that has stored some of its tasks; it leads a process group, as in a terminal."""
    process = subprocess.Popen(
        [*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert "running" in process.stdout.readline()
    assert "tasks" in process.stdout.readline()
    return process


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Children take Ctrl-C, also where the tests run in a script's background: such a shell has SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
def test_run_kill_resume_status() -> None:
    """Ctrl-C ends with 130 and says how to go on, a kill says nothing, and the same command finishes what they left."""
    whole = ("run", "mine.toml", "--seeds", "120", "--jobs", "2", "--simulator", "reference")  # batches end too soon
    stopped = begun(*whole)
    os.killpg(stopped.pid, signal.SIGINT)
    output, errors = stopped.communicate(timeout=30)
    assert stopped.returncode == 130, errors
    assert "tasks are in sdpo-study.sqlite; the same command goes on" in output
    assert "Traceback" not in errors

    killed = begun(*whole)
    time.sleep(0.5)
    killed.kill()
    killed.communicate(timeout=30)
    half = study("status", "mine.toml", "--seeds", "120", "--jobs", "1")
    assert half.returncode == 0
    assert "left: " in half.stdout

    finished = study_alone(*whole)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-1].startswith("done: 240 tasks in sdpo-study.sqlite, ")
    again = study(*whole)
    assert "240 tasks, 240 of them done; running 0" in again.stdout
    after = study("status", "mine.toml", "--seeds", "120")
    assert row(after)[:2] == ["mine", "240/240"]
    assert after.stdout.endswith("all is done\n")


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_third_parties_take_part(tmp_path: Path, jobs: str) -> None:
    """Trainer and teacher stand beside SDPO, the oracle judges, and workers find the user's module."""
    parts = ("--trainer", "my_parts:trainer", "--teacher", "my_parts:teacher", "--oracle", "my_parts:oracle")
    run = study if jobs == "1" else study_alone
    done = run("run", "mine.toml", "--seeds", "2", "--jobs", jobs, *parts)
    assert done.returncode == 0, done.stderr
    assert "done: 8 tasks" in done.stdout
    with_them = study("status", "mine.toml", "--seeds", "2", *parts)
    assert row(with_them)[:2] == ["mine", "8/8"]
    without = study("status", "mine.toml", "--seeds", "2")
    assert row(without) == ["mine", "0/4"]
    (tmp_path / "my_parts.py").write_text(PARTS + "\nVERSION = 2\n")
    newer = study_alone("status", "mine.toml", "--seeds", "2", *parts)
    assert row(newer) == ["mine", "0/8", "8"]
    assert "left: 8 tasks, about " in newer.stdout


def test_a_task_that_raises_is_one_line() -> None:
    """It names the user's line, the seed and the settings."""
    done = study("run", "mine.toml", "--seeds", "1", "--jobs", "1", "--trainer", "my_parts:late")
    assert done.returncode == 2
    assert done.stderr.startswith("error: a task raised RuntimeError: not today (")
    assert "my_parts.py:17: `raise RuntimeError" in done.stderr
    assert 'seed 0 of the run {"world"' in done.stderr
    assert done.stderr.count("\n") == 1
    left = study("status", "mine.toml", "--seeds", "1", "--trainer", "my_parts:late")
    assert row(left)[:2] == ["mine", "1/3"]


@pytest.mark.parametrize(
    ("words", "change", "message"),
    [
        (["F99"], None, "error: no experiment is called 'F99'; did you mean F0"),
        (["mine.toml", "--seeds", "0"], None, "error: received 0 seeds; allowed are 1 to 1000000"),
        (["mine.toml", "--trainer", "nowhere:make"], None, "error: there is no module 'nowhere'; run this from"),
        (["mine.toml", "--store", "mine.toml"], None, "error: the store mine.toml cannot be used: it is a file of an"),
        (["mine.toml", "--store", "."], None, "error: the store . cannot be used: it is a folder"),
        (["mine.toml", "--store", "mine.toml/x"], None, "error: the store mine.toml/x cannot be used: "),
        (["mine.toml"], ("steps = 2", "steps = 0"), "settings.steps: received 0, input should be greater than or"),
        (
            ["mine.toml"],
            ("time = 4,", "thyme = 4,"),
            "settings.world.thyme: there is no such setting; did you mean time",
        ),
    ],
)
def test_a_wrong_call_runs_nothing(
    tmp_path: Path, words: list[str], change: tuple[str, str] | None, message: str
) -> None:
    """Exit code 2, the reason and the fix on standard error, and no store."""
    if change is not None:
        (tmp_path / "mine.toml").write_text(EXPERIMENT.replace(*change))
    done = study("run", *words, "--jobs", "1")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.toml", "my_parts.py"]


def test_status_without_a_store() -> None:
    """All of it would be run; nothing is made by asking."""
    done = study("status", "mine.toml", "--jobs", "2")
    assert done.returncode == 0
    assert "there is no store sdpo-study.sqlite yet" in done.stdout
    assert "left: 10 tasks, no task has been timed yet with 2 jobs" in done.stdout
    assert not Path("sdpo-study.sqlite").exists()


def test_the_study_explains_itself() -> None:
    """Each sub-command is listed with what it does."""
    text = study("--help").stdout
    for name in ("run", "status", "list"):
        assert f"│ {name} " in text
    assert "Usage: sdpo-ref study run" in study("run", "--help").stdout
