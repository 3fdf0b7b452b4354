"""Value and gradient of the divergence on a few cells that are already gathered: the top-k supports."""

from typing import no_type_check

import triton
import triton.language as tl

from sdpo_ref.losses.fused.kernels.arithmetic import (
    finite_or_zero,
    forward_slope,
    kl_term,
    log_ratio_of,
    mixture_slope,
    mixture_terms,
    reverse_slope,
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
