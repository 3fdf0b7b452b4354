"""Kernels as functions of tensors: grids, block sizes and warps. Importing this file imports Triton."""

from dataclasses import dataclass

import torch
import triton
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.losses.fused.kernels.cells import cells_kernel, tail_cells_kernel, tail_gradient_kernel
from sdpo_ref.losses.fused.kernels.gathered import gathered_logits_kernel, weighted_rows_kernel
from sdpo_ref.losses.fused.kernels.rows import rows_kernel, token_log_probs_kernel
from sdpo_ref.losses.fused.tokens import PackedTokens
from sdpo_ref.losses.options import LossOptions

BLOCK = 2048
"""Columns that a program reads at a time; a shorter row takes one step.

With eight warps that is eight columns a thread, two reads of 16 bytes from each side. The reverse KL then takes 74
registers, so that three rows share a multiprocessor: one computes while another waits for memory.
"""

_COLUMNS_PER_WARP = 256

_ARITHMETIC = {"enable_fp_fusion": True}
"""A product and a sum in one instruction: fewer roundings, and half the instructions of a series."""

INTERPRETED = not isinstance(rows_kernel, triton.JITFunction)
"""Whether Triton was imported under TRITON_INTERPRET=1, so that kernels run on the CPU."""


def rows(
    student: Float[Tensor, "row vocab"],
    teacher: Float[Tensor, "row vocab"],
    gradient: Float[Tensor, "row vocab"] | None,
    packed: PackedTokens,
    options: LossOptions,
) -> Float[Tensor, " row"]:
    """Losses on the full vocabulary or on the sampled token; the weighted gradient is written to ``gradient``.

    Args:
        student: logits, float32, unit stride in a row.
        teacher: the same, with the same stride from row to row.
        gradient: where the gradient over the student's logits goes, which may be the memory of ``student``; ``None``
            if none is wanted.
        packed: sampled tokens, weights with the factor of the temperature, and which rows count.
        options: of the loss.

    Returns:
        Nats, times the importance ratio; zero in rows that do not count.
    """
    vocab = student.shape[1]
    losses = torch.empty(student.shape[0], device=student.device)
    target = student if gradient is None else gradient
    block = _block(vocab, BLOCK)
    has_ratio = options.ratio_cap is not None and packed.behaviour is not None
    rows_kernel[(student.shape[0],)](
        student,
        teacher,
        target,
        losses,
        packed.token_ids,
        packed.behaviour if has_ratio else losses,
        packed.weights,
        packed.count,
        packed.first,
        vocab,
        student.stride(0),
        target.stride(0),
        1.0 / options.temperature,
        options.alpha,
        1.0 - options.alpha,
        options.ratio_cap if has_ratio else 0.0,
        FORWARD=options.alpha == 0.0,
        REVERSE=options.alpha == 1.0,
        SAMPLED=options.support.kind == "sampled_token",
        HAS_RATIO=has_ratio,
        WRITES=gradient is not None,
        BLOCK=block,
        num_warps=_warps(block),
        **_ARITHMETIC,
    )
    return losses


@dataclass(frozen=True)
class Cells:
    """The cells of some rows, measured from an origin of each side that is any constant of the row.

    Attributes:
        student: logits at the temperature of the loss, float32, contiguous.
        teacher: the same.
        gaps: the second minus the first, with its digits where it is small; zero where neither has mass.
    """

    student: Float[Tensor, "row cell"]
    teacher: Float[Tensor, "row cell"]
    gaps: Float[Tensor, "row cell"]


def cells(of: Cells, packed: PackedTokens, *, alpha: float) -> tuple[Float[Tensor, " row"], Float[Tensor, "row cell"]]:
    """Divergence on cells that are gathered already.

    Args:
        of: the cells.
        packed: which rows count.
        alpha: interpolation coefficient.

    Returns:
        The divergence of each row, and its gradient over the student's cells; zero in rows that do not count.
    """
    student = of.student
    count = student.shape[1]
    losses, slopes = torch.empty(student.shape[0], device=student.device), torch.empty_like(student)
    block = triton.next_power_of_2(count)
    cells_kernel[(student.shape[0],)](
        student,
        of.teacher,
        of.gaps,
        slopes,
        losses,
        packed.count,
        packed.first,
        count,
        alpha,
        1.0 - alpha,
        FORWARD=alpha == 0.0,
        REVERSE=alpha == 1.0,
        BLOCK=block,
        num_warps=_warps(block),
        **_ARITHMETIC,
    )
    return losses, slopes


