"""L13: nothing in forward and backward waits for the device, and a captured graph gives the same bits."""

import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from benchmarks.contestants import fused, of_loss
from benchmarks.gpu.work import Work
from benchmarks.inputs import clear, hidden_batch, leaves
from sdpo_ref.errors import UnsupportedError
from sdpo_ref.types import HiddenBatch

_WARM_UPS = 3


def capture(work: Work) -> None:
    """Count synchronising calls; capture a step, replay it on other numbers, compare with an eager step on those.

    Raises:
        UnsupportedError: on a CPU, which has no graphs.
    """
    sizes = work.sizes
    batch, other = (
        hidden_batch(sizes.full, dtype=torch.bfloat16, device=sizes.device, seed=seed, masked=0.2) for seed in (0, 1)
    )
    step = of_loss("fused", fused(alpha=1.0)).step
    for _ in range(_WARM_UPS):
        step(batch)
    if sizes.device == "cpu":
        raise UnsupportedError("a CPU has no graphs, and nothing on it waits for a device")
    torch.cuda.synchronize()
    work.add("L13", "synchronising calls", _synchronising_calls(step, batch))

    clear(batch)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step(batch)
    kept = leaves(batch)
    with torch.no_grad():
        for name, leaf in leaves(other).items():
            kept[name].copy_(leaf)
        batch.teacher_hidden.copy_(other.teacher_hidden)
    graph.replay()
    torch.cuda.synchronize()
    replayed = {"loss": loss.clone()} | {
        name: leaf.grad.clone() for name, leaf in kept.items() if leaf.grad is not None
    }
    clear(batch)
    eager_loss = step(batch)
    eager = {"loss": eager_loss} | {name: leaf.grad for name, leaf in kept.items() if leaf.grad is not None}
    assert replayed.keys() == eager.keys(), f"received gradients {sorted(replayed)}, expected {sorted(eager)}"
    differing = {name: _differing(replayed[name], eager[name]) for name in eager}
    work.add("L13", "replay against eager, bits that differ", sum(differing.values()), **differing)


def _synchronising_calls(step: Callable[[HiddenBatch], Tensor], batch: HiddenBatch) -> int:
    """How many calls of a step wait for the device, as torch's debug mode counts them."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            step(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    return sum("synchroniz" in str(warning.message) for warning in seen)


def _copies(kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: leaf.grad.clone() for name, leaf in kept.items() if leaf.grad is not None}


def _differing(one: Tensor, other: Tensor) -> int:
    """How many numbers do not have the same bits."""
    integers = {2: torch.int16, 4: torch.int32, 8: torch.int64}[one.dtype.itemsize]
    return int((one.view(integers) != other.view(integers)).sum())
