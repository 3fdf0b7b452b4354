"""The mathematics of one cell, as ``sdpo_ref.functional.divergence`` has it, without digits lost to cancellation.

``log_ratio`` is log p_T - log p_S of the cell; ``student`` and ``teacher`` are its probabilities. A cell without mass
on either side adds exactly nothing, and is found by comparing with zero: ``where(p > 0, f(p), 0)`` would hide NaN.

Everything is measured from one cell, the *origin*: the student's most likely token o. With the student's logits s, the
teacher's t, and the temperature,

    a = (s - s_o) / temperature        the student above the origin, at most zero
    b = (t - t_o) / temperature        the teacher above the origin
    gap = b - a                        zero at the origin, by construction
    A = sum exp(a) = 1 + rest          the normalisers
    B = sum exp(b) = A + surplus       with surplus = sum exp(a) (exp(gap) - 1)
    log_ratio = gap + log A - log B

That is what keeps the digits. A constant in the logits of a side is gone before anything is rounded. Where student and
teacher are close, gap, surplus and log A - log B = -log(1 + surplus / A) are small numbers with all their digits, not
differences of large ones. Where one token has nearly all the mass, it is the origin: rest, surplus and the mean of the
gap under the student are then sums over the other tokens, as small as the gradient that is made of them; a sum over all
tokens would be one plus something that is rounded away.

At the end are the parts of one pass over a row of logits. The teacher's normaliser is taken online, since its largest
logit may lie far above its origin: a program reads ``BLOCK`` columns at a time, and each of these columns has its own
maximum and sum until the row has ended.
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
def difference(x, y):
    """X - y, and what its rounding left out: the two together are exact (Knuth's two-sum)."""
    rounded = x - y
    back = rounded - x
    rest = (x - (rounded - back)) - (y + back)
    return rounded, tl.where(tl.abs(rounded) == float("inf"), 0.0, rest)


@triton.jit
@no_type_check
def from_origin(student, teacher, student_origin, teacher_origin, inverse_temperature):
    """A cell's logits measured from those of the origin, at the temperature of the loss.

    What is common to all logits of a side goes before anything is rounded, and so does what is common to both sides.

    Returns:
        student: its logit above the student's origin.
        teacher: its logit above the teacher's origin.
        gap: the second minus the first, with all its digits also where they are close; zero where neither has mass.
    """
    above, above_rest = difference(student, student_origin)
    teacher_above, teacher_rest = difference(teacher, teacher_origin)
    gap = (teacher_above - above) + (teacher_rest - above_rest)
    neither = (student == -float("inf")) & (teacher == -float("inf"))
    gap = tl.where(neither, 0.0, gap)
    return above * inverse_temperature, teacher_above * inverse_temperature, gap * inverse_temperature


@triton.jit
@no_type_check
def kl_term(p, q, log_ratio):
    """The cell's term q - p - p log(q/p) of KL(p‖q), never negative; ``log_ratio`` is log q - log p."""
    near = p * excess(tl.minimum(log_ratio, 8.0))
    far = q - p - p * tl.where(p == 0.0, 0.0, log_ratio)
    return tl.where(log_ratio == -float("inf"), float("inf"), tl.where(log_ratio < 8.0, near, far))


@triton.jit
@no_type_check
def y_minus_log_one_plus(y):
    """Y - log(1 + y) for a y in (-0.6, 1), by the series of the inverse hyperbolic tangent; beyond, both are apart."""
    s = y / (2.0 + y)
    s2 = s * s
    tail = 1 / 13 + s2 * (1 / 15 + s2 * (1 / 17 + s2 * (1 / 19 + s2 / 21)))
    series = 1 / 3 + s2 * (1 / 5 + s2 * (1 / 7 + s2 * (1 / 9 + s2 * (1 / 11 + s2 * tail))))
    return s * y - 2.0 * s * s2 * series


@triton.jit
@no_type_check
def log_one_plus(y):
    """Log(1 + y) with the digits of a small y."""
    return tl.where(tl.abs(y) < 0.3, y - y_minus_log_one_plus(y), tl.log(1.0 + y))


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
    student_near = (student_y > -0.6) & (student_y < 1.0)
    teacher_near = (teacher_y > -0.6) & (teacher_y < 1.0)

    to_student = tl.where(student_near, student_y - student_psi, tl.maximum(log_ratio, 0.0) + inner)
    to_teacher = tl.maximum(-log_ratio, 0.0) + inner
    student_far = alpha * (teacher - student) - tl.where(student == 0.0, 0.0, student * to_student)
    teacher_far = student_share * (student - teacher) - tl.where(teacher == 0.0, 0.0, teacher * to_teacher)
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
def centered_slope(student, value, center):
    """Gradient p_S (mean - value) of a divergence whose derivative by p_S is minus ``value``, up to a constant.

    ``center`` is the mean of ``value`` under the student. Both are measured from the student's most likely token, whose
    value is exactly zero: where that token has nearly all the mass, the mean is as small as the gradient, and a
    difference of two large numbers would have nothing left. The reverse KL has ``value`` = the gap, the mixture
    log(m / p_S), to be multiplied by 1 - alpha.
    """
    return tl.where(student == 0.0, 0.0, student * (center - value))


@triton.jit
@no_type_check
def weighted(student, value):
    """A term of the mean under the student: a cell that one side excludes has no part in it. NaN stays NaN."""
    return tl.where((student == 0.0) | (tl.abs(value) == float("inf")), 0.0, student * value)


@triton.jit
@no_type_check
def load_logits(row, columns, vocab):
    """Logits of a block; -inf behind the end of the vocabulary."""
    return tl.load(row + columns, mask=columns < vocab, other=-float("inf")).to(tl.float32)


@triton.jit
@no_type_check
def most_likely(row, vocab, BLOCK: tl.constexpr):
    """Where a row has its largest logit; zero if it has none above -inf. The first sweep over a row."""
    peak = tl.full([BLOCK], -float("inf"), tl.float32)
    place = tl.zeros([BLOCK], tl.int32)
    for start in range(0, vocab, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        logits = load_logits(row, columns, vocab)
        place = tl.where(logits > peak, columns, place)
        peak = tl.where(logits > peak, logits, peak)
    return tl.min(tl.where(peak == tl.max(peak, 0), place, vocab - 1), 0)


@triton.jit
@no_type_check
def excess_mass(student_exp, teacher_exp, gap):
    """Exp of the teacher's logit minus exp of the student's, both above the origin; close ones are not subtracted."""
    return tl.where(tl.abs(gap) < 0.5, student_exp * (gap + excess(gap)), teacher_exp - student_exp)


@triton.jit
@no_type_check
def log_of_normalizers(rest, surplus, teacher_above, teacher_log_sum):
    """Log of the student's normaliser minus log of the teacher's, both above the origin.

    The student's is A = 1 + ``rest``, of which the one is the origin itself; the teacher's is A + ``surplus``. Where
    they are close, the difference of the logarithms is -log(1 + surplus / A), as small as it should be; else it is the
    difference of two logarithms, the teacher's ``teacher_above + teacher_log_sum``.
    """
    share = surplus / (1.0 + rest)
    far = log_one_plus(rest) - teacher_above - teacher_log_sum
    return tl.where(tl.abs(share) < 0.3, -log_one_plus(share), far)


@triton.jit
@no_type_check
def push(peak, total, logits, inverse_temperature):
    """One more logit in each column of the block, with one exponential: new maximum and sum of exp(logit - peak)."""
    step = (logits - peak) * inverse_temperature
    decay = tl.exp(-tl.abs(step))
    kept = tl.where(step > 0.0, decay, 1.0)
    added = tl.where(step > 0.0, 1.0, decay)
    return tl.maximum(peak, logits), total * kept + added


@triton.jit
@no_type_check
def close(peak, total, inverse_temperature):
    """The row's maximum, and its sum relative to that maximum."""
    top = tl.max(peak, 0)
    return top, tl.sum(total * tl.exp((peak - top) * inverse_temperature), 0)


@triton.jit
@no_type_check
def sums_of_row(
    student,
    teacher,
    origin,
    student_origin,
    teacher_origin,
    vocab,
    inverse_temperature,
    WITH_GAPS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One sweep over both sides of a row: what their normalisers, and their difference, are made of.

    Args:
        student: the row's logits.
        teacher: the same.
        origin: column of the origin.
        student_origin: the student's logit there.
        teacher_origin: the teacher's.
        vocab: columns.
        inverse_temperature: multiplies the logits.
        WITH_GAPS: take the third of the sums; it is zero otherwise.
        BLOCK: columns at a time.

    Returns:
        rest: A - 1, the student's normaliser without the origin.
        surplus: B - A.
        gaps: sum of exp(a) gap.
        teacher_top: the teacher's largest logit.
        teacher_sum: its normaliser relative to that one.
    """
    rest = tl.zeros([BLOCK], tl.float32)
    surplus = tl.zeros([BLOCK], tl.float32)
    gaps = tl.zeros([BLOCK], tl.float32)
    peak = tl.full([BLOCK], LOWEST, tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, vocab, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        teacher_logits = load_logits(teacher, columns, vocab)
        student_above, teacher_above, gap = from_origin(
            load_logits(student, columns, vocab), teacher_logits, student_origin, teacher_origin, inverse_temperature
        )
        student_exp = tl.exp(student_above)
        rest += tl.where(columns == origin, 0.0, student_exp)
        surplus += excess_mass(student_exp, tl.exp(teacher_above), gap)
        peak, total = push(peak, total, teacher_logits, inverse_temperature)
        if WITH_GAPS:
            gaps += weighted(student_exp, gap)
    teacher_top, teacher_sum = close(peak, total, inverse_temperature)
    return tl.sum(rest, 0), tl.sum(surplus, 0), tl.sum(gaps, 0), teacher_top, teacher_sum


@triton.jit
@no_type_check
def store_zeros(row, vocab, BLOCK: tl.constexpr):
    """A row that does not count has no gradient."""
    for start in range(0, vocab, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        tl.store(row + columns, tl.zeros([BLOCK], tl.float32).to(row.dtype.element_ty), mask=columns < vocab)
