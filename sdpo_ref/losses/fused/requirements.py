"""What the fused loss needs, and which implementation to use where that is missing. Does not import Triton."""

import functools
import importlib.util

import torch

from sdpo_ref.errors import InvalidInputError, UnsupportedError
from sdpo_ref.losses import reference
from sdpo_ref.losses.fused.options import Options
from sdpo_ref.types import DistillationBatch, Support

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
"""Of hidden states and logits; the kernels compute in float32."""

MOST_CELLS = 8192
"""Cells of a top-k support: a program holds all of them at once."""


def obstacle(device: torch.device, support: Support) -> str | None:
    """Why the kernels cannot run here; ``None`` if they can.

    Args:
        device: of the inputs.
        support: on which student and teacher are compared.
    """
    if device.type not in ("cuda", "cpu"):
        return f"the fused loss runs on CUDA, received tensors on {device}"
    if importlib.util.find_spec("triton") is None:
        return "the fused loss needs Triton, which is not installed (pip install 'sdpo-ref[gpu]')"
    if device.type == "cpu" and not _is_interpreted():
        return (
            "the fused loss runs on CUDA, received tensors on cpu (to test the kernels without a GPU set "
            "TRITON_INTERPRET=1 before Triton is imported)"
        )
    if support.k is not None and support.k >= MOST_CELLS:
        return f"support {support.kind!r} with k={support.k}, and the fused loss takes k < {MOST_CELLS}"
    return None


def check_device(device: torch.device, support: Support) -> None:
    """Refuse what the kernels cannot compute, where it runs: a compiled graph is not looked at before.

    Args:
        device: of the inputs.
        support: on which student and teacher are compared.

    Raises:
        UnsupportedError: if it is neither CUDA nor, under Triton's interpreter, the CPU, if Triton is missing, or if a
            top-k support has more cells than a program can hold.
    """
    found = obstacle(device, support)
    if found is not None:
        raise UnsupportedError(f"{found}; use impl='chunked', which computes the same on any device")


def check_dtypes(student: torch.dtype, teacher: torch.dtype) -> None:
    """Refuse a dtype that the kernels do not take.

    Args:
        student: of the student's logits or hidden states.
        teacher: of the teacher's.

    Raises:
        UnsupportedError: if one is neither float32, bfloat16 nor float16.
    """
    for side, dtype in (("student", student), ("teacher", teacher)):
        if dtype not in DTYPES:
            raise UnsupportedError(
                f"the {side}'s side is {dtype}; the fused loss takes float32, bfloat16 and float16, so use "
                "impl='chunked' or impl='reference', which compute in float64 too"
            )


@functools.cache
def check_options(options: Options, *, has_behaviour: bool) -> None:
    """Refuse options that mean nothing: the reference does, on a batch of no rows. Costs nothing the second time.

    Args:
        options: of the loss.
        has_behaviour: whether the batch has behaviour log-probabilities.

    Raises:
        InvalidInputError: as the reference does.
    """
    none = torch.zeros(0, 1, device="cpu")
    empty = DistillationBatch(
        none[..., None], none[..., None], none.long(), none.bool(), none.bool()[:, 0], none if has_behaviour else None
    )
    reference.sdpo_token_losses(empty, **vars(options))


def check_one_device(device: torch.device, **others: torch.device | None) -> None:
    """Refuse tensors that are not all on the same device.

    Args:
        device: of the student.
        others: of the other tensors by name; ``None`` for one that is not there.

    Raises:
        InvalidInputError: if one differs.
    """
    for name, other in others.items():
        if other is not None and other != device:
            raise InvalidInputError(
                f"{name} is on {other} and the student's side on {device}; allowed is one device, so move one of them "
                "before the call"
            )


def _is_interpreted() -> bool:
    """Whether the kernels were made for Triton's interpreter."""
    from sdpo_ref.losses.fused.launch import INTERPRETED

    return INTERPRETED
