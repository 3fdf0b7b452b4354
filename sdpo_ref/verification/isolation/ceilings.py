"""Ceilings that the kernel holds for a process and for every process that it starts."""

import sys

FILE_MIB = 256
"""Size that one file may reach, what the implementation prints included."""

_MIB = 1 << 20
_GIB = 1 << 30


def lower_ceilings(memory: float) -> str:
    """Limit this process for good: private memory, the size of a file, and no core dumps.

    Memory is what the process may write to and shares with nobody (``RLIMIT_DATA``). Address space would be another
    measure, but PyTorch reserves far more of it than it uses.

    Args:
        memory: of each process, in GiB.

    Returns:
        What is in force, in words. Only Linux counts private memory.
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
