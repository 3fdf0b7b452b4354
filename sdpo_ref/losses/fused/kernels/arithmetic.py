"""The mathematics of one cell, as ``sdpo_ref.functional.divergence`` has it, without digits lost to cancellation.

``log_ratio`` is log p_T - log p_S of the cell; ``student`` and ``teacher`` are its probabilities. A cell without mass
on either side adds exactly nothing. At the end are the parts of one pass over a row of logits, which takes normalisers
online: a program reads ``BLOCK`` columns at a time, and each of these columns has its own maximum and sum until the row
has ended.
"""

from typing import no_type_check

import triton
import triton.language as tl

LOWEST = tl.constexpr(-3.4028234663852886e38)
"""Where a maximum starts: finite, so that a row may begin with -inf."""


@triton.jit
@no_type_check
def excess(x):
    """exp(x) - 1 - x, never negative. Below one half by its series: there the difference has few digits."""
    tail = 1 / 5040 + x * (1 / 40320 + x * (1 / 362880))
    series = x * x * (1 / 2 + x * (1 / 6 + x * (1 / 24 + x * (1 / 120 + x * (1 / 720 + x * tail)))))
    return tl.where(tl.abs(x) < 0.5, series, tl.exp(x) - 1.0 - x)


@triton.jit
@no_type_check
def exp_minus_one(x):
    """exp(x) - 1 with the digits of a small x."""
    return tl.where(tl.abs(x) < 0.5, x + excess(x), tl.exp(x) - 1.0)


@triton.jit
@no_type_check
def log_ratio_of(student_logits, teacher_logits, log_normalizers):
    """Log p_T - log p_S; the logits are subtracted first, which is exact where they are close.

    ``log_normalizers`` is that of the student minus that of the teacher. Zero where neither side has mass.
    """
    neither = (student_logits == -float("inf")) & (teacher_logits == -float("inf"))
    return tl.where(neither, 0.0, teacher_logits - student_logits + log_normalizers)


@triton.jit
@no_type_check
def kl_term(p, q, log_ratio):
    """The cell's term q - p - p log(q/p) of KL(p‖q), never negative; ``log_ratio`` is log q - log p."""
    near = p * excess(tl.minimum(log_ratio, 8.0))
    far = q - p - p * tl.where(p > 0.0, log_ratio, 0.0)
    return tl.where(log_ratio == -float("inf"), float("inf"), tl.where(log_ratio < 8.0, near, far))


@triton.jit
@no_type_check
def y_minus_log_one_plus(y):
    """Y - log(1 + y) for a y in (-0.3, 0.3), by the series of the inverse hyperbolic tangent."""
    s = y / (2.0 + y)
    s2 = s * s
    series = 1 / 3 + s2 * (1 / 5 + s2 * (1 / 7 + s2 * (1 / 9 + s2 * (1 / 11))))
    return s * y - 2.0 * s * s2 * series


@triton.jit
@no_type_check
def mixture_terms(student, teacher, log_ratio, alpha, student_share):
    """The cell's terms of KL(student‖m) and KL(teacher‖m), and log(m / student).

    m is the mixture with ``alpha`` of the teacher and ``student_share`` = 1 - alpha of the student. With
    y = alpha (p_T/p_S - 1) the term of the student is p_S (y - log(1 + y)); the teacher's is the mirror image.
    """
    less = tl.exp(-tl.abs(log_ratio))
    inner = tl.log(tl.where(log_ratio > 0.0, alpha + student_share * less, student_share + alpha * less))
    student_y = alpha * exp_minus_one(tl.minimum(log_ratio, 10.0))
    teacher_y = student_share * exp_minus_one(tl.minimum(-log_ratio, 10.0))
    student_psi, teacher_psi = y_minus_log_one_plus(student_y), y_minus_log_one_plus(teacher_y)
    student_near, teacher_near = tl.abs(student_y) < 0.3, tl.abs(teacher_y) < 0.3

    to_student = tl.where(student_near, student_y - student_psi, tl.maximum(log_ratio, 0.0) + inner)
    to_teacher = tl.maximum(-log_ratio, 0.0) + inner
    student_far = alpha * (teacher - student) - tl.where(student > 0.0, student * to_student, 0.0)
    teacher_far = student_share * (student - teacher) - tl.where(teacher > 0.0, teacher * to_teacher, 0.0)
    return (
        tl.where(student_near, student * student_psi, student_far),
        tl.where(teacher_near, teacher * teacher_psi, teacher_far),
        to_student,
    )


@triton.jit
@no_type_check
def forward_slope(student, teacher, log_ratio):
    """Gradient p_S - p_T of the forward KL with respect to the student's logit; close ones are not subtracted."""
    near = -student * (log_ratio + excess(log_ratio))
    return tl.where(tl.abs(log_ratio) < 0.5, near, student - teacher)


@triton.jit
@no_type_check
def reverse_slope(student, gap, center):
    """Gradient p_S (log(p_S/p_T) - KL(p_S‖p_T)) of the reverse KL.

    Its constants cancel: ``gap`` is the student's logit minus the teacher's, and ``center`` its mean under the student,
    so that no digit is lost where the divergence is large.
    """
    return tl.where(student > 0.0, student * (gap - center), 0.0)


@triton.jit
@no_type_check
def finite_or_zero(gap):
    """A gap of logits for a mean under the student: a cell that one side excludes has no part in it."""
    return tl.where(tl.abs(gap) < float("inf"), gap, 0.0)


@triton.jit
@no_type_check
def mixture_slope(student, to_mixture, divergence):
    """Gradient p_S (log(p_S/m) - KL(p_S‖m)), with ``to_mixture`` = log(m/p_S); to be multiplied by 1 - alpha."""
    return tl.where(student > 0.0, student * (-to_mixture - divergence), 0.0)


@triton.jit
@no_type_check
def load_logits(row, columns, vocab, inverse_temperature):
    """Logits at the temperature of the loss; -inf behind the end of the vocabulary."""
    return tl.load(row + columns, mask=columns < vocab, other=-float("inf")).to(tl.float32) * inverse_temperature


@triton.jit
@no_type_check
def push(peak, total, logits):
    """One more logit in each column of the block, with one exponential: new maximum and sum, and how both were scaled.

    Returns:
        peak: the new maximum.
        total: sum of exp(logit - peak).
        kept: factor that what was summed before is multiplied by.
        added: factor of what is added now.
    """
    step = logits - peak
    decay = tl.exp(-tl.abs(step))
    kept = tl.where(step > 0.0, decay, 1.0)
    added = tl.where(step > 0.0, 1.0, decay)
    return tl.maximum(peak, logits), total * kept + added, kept, added


@triton.jit
@no_type_check
def close(peak, total):
    """The row's maximum, and the logarithm of its sum relative to that maximum."""
    top = tl.max(peak, 0)
    return top, tl.log(tl.sum(total * tl.exp(peak - top), 0))


@triton.jit
@no_type_check
def store_zeros(row, vocab, BLOCK: tl.constexpr):
    """A row that does not count has no gradient."""
    for start in range(0, vocab, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        tl.store(row + columns, tl.zeros([BLOCK], tl.float32).to(row.dtype.element_ty), mask=columns < vocab)
