"""Processes that need not import PyTorch: forked from a template that has done it, in a session of tests.

``sdpo-ref`` runs a third party's code in processes of its own, and a new Python imports PyTorch for three CPU seconds.
A session has hundreds of them, so :func:`installed` lets ``subprocess`` fork those of MODULES from a template. From
``main`` on the same lines run in the same order as in a new one, isolation first. Where the start itself is tested
Python is started anew: see :func:`started_anew`. So is every other program that a test starts.

This file is also the template's program, ``python -P forked.py FD MODULE...``: it imports the modules, then forks one
process for each message on the socket FD. Each of these keeps a template of its own for what it starts in turn, made
when it begins; one that isolates itself makes it inside, before the implementation is loaded.
"""

import contextlib
import inspect
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

SANDBOX = "sdpo_ref.verification.isolation.sandbox"
OUTSIDE = "sdpo_ref.verification.checks.outside"
MODULES: Mapping[str, str] = {
    SANDBOX: "_main",
    OUTSIDE: "_main",
    "sdpo_ref.verification.checks.processes": "_main",
    "sdpo_ref.mutants.selftest.worker": "main",
    "sdpo_ref.cli.main": "main",
    "tests.study.tiny": "main",
    "tests.verification.subsets": "main",
}
"""What is forked where ``python [-P] -m MODULE`` is started, and the function that is the program."""

SUITE = ("sdpo_ref.verification.isolation.worker", "sdpo_ref.verification.isolation.run_worker", "sdpo_ref.bundled")
"""Imported by the usual template: PyTorch, pytest and Hypothesis come with them."""

_SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
}
"""Read by libraries while they are imported; a process that isolates itself has the same ones."""

_STATUS = struct.Struct("i")
_LONGEST = 1 << 17


class Template:
    """A process that forks, as seen by the one that asks it to.

    Args:
        control: the socket between them.
        process: that was started for it, if it is no fork of this one.
        imported: whether a module had been imported when it began to serve.
    """

    def __init__(
        self, control: socket.socket, imported: Callable[[str], bool], process: subprocess.Popen[bytes] | None = None
    ) -> None:
        self.imported = imported
        self._control = control
        self._process = process
        self._lock = threading.Lock()

    @classmethod
    def started(cls, modules: Sequence[str]) -> "Template":
        """A new Python that imports some modules first."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = _PLAIN(
                [sys.executable, "-P", __file__, str(theirs.fileno()), *modules],
                env={**os.environ, **_SETTINGS},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        return cls(ours, lambda module: modules == SUITE or module in modules, process)

    @classmethod
    def of_this_process(cls) -> "Template":
        """A fork of this process as it is now; it ends with it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        imported = frozenset(sys.modules)
        if os.fork() == 0:
            ours.close()
            _serve(theirs)
        theirs.close()
        return cls(ours, imported.__contains__)

    def fork(self, request: Mapping[str, object], descriptors: Sequence[int]) -> int:
        """Fork a process; its id.

        Args:
            request: module, arguments, folder, environment, whether it leads a session.
            descriptors: standard input, output and error, and where its exit status is to be written.
        """
        with self._lock:
            socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
            answer = self._control.recv(_LONGEST)
        if not answer:
            raise OSError("the template of processes has ended; its last words are above")
        return int(answer)

    def close(self) -> None:
        """Let it end."""
        self._control.close()
        if self._process is not None:
            self._process.wait()


_PLAIN = subprocess.Popen
_ARGUMENTS = inspect.signature(_PLAIN._execute_child)  # type: ignore[attr-defined]


