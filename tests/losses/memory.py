"""Most memory that PyTorch's CPU allocator had given out at a time: exact, and the same on every run."""

from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile


def peak_bytes(work: Callable[[], object]) -> int:
    """Bytes in use at the peak of the work, beyond what was in use before it.

    Args:
        work: what to measure.

    Example:
        >>> import torch
        >>> peak_bytes(lambda: torch.zeros(1000, dtype=torch.float64).exp())  # two tensors at a time
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
