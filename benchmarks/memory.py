"""Peak memory of a piece of work on a CPU, beyond what was in use before it.

On Linux the kernel counts: the high-water mark of resident memory, reset just before. Elsewhere PyTorch's profiler
counts what PyTorch allocates; both agree within the memory that PyTorch does not allocate itself.
"""

import ctypes
import gc
from collections.abc import Callable
from functools import cache
from pathlib import Path

from torch.profiler import ProfilerActivity, profile

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def peak_beyond(work: Callable[[], object]) -> int:
    """Most memory in use at any time of the work, minus what was in use before.

    Run the work once beforehand: a first call loads code and takes buffers that it keeps.

    Args:
        work: what to measure; memory that it leaves behind counts.

    Returns:
        Bytes.
    """
    return _resident_peak(work) if method() == "resident memory" else profiled_peak(work)


@cache
def method() -> str:
    """How this machine's memory is measured: ``resident memory`` or ``profiler``."""
    try:
        _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
        _resident("VmHWM")
    except (OSError, KeyError):
        return "profiler"
    return "resident memory"


def _resident_peak(work: Callable[[], object]) -> int:
    _return_free_memory()
    _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
    before = _resident("VmRSS")
    work()
    return max(0, _resident("VmHWM") - before)


def profiled_peak(work: Callable[[], object]) -> int:
    """The same, counted by PyTorch's profiler: only what PyTorch's CPU allocator gives out.

    Args:
        work: what to measure.

    Returns:
        Bytes.

    Example:
        >>> import torch
        >>> profiled_peak(lambda: torch.zeros(1000, dtype=torch.float64).exp())  # two tensors at once
        16000
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    assert seen.profiler is not None
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    in_use = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        in_use += event.nbytes()
        peak = max(peak, in_use)
    return peak


def _resident(field: str) -> int:
    lines = dict(line.split(":", 1) for line in _STATUS.read_text(encoding="ascii").splitlines() if ":" in line)
    return int(lines[field].split()[0]) * 1024


def _return_free_memory() -> None:
    """Collect garbage and, with the GNU C library, give free memory back, so that none of it hides a peak."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
