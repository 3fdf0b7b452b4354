"""The tail of a top-k support: its log-mass summed over the tail itself, and its gradient spread over its tokens."""

from typing import no_type_check

import triton
import triton.language as tl

from sdpo_ref.losses.fused.kernels.sweep import LOWEST, close, load_logits, push, store_zeros


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