class ForkingPopen(subprocess.Popen[Any]):
    """``subprocess.Popen`` that forks MODULES from the template in force, and starts all else as ever."""

    template: Callable[[], Template]
    _exit_status: int | None = None

    def _execute_child(self, *arguments: Any) -> None:
        given = _ARGUMENTS.bind(self, *arguments).arguments
        asked = _asked_for(given["args"])
        if asked is None or (asked[0] == OUTSIDE and type(self).template().imported("pytest")):
            super()._execute_child(*arguments)  # type: ignore[misc]
            return
        module, words, safe = asked
        status, write_status = os.pipe()
        ends = [given[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")]
        try:
            self.pid = (
                type(self)
                .template()
                .fork(
                    {
                        "module": module,
                        "words": words,
                        "safe": safe,
                        "folder": os.fspath(given["cwd"] or Path.cwd()),
                        "environment": dict(os.environ if given["env"] is None else given["env"]),
                        "session": bool(given["start_new_session"]),
                    },
                    [*(own if end == -1 else end for own, end in enumerate((ends[0], ends[3], ends[5]))), write_status],
                )
            )
        finally:
            os.close(write_status)
            self._close_pipe_fds(*ends)  # type: ignore[attr-defined]
        self._exit_status = status
        self._child_created = True

    def _try_wait(self, flags: int) -> tuple[int, int]:
        if self._exit_status is None:
            found: tuple[int, int] = super()._try_wait(flags)  # type: ignore[misc]
            return found
        if flags & os.WNOHANG and not select.select([self._exit_status], [], [], 0)[0]:
            return 0, 0
        written = os.read(self._exit_status, _STATUS.size)
        os.close(self._exit_status)
        return self.pid, _STATUS.unpack(written)[0] if written else signal.SIGKILL

    def _internal_poll(self, *arguments: Any, **keywords: Any) -> int | None:
        if self._exit_status is None:
            code: int | None = super()._internal_poll(*arguments, **keywords)  # type: ignore[misc]
            return code
        with self._waitpid_lock:  # type: ignore[attr-defined]
            if self.returncode is None:
                pid, status = self._try_wait(os.WNOHANG)
                if pid == self.pid:
                    self._handle_exitstatus(status)  # type: ignore[attr-defined]
        return self.returncode


@contextlib.contextmanager
def installed(*modules: str) -> Iterator[None]:
    """Processes of MODULES are forked; the template is started for the first of them.

    Args:
        modules: imported by the template; those of the suite if none are named.
    """
    started: list[Template] = []
    lock = threading.Lock()

    def template() -> Template:
        with lock:
            if not started:
                started.append(Template.started(modules or SUITE))
        return started[0]

    before = subprocess.Popen
    subprocess.Popen = _forking(template)  # type: ignore[misc]
    try:
        yield
    finally:
        subprocess.Popen = before  # type: ignore[misc]
        for each in started:
            each.close()


@contextlib.contextmanager
def started_anew() -> Iterator[None]:
    """Python is started for every process, as it is for a user."""
    before = subprocess.Popen
    subprocess.Popen = _PLAIN  # type: ignore[misc]
    try:
        yield
    finally:
        subprocess.Popen = before  # type: ignore[misc]


def _forking(template: Callable[[], Template]) -> type[ForkingPopen]:
    return type("ForkingPopen", (ForkingPopen,), {"template": staticmethod(template)})


def _asked_for(command: object) -> tuple[str, list[str], bool] | None:
    """Module, arguments, and whether the working directory is not searched; None for anything that is not forked."""
    if not isinstance(command, list | tuple) or not command or command[0] != sys.executable:
        return None
    words = list(map(str, command[1:]))
    safe = words[:1] == ["-P"]
    words = words[safe:]
    return (words[1], words[2:], safe) if words[:1] == ["-m"] and words[1] in MODULES else None


def _fork_what_is_started() -> None:
    """Make a template of this process, which must have one thread, for what it starts later."""
    inside = Template.of_this_process()
    subprocess.Popen = _forking(lambda: inside)  # type: ignore[misc]


def _run(module: str) -> None:
    """Be that module's program."""
    found: Any = import_module(module)
    if module != SANDBOX:
        _fork_what_is_started()
        getattr(found, MODULES[module])()
        return
    isolate = found.isolate

    def then_make_a_template(memory: float) -> dict[str, str]:
        isolation: dict[str, str] = isolate(memory)
        _fork_what_is_started()
        return isolation

    found.isolate = then_make_a_template
    found._main(sys.argv[1:])


def _serve(control: socket.socket) -> NoReturn:
    """Fork a process for each message, and write how it ended to where the message says."""
    ended, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    statuses: dict[int, int] = {}
    while True:
        ready = select.select([control.fileno(), ended], [], [])[0]
        if ended in ready:
            os.read(ended, 1024)
            _tell_who_ended(statuses)
        if control.fileno() not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, _LONGEST, 4)
        if not message:
            os._exit(0)
        request = json.loads(message)
        begun, begins = os.pipe()
        child = os.fork()
        if child == 0:
            if request["session"]:
                os.setsid()
            os.close(begins)
            os.close(begun)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            control.close()
            for descriptor in (ended, tell, descriptors[3], *statuses.values()):
                os.close(descriptor)
            _become(request, descriptors[:3])
        os.close(begins)
        os.read(begun, 1)  # its end: from here on the session is there, and may be terminated
        os.close(begun)
        for descriptor in descriptors[:3]:
            os.close(descriptor)
        statuses[child] = descriptors[3]
        control.send(str(child).encode())


def _tell_who_ended(statuses: dict[int, int]) -> None:
    while statuses:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child == 0:
            return
        if child in statuses:
            with contextlib.suppress(BrokenPipeError):
                os.write(statuses[child], _STATUS.pack(status))
            os.close(statuses.pop(child))


def _become(request: Mapping[str, Any], standard: Sequence[int]) -> NoReturn:
    """Be the process that was asked for."""
    code = 1
    try:
        for number, descriptor in enumerate(standard):
            os.dup2(descriptor, number)
            os.close(descriptor)
        before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        own = [] if request["safe"] else [request["folder"]]
        searched = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        sys.path[:] = [*own, *searched, *(folder for folder in sys.path if folder not in before)]
        sys.argv[:] = [request["module"], *request["words"]]
        sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
        _run(request["module"])
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:  # noqa: BLE001 - as Python itself ends
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    for name in sys.argv[2:]:
        import_module(name)
    _serve(socket.socket(fileno=int(sys.argv[1])))
