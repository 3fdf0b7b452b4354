"""L12 and the ceilings: bandwidth of our kernels, and what the device gives to a copy and to a matrix product."""

import pkgutil
from importlib import import_module

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.contestants import fused, of_loss
from benchmarks.gpu.device import elapsed, rotation, synchronize
from benchmarks.gpu.work import Work
from benchmarks.record import Cost
from sdpo_ref.errors import UnsupportedError

_STEPS = 5
_READS_OF_A_SIDE, _SIDES = 2, 2
_LONGEST_NAME = 60


def ceilings(work: Work) -> None:
    """What the device does at best: bytes of a copy, read and written; operations of a bf16 product."""
    sizes = work.sizes
    source = torch.randn(sizes.bytes // 4, device=sizes.device)
    target = torch.empty_like(source)
    left, right = torch.randn(2, sizes.side, sizes.side, device=sizes.device).bfloat16()
    out = torch.empty_like(left)
    for name, step, amount in (
        ("ceiling: copy, TB/s", lambda: target.copy_(source), 2 * sizes.bytes * 1e-12),
        ("ceiling: bf16 product, TFLOP/s", lambda: torch.mm(left, right, out=out), 2 * sizes.side**3 * 1e-12),
    ):
        times = sorted(elapsed(step, work) for _ in range(sizes.samples + 3))
        work.check(name, amount / times[len(times) // 2])


def row_kernels(work: Work) -> None:
    """L12: the time of our own kernels in the reverse KL, against each logit read twice and its gradient written once.

    Raises:
        UnsupportedError: on a CPU, where no kernel can be timed.
    """
    batch, contestant = rotation(work.sizes.full, work)[0], of_loss("fused", fused(alpha=1.0))
    contestant.step(batch)
    synchronize(work)
    ours = _own_kernels()
    if work.sizes.device == "cpu":
        raise UnsupportedError("kernels are timed on CUDA only; here they run in Triton's interpreter")
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        for _ in range(_STEPS):
            contestant.step(batch)
        torch.cuda.synchronize()
    spent = {
        event.key: (event.self_device_time_total * 1e-6 / _STEPS, event.count / _STEPS) for event in seen.key_averages()
    }
    longest = sorted(spent.items(), key=lambda item: -item[1][0])[:16]
    work.race(
        "Kernels of the fused reverse KL, device time of a step",
        [Cost(key[:_LONGEST_NAME], seconds=time, note=f"{count:g} launches") for key, (time, count) in longest],
    )
    row_seconds = sum(time for key, (time, _) in spent.items() if key.startswith(ours))
    if not row_seconds:
        raise UnsupportedError(f"none of the kernels {', '.join(ours)} was seen; the profiler names them otherwise")
    logit_bytes = torch.float32.itemsize * _READS_OF_A_SIDE * _SIDES + batch.student_hidden.dtype.itemsize
    moved = work.sizes.full.tokens * work.sizes.full.vocab * logit_bytes
    work.add("L12", "bandwidth", moved * 1e-12 / row_seconds, bytes_a_logit=logit_bytes, seconds=row_seconds)


def _own_kernels() -> tuple[str, ...]:
    """Names of the Triton kernels of the fused variant."""
    from sdpo_ref.losses.fused import kernels

    modules = [import_module(f"{kernels.__name__}.{found.name}") for found in pkgutil.iter_modules(kernels.__path__)]
    return tuple(sorted({name for module in modules for name in vars(module) if name.endswith("_kernel")}))
