"""Time and memory on a CUDA device; on a CPU the same with an ordinary clock, so that a dry run goes the same way."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import torch

from benchmarks.contestants import Contestant
from benchmarks.gpu.work import Work
from benchmarks.inputs import Shape, clear, hidden_batch
from benchmarks.memory import profiled_peak
from benchmarks.record import Cost
from sdpo_ref.types import HiddenBatch

_L2_BYTES = 60 * 2**20
_MAX_COPIES = 2
_ENOUGH_SAMPLES = 5
"""Fewer than asked for will do if time runs out, but not fewer than these."""


@dataclass(frozen=True)
class Times:
    """Of one contestant, in seconds.

    Attributes:
        first: wall-clock time of the first call.
        samples: device time of each later call.
    """

    first: float
    samples: list[float]

    @property
    def median(self) -> float:
        """The middle sample."""
        return statistics.median(self.samples)

    @property
    def spread(self) -> str:
        """The fifth and the last-but-fifth of ten samples, in milliseconds."""
        ordered = sorted(self.samples)
        low, high = (ordered[math.floor(share * (len(ordered) - 1))] for share in (0.2, 0.8))
        return f"p20 {low * 1e3:.4g} ms, p80 {high * 1e3:.4g} ms, {len(ordered)} samples"


def rotation(shape: Shape, work: Work, *, dtype: torch.dtype = torch.bfloat16) -> list[HiddenBatch]:
    """As many batches as it takes to be larger than twice the cache, so that no round finds its inputs there.

    Args:
        shape: of each.
        work: says on which device.
        dtype: of the inputs.

    Returns:
        At least one batch; they differ in their random numbers.
    """
    inputs = (2 * shape.tokens + shape.vocab) * shape.hidden * dtype.itemsize
    copies = min(_MAX_COPIES, max(1, math.ceil(2 * _L2_BYTES / inputs)))
    return [hidden_batch(shape, dtype=dtype, device=work.sizes.device, seed=seed) for seed in range(copies)]


def race(contestants: Sequence[Contestant], batches: Sequence[HiddenBatch], work: Work) -> dict[str, Times]:
    """Device time of each contestant, in interleaved rounds.

    A contestant that fails in its first call is named as skipped, with its error.

    Args:
        contestants: names differ.
        batches: one after another, one a round.
        work: says how many samples, and when to stop.

    Returns:
        Times by name.
    """
    firsts = {}
    for contestant in contestants:
        try:
            firsts[contestant.name] = _first_call(contestant, batches, work)
        except Exception as error:  # noqa: BLE001  # a peer's failure is a finding, and the others go on
            work.skip(contestant.name, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
    running = [contestant for contestant in contestants if contestant.name in firsts]
    samples: dict[str, list[float]] = {contestant.name: [] for contestant in running}
    for number, batch in enumerate(islice(cycle(batches), work.sizes.samples)):
        if number >= _ENOUGH_SAMPLES and work.left < 0:
            break
        for contestant in running:
            samples[contestant.name].append(elapsed(lambda one=contestant, on=batch: one.step(on), work))  # type: ignore[misc]
    return {name: Times(firsts[name], found) for name, found in samples.items()}


def _first_call(contestant: Contestant, batches: Sequence[HiddenBatch], work: Work) -> float:
    """Compile, tune, and warm up on every batch; the time of the first call."""
    start = time.perf_counter()
    contestant.step(batches[0])
    synchronize(work)
    first = time.perf_counter() - start
    for batch in batches:
        contestant.step(batch)
        clear(batch)
    synchronize(work)
    return first


def elapsed(step: Callable[[], object], work: Work) -> float:
    """Seconds on the device's own clock; waits until the step is done.

    Args:
        step: work for the device.
        work: says which device.

    Returns:
        Seconds.
    """
    if work.sizes.device == "cpu":
        start = time.perf_counter()
        step()
        return time.perf_counter() - start
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    begin.record()
    step()
    end.record()
    end.synchronize()
    milliseconds: float = begin.elapsed_time(end)
    return milliseconds * 1e-3


def peak_beyond(contestant: Contestant, batch: HiddenBatch, work: Work) -> int:
    """Most memory of the allocator in use during a step, minus what was in use before.

    Args:
        contestant: has run before.
        batch: without gradients, before and after.
        work: says which device.

    Returns:
        Bytes.
    """
    clear(batch)
    gc.collect()
    if work.sizes.device == "cpu":
        peak = profiled_peak(lambda: contestant.step(batch))
    else:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        contestant.step(batch)
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() - before
    clear(batch)
    return peak


def costs(contestants: Sequence[Contestant], batches: Sequence[HiddenBatch], work: Work) -> dict[str, Cost]:
    """Race, then memory of each.

    Args:
        contestants: names differ.
        batches: to rotate through.
        work: says where, how often and how long.

    Returns:
        Costs by name, of those that ran.
    """
    times = race(contestants, batches, work)
    return {
        contestant.name: Cost(
            contestant.name,
            seconds=min(times[contestant.name].samples),
            median_seconds=times[contestant.name].median,
            first_seconds=times[contestant.name].first,
            peak_bytes=peak_beyond(contestant, batches[0], work),
            note="; ".join(filter(None, (contestant.note, times[contestant.name].spread))),
        )
        for contestant in contestants
        if contestant.name in times
    }


def ratio(found: dict[str, Cost], one: str, other: str) -> float | None:
    """Median time of one contestant over that of another; ``None`` if one of them did not run."""
    if one not in found or other not in found:
        return None
    above, below = found[one].median_seconds, found[other].median_seconds
    assert above is not None
    assert below is not None
    return above / below


def peak_ratio(found: dict[str, Cost], one: str, other: str) -> float | None:
    """The same of their memory."""
    if one not in found or other not in found:
        return None
    above, below = found[one].peak_bytes, found[other].peak_bytes
    assert above is not None
    assert below is not None
    return above / max(below, 1)


def synchronize(work: Work) -> None:
    """Wait for the device."""
    if work.sizes.device != "cpu":
        torch.cuda.synchronize()
