"""Matrix products in float32, whatever the factors: library products into memory that is already there.

Half-precision factors are multiplied exactly and summed in float32. On CUDA the library does so by itself (torch 2.8
and later, ``out_dtype``). Elsewhere the factors are raised to float32 a block at a time and multiplied there, which
gives the same sums up to their order: a product of two half-precision numbers is exact in float32, and also in TF32,
which holds every digit of the factors. The result is never rounded to half precision.
"""

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

_BLOCK = 8192
"""Rows or columns of a factor that are raised to float32 at a time."""


def multiply(left: Float[Tensor, "m k"], right: Float[Tensor, "k n"], out: Float[Tensor, "m n"]) -> None:
    """Write ``left @ right``.

    Args:
        left: any strides.
        right: of the same dtype: float32, bfloat16 or float16.
        out: float32; overwritten.
    """
    if left.dtype == torch.float32:
        torch.mm(left, right, out=out)
    elif left.is_cuda and _library_widens():
        torch.ops.aten.mm.dtype_out(left, right, torch.float32, out=out)
    elif right.shape[1] > left.shape[0]:
        raised = left.float()
        for start in range(0, right.shape[1], _BLOCK):
            columns = slice(start, start + _BLOCK)
            out[:, columns] = raised @ right[:, columns].float()
    else:
        raised = right.float()
        for start in range(0, left.shape[0], _BLOCK):
            rows = slice(start, start + _BLOCK)
            out[rows] = left[rows].float() @ raised


def multiply_and_add(left: Float[Tensor, "m k"], right: Float[Tensor, "k n"], total: Float[Tensor, "m n"]) -> None:
    """Add ``left @ right``.

    Args:
        left: any strides.
        right: of the same dtype.
        total: float32; added to.
    """
    if left.dtype == torch.float32:
        torch.addmm(total, left, right, out=total)
    elif left.is_cuda and _library_adds():
        torch.ops.aten.addmm.dtype_out(total, left, right, torch.float32, out=total)
    else:
        for start in range(0, left.shape[0], _BLOCK):
            rows = slice(start, start + _BLOCK)
            part = torch.empty_like(total[rows])
            multiply(left[rows], right, part)
            total[rows] += part


@cache
def _library_widens() -> bool:
    """Whether this torch multiplies half-precision matrices on CUDA into float32."""
    return hasattr(torch.ops.aten.mm, "dtype_out")


@cache
def _library_adds() -> bool:
    """Whether it also adds such a product to a float32 matrix; the first versions wanted one dtype of all three."""
    if not _library_widens():
        return False
    ones = torch.ones(16, 16, dtype=torch.bfloat16, device="cuda")
    total = torch.zeros(16, 16, device="cuda")
    try:
        torch.ops.aten.addmm.dtype_out(total, ones, ones, torch.float32, out=total)
    except RuntimeError:
        return False
    return True
