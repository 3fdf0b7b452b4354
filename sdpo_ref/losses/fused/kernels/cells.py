"""The top-k supports: the divergence on a few cells that are already gathered, and the cell of the tail.

The log-mass of the tail is summed over the tail itself, and its gradient is distributed over the tail's tokens.
"""

from typing import no_type_check

import triton
import triton.language as tl

from sdpo_ref.losses.fused.kernels.arithmetic import (
    LOWEST,
    close,
    finite_or_zero,
    forward_slope,
    kl_term,
    load_logits,
    log_ratio_of,
    mixture_slope,
    mixture_terms,
    push,
    reverse_slope,
    store_zeros,
)


@triton.jit(do_not_specialize=["first"])
@no_type_check
def cells_kernel(
    student,
    teacher,
    slopes,
    losses,
    count,
    first,
    cells,
    alpha,
    student_share,
    FORWARD: tl.constexpr,
    REVERSE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Divergence of each row over its cells, and its gradient with respect to the student's cells.

    Each side is normalised over the cells: where a tail cell is among them that changes nothing, where it is not it is
    the renormalised support.

    Args:
        student: logits [row, cell], contiguous, float32, at the temperature of the loss.
        teacher: the same.
        slopes: [row, cell], out, unweighted.
        losses: [row], out.
        count: [], how many packed rows count.
        first: packed position of the chunk's first row.
        cells: how many.
        alpha: share of the teacher in the mixture.
        student_share: 1 - alpha.
        FORWARD: alpha is 0.
        REVERSE: alpha is 1.
        BLOCK: a power of two, at least ``cells``.
    """
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < cells
    places = row * cells + columns
    if first + row >= tl.load(count):
        tl.store(losses + row, 0.0)
        tl.store(slopes + places, tl.zeros([BLOCK], tl.float32), mask=inside)
        return

    student_logits = tl.load(student + places, mask=inside, other=-float("inf"))
    teacher_logits = tl.load(teacher + places, mask=inside, other=-float("inf"))
    student_top, teacher_top = tl.max(student_logits, 0), tl.max(teacher_logits, 0)
    student_log_sum = tl.log(tl.sum(tl.exp(student_logits - student_top), 0))
    teacher_log_sum = tl.log(tl.sum(tl.exp(teacher_logits - teacher_top), 0))
    student_prob = tl.exp(student_logits - student_top - student_log_sum)
    teacher_prob = tl.exp(teacher_logits - teacher_top - teacher_log_sum)
    log_normalizers = (student_top - teacher_top) + (student_log_sum - teacher_log_sum)
    log_ratio = log_ratio_of(student_logits, teacher_logits, log_normalizers)

    if FORWARD:
        loss = tl.sum(kl_term(teacher_prob, student_prob, -log_ratio), 0)
        slope = forward_slope(student_prob, teacher_prob, log_ratio)
    elif REVERSE:
        loss = tl.sum(kl_term(student_prob, teacher_prob, log_ratio), 0)
        gap = student_logits - teacher_logits
        slope = reverse_slope(student_prob, gap, tl.sum(student_prob * finite_or_zero(gap), 0))
    else:
        student_terms, teacher_terms, to_mixture = mixture_terms(
            student_prob, teacher_prob, log_ratio, alpha, student_share
        )
        divergence = tl.sum(student_terms, 0)
        loss = student_share * divergence + alpha * tl.sum(teacher_terms, 0)
        slope = student_share * mixture_slope(student_prob, to_mixture, divergence)
    tl.store(losses + row, loss)
    tl.store(slopes + places, slope, mask=inside)


@triton.jit(do_not_specialize=["first"])
@no_type_check
def tail_cells_kernel(
    student,
    teacher,
    ids,
    student_cells,
    teacher_cells,
    count,
    first,
    vocab,
    k,
    logits_stride,
    inverse_temperature,
    BLOCK: tl.constexpr,
    HEAD_BLOCK: tl.constexpr,
):
    """Gather the k + 1 cells of both sides; the head's logits are left at -inf, so that only the tail remains.

    Args:
        student: logits [row, vocab], float32; overwritten at the head's ids.
        teacher: the same.
        ids: [row, k], distinct token ids of the head.
        student_cells: [row, k + 1], out: the head's logits and the log of the tail's sum.
        teacher_cells: the same.
        count: [], how many packed rows count.
        first: packed position of the chunk's first row.
        vocab: columns.
        k: tokens in the head.
        logits_stride: elements from one row to the next.
        inverse_temperature: multiplies the logits.
        BLOCK: columns at a time, a power of two.
        HEAD_BLOCK: a power of two, at least k.
    """
    row = tl.program_id(0).to(tl.int64)
    if first + row >= tl.load(count):
        return
    student += row * logits_stride
    teacher += row * logits_stride
    student_cells += row * (k + 1)
    teacher_cells += row * (k + 1)

    head = tl.arange(0, HEAD_BLOCK)
    inside = head < k
    chosen = tl.load(ids + row * k + head, mask=inside, other=0)
    student_head = tl.load(student + chosen, mask=inside, other=0.0) * inverse_temperature
    teacher_head = tl.load(teacher + chosen, mask=inside, other=0.0) * inverse_temperature
    tl.store(student_cells + head, student_head, mask=inside)
    tl.store(teacher_cells + head, teacher_head, mask=inside)
    tl.debug_barrier()
    gone = tl.full([HEAD_BLOCK], -float("inf"), tl.float32)
    tl.store(student + chosen, gone, mask=inside)
    tl.store(teacher + chosen, gone, mask=inside)
    tl.debug_barrier()

    student_peak = tl.full([BLOCK], LOWEST, tl.float32)
    teacher_peak = tl.full([BLOCK], LOWEST, tl.float32)
    student_total = tl.zeros([BLOCK], tl.float32)
    teacher_total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, vocab, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        student_logits = load_logits(student, columns, vocab, inverse_temperature)
        teacher_logits = load_logits(teacher, columns, vocab, inverse_temperature)
        student_peak, student_total, _, _ = push(student_peak, student_total, student_logits)
        teacher_peak, teacher_total, _, _ = push(teacher_peak, teacher_total, teacher_logits)
    student_top, student_log_sum = close(student_peak, student_total)
    teacher_top, teacher_log_sum = close(teacher_peak, teacher_total)
    tl.store(student_cells + k, student_top + student_log_sum)
    tl.store(teacher_cells + k, teacher_top + teacher_log_sum)


@triton.jit(do_not_specialize=["first"])
@no_type_check
def tail_gradient_kernel(
    student,
    ids,
    student_cells,
    slopes,
    gradient,
    count,
    first,
    vocab,
    k,
    logits_stride,
    gradient_stride,
    inverse_temperature,
    BLOCK: tl.constexpr,
    HEAD_BLOCK: tl.constexpr,
):
    """From the gradient of the cells to that of the logits: the tail's is shared out by probability within the tail.

    Args:
        student: logits as :func:`tail_cells_kernel` left them.
        ids: [row, k].
        student_cells: [row, k + 1].
        slopes: [row, k + 1], weighted.
        gradient: [row, vocab], out; may be the memory of ``student``, in the same or a narrower dtype.
        count: [], how many packed rows count.
        first: packed position of the chunk's first row.
        vocab: columns.
        k: tokens in the head.
        logits_stride: elements from one row of ``student`` to the next.
        gradient_stride: the same of ``gradient``.
        inverse_temperature: multiplies the logits.
        BLOCK: columns at a time, a power of two.
        HEAD_BLOCK: a power of two, at least k.
    """
    row = tl.program_id(0).to(tl.int64)
    student += row * logits_stride
    gradient += row * gradient_stride
    if first + row >= tl.load(count):
        store_zeros(gradient, vocab, BLOCK)
        return

    log_sum = tl.load(student_cells + row * (k + 1) + k)
    slope = tl.load(slopes + row * (k + 1) + k)
    for start in range(0, vocab, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        logits = load_logits(student, columns, vocab, inverse_temperature)
        share = tl.where(logits > -float("inf"), tl.exp(logits - log_sum), 0.0)
        tl.debug_barrier()
        tl.store(gradient + columns, (share * slope).to(gradient.dtype.element_ty), mask=columns < vocab)

    tl.debug_barrier()
    head = tl.arange(0, HEAD_BLOCK)
    inside = head < k
    chosen = tl.load(ids + row * k + head, mask=inside, other=0)
    head_slopes = tl.load(slopes + row * (k + 1) + head, mask=inside, other=0.0)
    tl.store(gradient + chosen, head_slopes.to(gradient.dtype.element_ty), mask=inside)
