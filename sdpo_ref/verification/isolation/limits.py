"""Limits on what an implementation may use: time and memory, how the kernel enforces them, and how they are named."""

import sys
from dataclasses import dataclass, replace

from sdpo_ref.verification.isolation.events import Finished
from sdpo_ref.verification.status import Status

FILE_MIB = 256
"""Size that one file may reach, output of the implementation included."""

_MIB = 1 << 20
_GIB = 1 << 30
_NO_MEMORY = ("MemoryError", "allocate memory", "bad_alloc")
_NO_FILE = ("File too large",)


@dataclass(frozen=True)
class Limits:
    """How long to wait, in seconds, and how much memory to allow.

    Attributes:
        check: for one check.
        start: for loading the implementation, and for collecting the checks.
        memory: of each process, in GiB.
    """

    check: float = 60.0
    start: float = 120.0
    memory: float = 4.0


def limit_resources(memory: float) -> str:
    """Limit this process and every process that it starts: private memory, the size of a file, and no core dumps.

    Memory is what the process may write to and does not share (``RLIMIT_DATA``). Address space would be another
    measure, but PyTorch reserves far more of it than it uses.

    Args:
        memory: of each process, in GiB.

    Returns:
        The limit in force, in words. Only Linux counts private memory.
    """
    if sys.platform == "win32":
        return "memory not limited here"
    import resource

    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, FILE_MIB * _MIB)
    if sys.platform != "linux":
        return "memory not limited here"
    _lower(resource.RLIMIT_DATA, int(memory * _GIB))
    return f"{memory:g} GiB a process"


def _lower(which: int, to: int) -> None:
    """Set both the limit and what it may be raised to, unless they are lower already."""
    import resource

    _, highest = resource.getrlimit(which)
    allowed = to if highest == resource.RLIM_INFINITY else min(to, highest)
    resource.setrlimit(which, (allowed, allowed))


def name_exceeded_limit(event: Finished, limits: Limits) -> Finished:
    """Name the resource limit that a check exceeded, and what to do, in the check's failure message.

    A check that fails because memory is used up is an ERROR of the implementation, not a broken check.

    Args:
        event: how a check ended.
        limits: in force.

    Returns:
        The event; unchanged if its message is about no limit.
    """
    failure = event.failure
    if failure is None:
        return event
    text = f"{failure.message}\n{failure.traceback}"
    if any(words in text for words in _NO_MEMORY):
        note = f"each process may use {limits.memory:g} GiB; if it needs more, raise --memory-limit"
    elif any(words in text for words in _NO_FILE):
        note = f"a file, what is printed included, may grow to {FILE_MIB} MiB"
    else:
        return event
    status = Status.ERROR if event.status is Status.INVALID else event.status
    return replace(event, status=status, failure=replace(failure, message=f"{failure.message}; {note}"))
