"""One worker process as the runner sees it: started in its own process group, read by a thread, killed as a group."""

import contextlib
import os
import re
import shutil
import signal
import site
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from sdpo_ref.verification.isolation.events import Event, decode
from sdpo_ref.verification.isolation.run import Request
from sdpo_ref.verification.isolation.sandbox import SCRATCH

_SANDBOX = "sdpo_ref.verification.isolation.sandbox"
_WORKER = "sdpo_ref.verification.isolation.worker"
_LONGEST_EVENT = 1 << 24
_LONGEST_END = 1 << 16
_FRAMES = 6
_MACHINERY = re.compile(r"[/\\](_pytest|pluggy|sdpo_ref[/\\]verification)[/\\]")
_SECONDS_FOR_STACK = 1.0


def isolated_environment(home: Path) -> dict[str, str]:
    """Environment in which nothing is downloaded, nothing is written beside the user, and no setting leaks in."""
    inherited = {name: text for name, text in os.environ.items() if name not in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")}
    return inherited | {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TRL_EXPERIMENTAL_SILENCE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(home / "hypothesis"),
        "TMPDIR": str(home),
    }


def environment_with_own_home(home: Path) -> dict[str, str]:
    """The isolated environment with a home of its own, so that caches are removed at the end.

    Packages in the user's own site directory stay importable.

    Args:
        home: an empty folder inside one that is removed at the end.
    """
    folders = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "JOBLIB_TEMP_FOLDER")
    own = dict.fromkeys(folders, str(home))
    return isolated_environment(home) | own | {"PYTHONUSERBASE": site.getuserbase(), SCRATCH: str(home.parent)}


def start_isolated(module: str, home: Path, memory: float, printed: BinaryIO) -> subprocess.Popen[str]:
    """Start ``MODULE.main`` in its own process group, isolated by :mod:`sdpo_ref.verification.isolation.sandbox`.

    Args:
        module: whose ``main`` takes the isolation in force, by subject.
        home: an empty folder for whatever it writes, inside one that is removed at the end.
        memory: of each process, in GiB.
        printed: receives its standard error.
    """
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-m", _SANDBOX, module, str(memory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=printed,
        env=environment_with_own_home(home),
        start_new_session=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    )


class WorkerProcess:
    """A running worker process and its state.

    Attributes:
        request: what it runs.
        check: the check that it is in, or ``None``.
        last_event: when it last sent an event, in seconds of the monotonic clock.
    """

    def __init__(
        self, request: Request, memory: float, home: Path, listener: Callable[["WorkerProcess", Event | None], None]
    ) -> None:
        """Start it; ``listener`` is called from another thread with each event, and with ``None`` at the end."""
        self.request = request
        self.check: str | None = None
        self.last_event = time.monotonic()
        self._own = Path(tempfile.mkdtemp(prefix="worker-", dir=home))
        self._printed = self._own.with_suffix(".txt")
        with self._printed.open("wb") as printed:
            self._process = start_isolated(_WORKER, self._own, memory, printed)
        threading.Thread(target=self._read, args=(listener,), daemon=True).start()
        stdin = self._process.stdin
        if stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                stdin.write(f"{request.encode()}\n")
                stdin.flush()

    def _read(self, listener: Callable[["WorkerProcess", Event | None], None]) -> None:
        if self._process.stdout is not None:
            with self._process.stdout as lines:
                while line := lines.readline(_LONGEST_EVENT):
                    with contextlib.suppress(ValueError):
                        listener(self, decode(line))
        listener(self, None)

    def is_silent_for(self, seconds: float) -> bool:
        """Whether it has sent nothing for longer than this."""
        return time.monotonic() - self.last_event > seconds

    def kill(self) -> None:
        """Terminate it with its children, and remove what it wrote; harmless if it has ended."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        shutil.rmtree(self._own, ignore_errors=True)

    def where(self) -> str:
        """Its current stack, innermost call first; empty if it does not answer."""
        before = self._printed.stat().st_size
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGUSR1)
        deadline = time.monotonic() + _SECONDS_FOR_STACK
        while self._printed.stat().st_size == before and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.last_stack()

    def last_stack(self) -> str:
        """The last stack that Python wrote on a crash or a signal, innermost call first."""
        _, found, stack = self.printed().rpartition("(most recent call first)")
        frames = re.findall(r"^  (File .+)$", stack, re.MULTILINE) if found else []
        return "\n".join([frame for frame in frames if not _MACHINERY.search(frame)][:_FRAMES])

    def printed(self) -> str:
        """The end of what went to its standard output and error outside of checks."""
        with self._printed.open("rb") as file:
            file.seek(max(0, self._printed.stat().st_size - _LONGEST_END))
            return file.read().decode("utf-8", "replace")

    def ending(self) -> str:
        """How it ended, in words."""
        code = self._process.wait()
        if code >= 0:
            return f"exit code {code}"
        if -code == signal.SIGKILL:
            return "signal SIGKILL, perhaps because the machine ran out of memory"
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"
