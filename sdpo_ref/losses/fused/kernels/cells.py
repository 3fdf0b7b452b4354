"""The top-k supports: the divergence on a few cells that are already gathered, and the cell of the tail.

The log-mass of the tail is summed over the tail itself, and its gradient is distributed over the tail's tokens. The gap
of the tail's cell comes from its tokens' gaps and not from two logarithms, so that it has its digits where it is small;
hence cells are given by three numbers and not by two.
"""

from typing import no_type_check

import triton
import triton.language as tl

from sdpo_ref.losses.fused.kernels.arithmetic import (
    centered_slope,
    excess_mass,
    forward_slope,
    from_origin,
    kl_term,
    load_logits,
    log_of_normalizers,
    log_one_plus,
    mixture_terms,
    most_likely,
    store_zeros,
    sums_of_row,
    weighted,
)


@triton.jit(do_not_specialize=["first"])
@no_type_check
def cells_kernel(
    student,
    teacher,
    gaps,
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
        student: logits [row, cell], contiguous, float32, at the temperature of the loss, above any constant of the row.
        teacher: the same, above a constant of its own.
        gaps: [row, cell], the second minus the first, from before these were rounded; zero where neither has mass.
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
    gap = tl.load(gaps + places, mask=inside, other=0.0)
    student_top, teacher_top = tl.max(student_logits, 0), tl.max(teacher_logits, 0)
    origin = tl.min(tl.where(student_logits == student_top, columns, cells - 1), 0)
    is_origin = columns == origin
    teacher_origin = tl.sum(tl.where(is_origin, teacher_logits, 0.0), 0)
    gap_origin = tl.sum(tl.where(is_origin, gap, 0.0), 0)
    # A teacher that excludes the student's most likely cell is measured from its own.
    is_excluded = teacher_origin == -float("inf")
    teacher_origin = tl.where(is_excluded, teacher_top, teacher_origin)
    gap_origin = tl.where(is_excluded, teacher_top - student_top, gap_origin)
    neither = (student_logits == -float("inf")) & (teacher_logits == -float("inf"))
    gap = tl.where(neither, 0.0, gap - gap_origin)

    student_exp = tl.exp(student_logits - student_top)
    rest = tl.sum(tl.where(is_origin, 0.0, student_exp), 0)
    surplus = tl.sum(excess_mass(student_exp, tl.exp(teacher_logits - teacher_origin), gap), 0)
    teacher_exp = tl.exp(teacher_logits - teacher_top)
    teacher_sum = tl.sum(teacher_exp, 0)
    student_prob, teacher_prob = student_exp / (1.0 + rest), teacher_exp / teacher_sum
    normalizers = log_of_normalizers(rest, surplus, teacher_top - teacher_origin, tl.log(teacher_sum))
    log_ratio = gap + normalizers

    if FORWARD:
        loss = tl.sum(kl_term(teacher_prob, student_prob, -log_ratio), 0)
        slope = forward_slope(student_prob, teacher_prob, log_ratio)
    elif REVERSE:
        loss = tl.sum(kl_term(student_prob, teacher_prob, log_ratio), 0)
        slope = centered_slope(student_prob, gap, tl.sum(weighted(student_prob, gap), 0))
    else:
        student_terms, teacher_terms, to_mixture = mixture_terms(
            student_prob, teacher_prob, log_ratio, alpha, student_share
        )
        loss = student_share * tl.sum(student_terms, 0) + alpha * tl.sum(teacher_terms, 0)
        from_student = to_mixture - tl.sum(tl.where(is_origin, to_mixture, 0.0), 0)
        slope = student_share * centered_slope(
            student_prob, from_student, tl.sum(weighted(student_prob, from_student), 0)
        )
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
    gaps,
    origins,
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
        student_cells: [row, k + 1], out: the head's logits and the log of the tail's sum, above the row's origin.
        teacher_cells: the same.
        gaps: [row, k + 1], out: the second minus the first, with the digits that these have not.
        origins: [row, 3], out: the student's largest logit, the largest of its tail, and one over the sum of the tail's
            exponentials above that.
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
    gaps += row * (k + 1)

    origin = most_likely(student, vocab, BLOCK)
    student_origin, teacher_origin = tl.load(student + origin), tl.load(teacher + origin)
    head = tl.arange(0, HEAD_BLOCK)
    inside = head < k
    chosen = tl.load(ids + row * k + head, mask=inside, other=0)
    student_head = tl.load(student + chosen, mask=inside, other=-float("inf"))
    teacher_head = tl.load(teacher + chosen, mask=inside, other=-float("inf"))
    tl.debug_barrier()
    gone = tl.full([HEAD_BLOCK], -float("inf"), tl.float32)
    tl.store(student + chosen, gone, mask=inside)
    tl.store(teacher + chosen, gone, mask=inside)
    tl.debug_barrier()

    # The tail by itself, measured from the student's most likely token in it.
    of_tail = most_likely(student, vocab, BLOCK)
    student_tail, teacher_tail = tl.load(student + of_tail), tl.load(teacher + of_tail)
    is_empty = student_tail == -float("inf")
    below = tl.where(is_empty, student_origin, student_tail)
    student_rest, surplus, _gaps, teacher_top, teacher_sum = sums_of_row(
        student, teacher, of_tail, below, teacher_tail, vocab, inverse_temperature, WITH_GAPS=False, BLOCK=BLOCK
    )
    teacher_log_sum = tl.log(teacher_sum)

    # A teacher that excludes the student's most likely token, of the row or of the tail, is measured from its own.
    largest = tl.maximum(tl.max(teacher_head, 0), teacher_top)
    teacher_origin = tl.where(teacher_origin == -float("inf"), largest, teacher_origin)
    teacher_tail = tl.where(teacher_tail == -float("inf"), teacher_top, teacher_tail)

    student_above, teacher_above, gap = from_origin(
        student_head, teacher_head, student_origin, teacher_origin, inverse_temperature
    )
    tl.store(student_cells + head, student_above, mask=inside)
    tl.store(teacher_cells + head, teacher_above, mask=inside)
    tl.store(gaps + head, gap, mask=inside)

    tail_above, _tail_teacher, tail_gap = from_origin(
        student_tail, teacher_tail, student_origin, teacher_origin, inverse_temperature
    )
    tail_gap -= log_of_normalizers(
        student_rest, surplus, (teacher_top - teacher_tail) * inverse_temperature, teacher_log_sum
    )
    tail_gap = tl.where(is_empty, tl.where(teacher_sum == 0.0, 0.0, float("inf")), tail_gap)
    tl.store(student_cells + k, tail_above + log_one_plus(student_rest))
    tl.store(teacher_cells + k, (teacher_top - teacher_origin) * inverse_temperature + teacher_log_sum)
    tl.store(gaps + k, tail_gap)
    tl.store(origins + row * 3, student_origin)
    tl.store(origins + row * 3 + 1, student_tail)
    tl.store(origins + row * 3 + 2, 1.0 / (1.0 + student_rest))


@triton.jit(do_not_specialize=["first"])
@no_type_check
def tail_gradient_kernel(
    student,
    ids,
    origins,
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
        origins: [row, 3], from there.
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

    tail = tl.load(origins + row * 3 + 1)
    share_of_one = tl.load(origins + row * 3 + 2)
    slope = tl.load(slopes + row * (k + 1) + k)
    for start in range(0, vocab, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        logits = load_logits(student, columns, vocab)
        share = tl.exp((logits - tail) * inverse_temperature) * share_of_one
        share = tl.where(logits == -float("inf"), 0.0, share)
        tl.debug_barrier()
        tl.store(gradient + columns, (share * slope).to(gradient.dtype.element_ty), mask=columns < vocab)

    tl.debug_barrier()
    head = tl.arange(0, HEAD_BLOCK)
    inside = head < k
    chosen = tl.load(ids + row * k + head, mask=inside, other=0)
    head_slopes = tl.load(slopes + row * (k + 1) + head, mask=inside, other=0.0)
    tl.store(gradient + chosen, head_slopes.to(gradient.dtype.element_ty), mask=inside)
