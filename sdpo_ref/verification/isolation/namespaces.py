"""Linux namespaces without privileges: a network that is only loopback, and processes that end together.

What a process that entered them starts is inside too, whatever language it is written in. A process can enter only
while it has one thread, so this comes before anything heavy is imported.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import NoReturn

_NEW_MOUNTS, _NEW_IPC, _NEW_USER, _NEW_PROCESSES, _NEW_NETWORK = (
    0x00020000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
_SLAVE_EVERYWHERE = 1 << 19 | 1 << 14
_NO_SETUID_DEVICES_PROGRAMS = 2 | 4 | 8
_SET_FLAGS, _UP_AND_RUNNING = 0x8914, 0x1 | 0x40
_DIE_WITH_PARENT = 1
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where Linux keeps it; an empty one of our own is put there
_SHARED_MEMORY_OPTIONS = b"size=1g,mode=1777"


class Reach(StrEnum):
    """How far this system lets a process without privileges go."""

    ALL = "namespaces of network and processes"
    NETWORK = "namespace of the network"
    NONE = "no namespaces"


def reach() -> Reach:
    """What can be entered here, by trying it in a process that is thrown away.

    The working directory, Python and every folder of modules must be as readable inside as they are outside: to the
    superuser, files of others may not be.
    """
    if sys.platform != "linux":
        return Reach.NONE
    for candidate, enter in ((Reach.ALL, _enter_all), (Reach.NETWORK, _enter_network)):
        if _works(enter):
            return candidate
    return Reach.NONE


def enter(how: Reach, scratch: Path | None = None) -> None:
    """Enter; what returns is inside.

    On Linux it is a child that returns. The calling process waits for it, then ends whatever it has started, then ends
    the way it ended. If its own parent exits first, it does not wait: a child that is stopped never ends by itself.

    Args:
        how: as :func:`reach` found.
        scratch: a folder to remove if the parent exits first, which would have removed it.

    Raises:
        OSError: if the system refuses.
    """
    first = None
    if how is Reach.NETWORK:
        _enter_network()
    elif how is Reach.ALL:
        first = _enter_all()
    if sys.platform == "linux":
        worker = os.fork()
        if worker:
            _wait_and_follow(worker, first, scratch)


def _works(enter_it: Callable[[], int]) -> bool:
    wanted = {str(Path.cwd()), sys.executable, *sys.path}
    needed = [path for path in wanted if os.access(path, os.R_OK | os.X_OK)]
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            first = enter_it()
            code = int(not all(os.access(path, os.R_OK | os.X_OK) for path in needed))
            if first:
                os.kill(first, signal.SIGKILL)
        os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def _enter_network() -> int:
    _unshare(_NEW_USER | _NEW_NETWORK)
    return 0


def _enter_all() -> int:
    """Enter everything, and start the first process of the new namespace, with which all others end."""
    _unshare(_NEW_USER | _NEW_NETWORK | _NEW_MOUNTS | _NEW_IPC | _NEW_PROCESSES)
    _mount(b"none", b"/", None, _SLAVE_EVERYWHERE, None)
    if Path(_SHARED_MEMORY).is_dir():
        _mount(b"tmpfs", _SHARED_MEMORY.encode(), b"tmpfs", 0, _SHARED_MEMORY_OPTIONS)
    ready, tell = os.pipe()
    first = os.fork()
    if first == 0:
        _serve_as_first(tell)
    os.close(tell)
    answer = os.read(ready, 1)
    os.close(ready)
    if not answer:
        os.waitpid(first, 0)
        raise OSError("the processes of a new namespace cannot be listed")
    return first


def _serve_as_first(tell: int) -> NoReturn:
    """Show only the new namespace's processes under /proc, then wait to be killed, and all others with it."""
    with contextlib.suppress(BaseException):
        _call("prctl", _DIE_WITH_PARENT, int(signal.SIGKILL), 0, 0, 0)
        _mount(b"proc", b"/proc", b"proc", _NO_SETUID_DEVICES_PROGRAMS, None)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans come here; ignored, they leave nothing behind
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        os.write(tell, b".")
        os.close(tell)
        while True:
            signal.pause()
    os._exit(1)


def _wait_and_follow(worker: int, first: int | None, scratch: Path | None) -> NoReturn:
    def end_now(*_: object) -> None:
        """The parent has exited: no process that runs code of others is waited for, as it may be stopped."""
        for process in (worker, first):
            if process is not None:
                os.kill(process, signal.SIGKILL)
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
        os.killpg(os.getpgid(0), signal.SIGKILL)

    signal.signal(signal.SIGUSR1, lambda *_: os.kill(worker, signal.SIGUSR1))
    signal.signal(signal.SIGTERM, end_now)
    with contextlib.suppress(OSError, AttributeError):  # after the user namespace, which takes it away
        _call("prctl", _DIE_WITH_PARENT, int(signal.SIGTERM), 0, 0, 0)
    _, status = os.waitpid(worker, 0)
    if first is not None:
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)  # ends once every process of the namespace has
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no handler to take away
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _unshare(kinds: int) -> None:
    user, group = os.geteuid(), os.getegid()
    _call("unshare", kinds)
    own = Path("/proc/self")
    (own / "setgroups").write_text("deny", encoding="ascii")
    (own / "uid_map").write_text(f"{user} {user} 1", encoding="ascii")
    (own / "gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    _raise_loopback()


def _raise_loopback() -> None:
    import fcntl
    import socket
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP_AND_RUNNING))


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int, options: bytes | None) -> None:
    _call("mount", source, target, kind, ctypes.c_ulong(flags), options)


def _call(name: str, *arguments: object) -> None:
    """Call the C library."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
