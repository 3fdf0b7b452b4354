"""Runs of an external trainer in isolation: the same numbers, no network, and nothing left behind."""

import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from sdpo_ref.claims.comparison import comparisons
from sdpo_ref.claims.records import released_claims
from sdpo_ref.claims.runs import BUNDLED, Fresh, RunName
from sdpo_ref.errors import TaskError
from sdpo_ref.verification.isolation import isolated_runs
from sdpo_ref.verification.isolation.isolated_runs import IsolatedRuns

README = Path(__file__).parent.parent.parent / "README.md"
FETCHES = """
import socket
from types import SimpleNamespace

def trainer(policy, teacher, *, learning_rate):
    socket.create_connection(("192.0.2.1", 80), 5)

def make():
    return SimpleNamespace(trainer=trainer, capabilities={"trainer"})
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go, while the working directory is a user's with two trainers; it is empty afterwards."""
    user, folder = tmp_path / "user", tmp_path / "temporary"
    user.mkdir()
    folder.mkdir()
    (block,) = re.findall(r"^```python\n# my_trainer\.py\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    (user / "my_trainer.py").write_text(block)
    (user / "fetches.py").write_text(FETCHES)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(user)
    yield folder
    assert list(folder.iterdir()) == []
    assert sorted(path.name for path in user.iterdir()) == ["fetches.py", "my_trainer.py"]


def asked(variant: str = "") -> RunName:
    """The first run of F01."""
    claim = released_claims()["F01"]
    return RunName(claim.seeds, 0, comparisons(claim.part("level"))[0].cells[0], variant)


def isolated(implementation: str, budget: float | None = None) -> contextlib.closing[IsolatedRuns]:
    """A source that is closed at the end."""
    return contextlib.closing(
        IsolatedRuns(
            implementation,
            offers={"trainer"},
            jobs=1,
            memory=4.0,
            time_limit=120.0,
            budget=budget,
            progress=lambda _done, _all: None,
        )
    )


HANGS = 'import time; print(\'{"done": 0, "runs": 1}\', flush=True); time.sleep(600)'


def test_a_run_ends_with_the_budget(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is under way is stopped, and what was not reached has no numbers: a loaded machine gets no more time."""

    def start(_module: str, _home: Path, _memory: float, printed: BinaryIO) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-S", "-c", HANGS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
            start_new_session=True,
            text=True,
        )

    monkeypatch.setattr(isolated_runs, "start_isolated", start)
    began = time.monotonic()
    with isolated("any:thing", budget=1.0) as source:
        assert source.values([asked()]) == {}
        assert source._process.returncode == -signal.SIGKILL
        assert source.values([asked()]) == {}
    assert 1.0 <= time.monotonic() - began < 60.0


@pytest.mark.slow
def test_the_numbers_are_those_of_a_run_here(temporary: Path) -> None:
    """The way through JSON changes no bit; a second question is answered by the same process."""
    run = asked(BUNDLED)
    here = Fresh(None, 1).values([run])[run]
    with isolated("my_trainer:make") as source:
        assert source.values([run])[run] == here
        assert source.values([run, asked()])[run] == here


@pytest.mark.slow
def test_a_trainer_finds_no_network(temporary: Path) -> None:
    """Its attempt ends as its own exception, by name."""
    with isolated("fetches:make") as source, pytest.raises(TaskError, match="there is no network while"):
        source.values([asked()])


@pytest.mark.slow
def test_without_time_no_run_is_begun(temporary: Path) -> None:
    """A budget of nothing has no metrics, and is no error."""
    with isolated("my_trainer:make", budget=0.0) as source:
        assert source.values([asked()]) == {}


@pytest.mark.slow
def test_a_process_that_ends_is_an_error(temporary: Path) -> None:
    """A request to a process that has ended is an error at once."""
    with isolated("my_trainer:make") as source:
        source._process.kill()
        with pytest.raises(TaskError, match="the process that trains ended with exit code -9"):
            source.values([asked()])
