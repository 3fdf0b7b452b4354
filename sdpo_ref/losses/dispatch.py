"""Which implementation of the loss computes a batch: the one that is named, or one chosen by what the batch is."""

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Literal

import torch

from sdpo_ref.errors import InvalidInputError, UnsupportedError
from sdpo_ref.losses.options import LossOptions
from sdpo_ref.types import DistillationBatch, HiddenBatch

Impl = Literal["auto", "reference", "chunked", "fused"]
"""Names of the implementations, and ``auto`` for the rule of :func:`choose`."""

IMPLEMENTATIONS = ("fused", "chunked", "reference")
"""Every implementation, the fastest first."""

EXPERIMENTAL = frozenset({"fused"})
"""What ``auto`` never chooses: the fused kernels have not run on a GPU yet, only in Triton's interpreter."""

LARGE_LOGITS = 64 * 2**20
"""Bytes of logits, both sides in the dtype of the arithmetic, above which ``auto`` takes the chunked implementation."""

_DTYPES = {
    "reference": (torch.float16, torch.bfloat16, torch.float32, torch.float64),
    "chunked": (torch.float16, torch.bfloat16, torch.float32, torch.float64),
    "fused": (torch.float16, torch.bfloat16, torch.float32),
}
"""Of logits and hidden states."""

_KNOBS = {"chunk_bytes": ("chunked", "fused"), "counted_tokens": ("fused",)}
"""Arguments that only some implementations have."""


def choose(impl: Impl, batch: DistillationBatch | HiddenBatch, options: LossOptions, **knobs: int | None) -> str:
    """The name of the implementation that computes this batch.

    Args:
        impl: a name, or ``auto``.
        batch: logits or hidden states.
        options: of the loss.
        knobs: ``chunk_bytes`` and ``counted_tokens``, ``None`` where not given.

    Returns:
        ``reference``, ``chunked`` or ``fused``.

    Raises:
        InvalidInputError: if ``impl`` is no such name, or has not the arguments that are given.
        UnsupportedError: if the named implementation cannot compute this batch, or none can; the message says why not,
            and which of the others can.
    """
    if impl not in ("auto", *IMPLEMENTATIONS):
        raise InvalidInputError(f"impl is {impl!r}; allowed are 'auto', 'reference', 'chunked' and 'fused'")
    for name, value in knobs.items():
        if value is not None and impl not in _KNOBS[name]:
            owners = " or ".join(f"impl={owner!r}" for owner in _KNOBS[name])
            raise InvalidInputError(
                f"received {name}={value} with impl={impl!r}; allowed is {name} with {owners}, so name it or leave "
                f"{name} out"
            )
    if torch.compiler.is_compiling() and impl != "auto":
        return impl  # a graph is traced without looking at the machine; the implementation refuses when it runs
    if impl == "auto":
        suited = (name for name in IMPLEMENTATIONS if _suits(name, batch) and obstacle(name, batch, options) is None)
        chosen = next(suited, None)
    else:
        chosen = impl if obstacle(impl, batch, options) is None else None
    if chosen is None:
        raise UnsupportedError(_refusal(impl, {name: obstacle(name, batch, options) for name in IMPLEMENTATIONS}))
    return chosen


def obstacle(name: str, batch: DistillationBatch | HiddenBatch, options: LossOptions) -> str | None:
    """Why an implementation cannot compute a batch; ``None`` if it can.

    Args:
        name: of the implementation.
        batch: logits or hidden states.
        options: of the loss.
    """
    if isinstance(batch, DistillationBatch):
        sides = {"student": batch.student_logits, "teacher": batch.teacher_logits}
    else:
        sides = {"student": batch.student_hidden, "teacher": batch.teacher_hidden}
    for side, tensor in sides.items():
        if tensor.dtype not in _DTYPES[name]:
            allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in _DTYPES[name])
            return f"the {side}'s side is {tensor.dtype}, and it takes {allowed} only"
    if name == "fused":
        from sdpo_ref.losses.fused.requirements import obstacle as obstacle_of_fused

        return obstacle_of_fused(sides["student"].device, options.support)
    return None


@cache
def load(name: str) -> ModuleType:
    """The module of an implementation, imported when it is first needed.

    Args:
        name: of the implementation.
    """
    return import_module(f"sdpo_ref.losses.{name}")


def _suits(name: str, batch: DistillationBatch | HiddenBatch) -> bool:
    """Whether ``auto`` prefers an implementation that can compute the batch."""
    if name in EXPERIMENTAL:
        return False
    if name == "fused":
        return batch.completions.is_cuda
    if name == "chunked":
        return isinstance(batch, HiddenBatch) or _logits_bytes(batch) > LARGE_LOGITS
    return True


def _logits_bytes(batch: DistillationBatch) -> int:
    student, teacher = batch.student_logits, batch.teacher_logits
    return sum(max(side.dtype.itemsize, torch.float32.itemsize) * side.numel() for side in (student, teacher))


def _refusal(impl: Impl, obstacles: dict[str, str | None]) -> str:
    """What was asked for, why it cannot be done, and which implementation can do it."""
    if impl == "auto":
        reasons = [f"impl={name!r}: {why}" for name, why in obstacles.items()]
        return f"impl='auto' found no implementation that can compute this batch; {'; '.join(reasons)}"
    others = [name for name in reversed(IMPLEMENTATIONS) if name != impl]
    able = [f"impl={name!r}" for name in others if obstacles[name] is None]
    unable = [f"impl={name!r} cannot either: {obstacles[name]}" for name in others if obstacles[name] is not None]
    parts = [str(obstacles[impl]), *([f"use {' or '.join(able)}"] if able else []), *unable]
    return f"impl={impl!r} cannot compute this batch: {'; '.join(parts)}"
