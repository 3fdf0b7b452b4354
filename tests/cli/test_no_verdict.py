"""A crash of the program never has the exit code of a verdict, of whatever kind it is and whatever can be printed."""

import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sdpo_ref.cli.main import NO_VERDICT
from sdpo_ref.verification.status import ExitCode
from tests.commands import sdpo_ref

FULL_DEVICE = Path("/dev/full")


def test_no_verdict_has_this_code() -> None:
    """Nor has an interruption, or a process that ended by a signal."""
    assert NO_VERDICT not in {*map(int, ExitCode), 130}
    assert NO_VERDICT < 126


@pytest.mark.parametrize(
    "raised",
    [
        RuntimeError("a fault of ours"),
        OSError(errno.ENOSPC, "No space left on device"),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        FileNotFoundError(errno.ENOENT, "No such file", "printed.txt"),
        EOFError("nothing was read"),
        RecursionError("too deep"),
        MemoryError(),
        AssertionError(),
        KeyError("printed"),
    ],
    ids=lambda raised: type(raised).__name__,
)
def test_whatever_is_raised(monkeypatch: pytest.MonkeyPatch, raised: BaseException) -> None:
    """Typer would make 1, a failed MUST, of a closed pipe and of an end of input; Python of all others."""

    def fail(*_: Any, **__: Any) -> None:
        raise raised

    monkeypatch.setattr("sdpo_ref.cli.spec.Suite.at", fail)
    done = sdpo_ref("spec", "show", "LOSS-001")
    assert done.returncode == NO_VERDICT, done.stderr
    assert "no verdict on any implementation (exit code 70)" in done.stderr
    is_output = isinstance(raised, OSError) and raised.filename is None
    assert ("standard output cannot be written" in done.stderr) == is_output
    assert ("Traceback" in done.stderr) == (not is_output)


@pytest.mark.skipif(not FULL_DEVICE.exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", [["--version"], ["spec", "show", "LOSS-001"]], ids=" ".join)
def test_a_full_disk(arguments: list[str]) -> None:
    """One line, no traceback, and not the code of a failed MUST; Python's own, 120, does not come instead."""
    with FULL_DEVICE.open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sdpo_ref.cli.main", *arguments], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == NO_VERDICT
    assert done.stderr.decode().count("\n") == 1
    assert b"No space left on device" in done.stderr


def test_a_reader_that_leaves() -> None:
    """``sdpo-ref ... | head``: the pipe is closed before anything is written."""
    with subprocess.Popen(
        [sys.executable, "-m", "sdpo_ref.cli.main", "spec", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
    assert process.returncode == NO_VERDICT
    assert b"Broken pipe" in errors
