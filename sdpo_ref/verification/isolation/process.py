"""One worker process as the runner sees it: started in its own process group, read by a thread, killed as a group."""

import contextlib
import os
import re
import secrets
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

from sdpo_ref.verification.isolation.events import Event, Forged, Order, decode
from sdpo_ref.verification.isolation.run import Request
from sdpo_ref.verification.isolation.sandbox import SCRATCH

_SANDBOX = "sdpo_ref.verification.isolation.sandbox"
_WORKER = "sdpo_ref.verification.isolation.worker"
_LONGEST_EVENT = 1 << 24
_LONGEST_END = 1 << 16
_LONGEST_QUOTE = 80
_FRAMES = 6
_MACHINERY = re.compile(
    r"[/\\](_pytest|pluggy|importlib|sdpo_ref[/\\]verification)[/\\]|<frozen |[/\\]sdpo_ref[/\\]_\w+\.py"
)
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

    What it prints is read through a descriptor that is kept from the start, never by path: the implementation may
    delete the file, or put a pipe in its place that nobody writes into. A line counts as an event if it begins with the
    secret that this worker was given, and comes where an event of its kind can come.

    Attributes:
        request: what it runs.
        check: the check that it is in, or ``None``.
        last_check: the check that it began last, or ``None``.
        last_event: when it last sent an event, in seconds of the monotonic clock.
    """

    def __init__(
        self, request: Request, memory: float, home: Path, listener: Callable[["WorkerProcess", Event | None], None]
    ) -> None:
        """Start it; ``listener`` is called from another thread with each event, and with ``None`` at the end."""
        self.request = request
        self.check: str | None = None
        self.last_check: str | None = None
        self.last_event = time.monotonic()
        self._secret = secrets.token_hex(16)
        self._order = Order()
        self._own = Path(tempfile.mkdtemp(prefix="worker-", dir=home))
        self._printed = tempfile.TemporaryFile(prefix="printed-", dir=home)  # noqa: SIM115 - closed by `kill`
        self._end_of_printed = ""
        self._process = start_isolated(_WORKER, self._own, memory, self._printed)
        threading.Thread(target=self._read, args=(listener,), daemon=True).start()
        stdin = self._process.stdin
        if stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                stdin.write(f"{self._secret} {request.encode()}\n")
                stdin.flush()

    @property
    def has_closed(self) -> bool:
        """Whether it has said that all checks of its share are done."""
        return self._order.has_closed

    def _read(self, listener: Callable[["WorkerProcess", Event | None], None]) -> None:
        if self._process.stdout is not None:
            with self._process.stdout as lines:
                while line := lines.readline(_LONGEST_EVENT):
                    listener(self, self._event(line))
        listener(self, None)

    def _event(self, line: str) -> Event:
        """The event in a line; :class:`Forged` where something else than this worker has written it."""
        secret, _, text = line.partition(" ")
        if secret != self._secret:
            return Forged(line[:_LONGEST_QUOTE])
        try:
            event = decode(text)
        except ValueError:
            return Forged(text[:_LONGEST_QUOTE])
        return event if self._order.allows(event) else Forged(text[:_LONGEST_QUOTE])

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
        self._end_of_printed = self.printed()
        self._printed.close()
        shutil.rmtree(self._own, ignore_errors=True)

    def where(self) -> str:
        """Its current stack, innermost call first; empty if it does not answer."""
        before = self._size_of_printed()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGUSR1)
        deadline = time.monotonic() + _SECONDS_FOR_STACK
        while self._size_of_printed() == before and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.last_stack()

    def last_stack(self) -> str:
        """The last stack that Python wrote on a crash or a signal, innermost call first."""
        _, found, stack = self.printed().rpartition("(most recent call first)")
        frames = re.findall(r"^  (File .+)$", stack, re.MULTILINE) if found else []
        return "\n".join([frame for frame in frames if not _MACHINERY.search(frame)][:_FRAMES])

    def printed(self) -> str:
        """The end of what went to its standard output and error outside of checks."""
        if self._printed.closed:
            return self._end_of_printed
        begin = max(0, self._size_of_printed() - _LONGEST_END)
        return os.pread(self._printed.fileno(), _LONGEST_END, begin).decode("utf-8", "replace")

    def _size_of_printed(self) -> int:
        return os.fstat(self._printed.fileno()).st_size

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