def tail_cells(
    student: Float[Tensor, "row vocab"],
    teacher: Float[Tensor, "row vocab"],
    ids: Int[Tensor, "row k"],
    packed: PackedTokens,
    *,
    temperature: float,
) -> tuple[Cells, Float[Tensor, "row three"]]:
    """The k + 1 cells of a support with a tail, of both sides; the head's logits are overwritten with -inf.

    Args:
        student: logits, float32, unit stride in a row.
        teacher: the same, with the same stride from row to row.
        ids: the head.
        packed: which rows count.
        temperature: divides the logits.

    Returns:
        The cells, of which the last is the tail, with the student's largest logit as its origin; and for each row that
        logit, the largest of the tail, and one over the sum of the tail's exponentials above it.
    """
    size, k = ids.shape
    out = torch.empty(3, size, k + 1, device=student.device)
    origins = torch.empty(size, 3, device=student.device)
    block = _block(student.shape[1], BLOCK)
    tail_cells_kernel[(size,)](
        student,
        teacher,
        ids,
        out[0],
        out[1],
        out[2],
        origins,
        packed.count,
        packed.first,
        student.shape[1],
        k,
        student.stride(0),
        1.0 / temperature,
        BLOCK=block,
        HEAD_BLOCK=triton.next_power_of_2(k),
        num_warps=_warps(block),
        **_ARITHMETIC,
    )
    return Cells(out[0], out[1], out[2]), origins


def tail_gradient(
    student: Float[Tensor, "row vocab"],
    gradient: Float[Tensor, "row vocab"],
    *,
    ids: Int[Tensor, "row k"],
    origins: Float[Tensor, "row three"],
    slopes: Float[Tensor, "row cell"],
    packed: PackedTokens,
    temperature: float,
) -> None:
    """Write the gradient over the vocabulary.

    Args:
        student: as :func:`tail_cells` left it.
        gradient: out; may be the memory of ``student``.
        ids: the head.
        origins: from :func:`tail_cells`.
        slopes: weighted gradient of each cell.
        packed: which rows count.
        temperature: divides the logits.
    """
    block = _block(student.shape[1], BLOCK)
    tail_gradient_kernel[(student.shape[0],)](
        student,
        ids,
        origins,
        slopes,
        gradient,
        packed.count,
        packed.first,
        student.shape[1],
        ids.shape[1],
        student.stride(0),
        gradient.stride(0),
        1.0 / temperature,
        BLOCK=block,
        HEAD_BLOCK=triton.next_power_of_2(ids.shape[1]),
        num_warps=_warps(block),
        **_ARITHMETIC,
    )


def token_log_probs(
    logits: Float[Tensor, "row vocab"], packed: PackedTokens, *, temperature: float
) -> Float[Tensor, " row"]:
    """Log-probability of the sampled token of each row.

    Args:
        logits: unit stride in a row.
        packed: sampled tokens, and which rows count.
        temperature: divides the logits.

    Returns:
        Float32; zero in rows that do not count.
    """
    found = torch.empty(logits.shape[0], device=logits.device)
    block = _block(logits.shape[1], BLOCK)
    token_log_probs_kernel[(logits.shape[0],)](
        logits,
        packed.token_ids,
        found,
        packed.count,
        packed.first,
        logits.shape[1],
        logits.stride(0),
        1.0 / temperature,
        BLOCK=block,
        num_warps=_warps(block),
        **_ARITHMETIC,
    )
    return found


def gathered_logits(
    hidden: Float[Tensor, "row hidden"],
    weight: Float[Tensor, "vocab hidden"],
    bias: Float[Tensor, " vocab"] | None,
    ids: Int[Tensor, "row k"],
) -> Float[Tensor, "row k"]:
    """Logits of a few tokens for each hidden state, summed in float32.

    Args:
        hidden: contiguous.
        weight: of the head.
        bias: of the head, or ``None``.
        ids: which tokens; contiguous.

    Returns:
        Float32.
    """
    head = weight if weight.stride(1) == 1 else weight.contiguous()
    (size, k), width = ids.shape, hidden.shape[1]
    logits = torch.empty(size, k, device=hidden.device)
    block = _block(width, 256)
    gathered_logits_kernel[(size, triton.cdiv(k, 16))](
        hidden,
        head,
        hidden if bias is None else bias,
        ids,
        logits,
        k,
        width,
        head.stride(0),
        HAS_BIAS=bias is not None,
        CELLS=16,
        BLOCK=block,
        num_warps=4,
        **_ARITHMETIC,
    )
    return logits


def weighted_rows(
    matrix: Float[Tensor, "any width"],
    entries: Int[Tensor, " entry"],
    values: Float[Tensor, " entry"],
    starts: Int[Tensor, " bound"],
    out: Float[Tensor, "segment width"],
) -> None:
    """Write each segment's weighted sum of rows of a matrix.

    Args:
        matrix: any strides.
        entries: which rows, segment by segment.
        values: their factors, float32.
        starts: where each segment begins, and where the last one ends; one more than there are segments.
        out: contiguous.
    """
    rows_of = matrix if matrix.stride(1) == 1 else matrix.contiguous()
    segments, width = out.shape
    block = _block(width, 1024)
    weighted_rows_kernel[(segments, triton.cdiv(width, block))](
        rows_of,
        entries,
        values,
        starts,
        out,
        width,
        rows_of.stride(0),
        ENTRIES=8,
        BLOCK=block,
        num_warps=8,
        **_ARITHMETIC,
    )


def _block(columns: int, most: int) -> int:
    """Columns at a time: a power of two, large enough for a short row."""
    return min(int(triton.next_power_of_2(columns)), most)


def _warps(block: int) -> int:
    return min(max(block // _COLUMNS_PER_WARP, 1), 16)
