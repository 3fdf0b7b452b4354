"""Forked processes are to their parent what started ones are: arguments, folder, output, endings."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import forked

PYTHON = (sys.executable, "-P", "-m")


def outcome(*words: str, folder: Path) -> tuple[int, str, str]:
    """Exit code, output and errors of a program in a folder, where it has a variable of its own."""
    done = subprocess.run(
        [*PYTHON, *words], cwd=folder, env={"COLUMNS": "70"}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        (forked.SANDBOX,),
        ("sdpo_ref.cli.main", "spec", "show", "LOSS-001"),
        ("sdpo_ref.cli.main", "verify", "mine:absent", "--only", "LOSS-001"),
    ],
)
def test_it_does_what_a_new_process_does(words: tuple[str, ...], tmp_path: Path) -> None:
    """What it prints, where, and how it ends; the second process of a command finds the user's module too."""
    (tmp_path / "mine.py").write_text("")
    found = outcome(*words, folder=tmp_path)
    with forked.started_anew():
        assert found == outcome(*words, folder=tmp_path)
    assert found[1] + found[2]


def test_a_killed_one_is_told_from_one_that_ended() -> None:
    """By the number of its signal, at once and for everyone who asks."""
    process = subprocess.Popen(
        [*PYTHON, "sdpo_ref.mutants.selftest.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert type(process).__name__ == "ForkingPopen"
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.01)
    process.kill()
    process.communicate()
    assert (process.returncode, process.poll(), process.wait()) == (-9, -9, -9)


def test_its_session_is_there_when_it_is_told() -> None:
    """So that its whole group can be killed at once; without a group nothing was killed, and a test waited for ever."""
    for _ in range(20):
        process = subprocess.Popen(
            [*PYTHON, "sdpo_ref.mutants.selftest.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            os.killpg(process.pid, signal.SIGKILL)
        finally:
            process.kill()
            process.communicate()
        assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize(("module", "is_forked"), [("sdpo_ref.mutants.selftest.worker", True), (forked.OUTSIDE, False)])
def test_what_runs_outside_any_test_is_started_anew(module: str, *, is_forked: bool) -> None:
    """The usual template has imported pytest, which LOSS-065 forbids."""
    with subprocess.Popen([*PYTHON, module], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        assert (getattr(process, "_exit_status", None) is not None) is is_forked


def test_other_programs_are_started_anew() -> None:
    """Nothing is imported before their first line."""
    program = "import sys; print('torch' in sys.modules, sys.argv)"
    done = subprocess.run([sys.executable, "-c", program, "x"], capture_output=True, text=True, check=True)
    assert done.stdout == "False ['-c', 'x']\n"
