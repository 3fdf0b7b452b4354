"""Which implementation of the loss computes a batch: the one that is named, or one chosen by what the batch is."""

import importlib.util
from types import ModuleType
from typing import Literal

import torch

from sdpo_ref.errors import InvalidInputError, UnsupportedError
from sdpo_ref.losses.options import LossOptions
from sdpo_ref.types import DistillationBatch, HiddenBatch, Support

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

_ARGUMENTS = {"chunk_bytes": ("chunked", "fused"), "counted_tokens": ("fused",)}
"""Arguments that only some implementations take."""

_LOADED: dict[str, ModuleType] = {}

_MOST_CELLS = 8192
"""Cells of a top-k support that the fused kernels take: a program holds all of them at once."""


def choose(impl: Impl, batch: DistillationBatch | HiddenBatch, options: LossOptions, arguments: dict[str, int]) -> str:
    """The name of the implementation that computes this batch.

    Args:
        impl: a name, or ``auto``.
        batch: logits or hidden states.
        options: of the loss.
        arguments: ``chunk_bytes`` and ``counted_tokens``, where they are given.

    Returns:
        ``reference``, ``chunked`` or ``fused``.

    Raises:
        InvalidInputError: if ``impl`` is no such name, or does not take the arguments that are given.
        UnsupportedError: if the named implementation cannot compute this batch, or none can; the message says why not,
            and which of the others can.
    """
    if impl not in ("auto", *IMPLEMENTATIONS):
        raise InvalidInputError(f"impl is {impl!r}; allowed are 'auto', 'reference', 'chunked' and 'fused'")
    for name, value in arguments.items():
        if impl not in _ARGUMENTS[name]:
            owners = " or ".join(f"impl={owner!r}" for owner in _ARGUMENTS[name])
            raise InvalidInputError(
                f"received {name}={value} with impl={impl!r}; allowed is {name} with {owners}, so name it or leave "
                f"{name} out"
            )
    if impl != "auto" and torch.compiler.is_compiling():
        return impl  # a graph is traced without looking at the machine; the operator refuses when it runs
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
    return _obstacle_of_kernels(sides["student"].device, options.support) if name == "fused" else None


def require_kernels(device: torch.device, support: Support) -> None:
    """Refuse what the fused kernels cannot compute, where they run: a compiled graph was not looked at before.

    Args:
        device: of the inputs.
        support: on which student and teacher are compared.

    Raises:
        UnsupportedError: if the device is neither CUDA nor, under Triton's interpreter, the CPU, if Triton is missing,
            or if a top-k support has more cells than a program can hold.
    """
    found = _obstacle_of_kernels(device, support)
    if found is not None:
        raise UnsupportedError(f"impl='fused' cannot compute this batch: {found}; use impl='chunked'")


def load(name: str) -> ModuleType:
    """The module of an implementation, imported when it is first needed and kept.

    It is kept here and not looked up again: where the package is loaded a second time around an altered file, each
    stack goes on calling its own.

    Args:
        name: ``reference``, ``chunked`` or ``fused``.
    """
    if name not in _LOADED:
        if name == "reference":  # statements, as torch.compile does not trace import_module
            from sdpo_ref.losses import reference

            _LOADED[name] = reference
        elif name == "chunked":
            from sdpo_ref.losses import chunked

            _LOADED[name] = chunked
        else:
            from sdpo_ref.losses import fused

            _LOADED[name] = fused
    return _LOADED[name]


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


def _obstacle_of_kernels(device: torch.device, support: Support) -> str | None:
    """Why the fused kernels cannot run here; ``None`` if they can."""
    if device.type not in ("cuda", "cpu"):
        return f"it runs on CUDA, received tensors on {device}"
    if importlib.util.find_spec("triton") is None:
        return "it needs Triton, which is not installed (pip install 'sdpo-ref[gpu]')"
    if device.type == "cpu" and not _is_interpreted():
        return (
            "it runs on CUDA, received tensors on cpu (to test the kernels without a GPU set TRITON_INTERPRET=1 before "
            "Triton is imported)"
        )
    if support.k is not None and support.k >= _MOST_CELLS:
        return f"received support {support.kind!r} with k={support.k}, and it takes k < {_MOST_CELLS}"
    return None


def _is_interpreted() -> bool:
    """Whether the kernels were made for Triton's interpreter."""
    from sdpo_ref.losses.fused.launch import INTERPRETED

    return INTERPRETED


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
