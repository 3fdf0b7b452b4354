"""Value and gradient of the loss on the full vocabulary or on the sampled token; normalisers of rows of logits."""

from typing import no_type_check

import triton
import triton.language as tl

from sdpo_ref.losses.fused.kernels.arithmetic import (
    LOWEST,
    centered_slope,
    close,
    difference,
    exp_minus_one,
    forward_slope,
    from_origin,
    kl_term,
    load_logits,
    log_of_normalizers,
    log_one_plus,
    mixture_terms,
    most_likely,
    push,
    store_zeros,
    sums_of_row,
    weighted,
)


@triton.jit(do_not_specialize=["first"])
@no_type_check
def rows_kernel(
    student,
    teacher,
    gradient,
    losses,
    token_ids,
    behaviour,
    weights,
    count,
    first,
    vocab,
    logits_stride,
    gradient_stride,
    inverse_temperature,
    alpha,
    student_share,
    ratio_cap,
    FORWARD: tl.constexpr,
    REVERSE: tl.constexpr,
    SAMPLED: tl.constexpr,
    HAS_RATIO: tl.constexpr,
    WRITES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Losses of the rows of a chunk, and their weighted gradient over the student's logits, which it may overwrite.

    Sweep 1 finds the origin in the student's logits, sweep 2 takes both normalisers, and for the reverse KL the mean
    that its gradient subtracts. The next sweep sums the terms of the value and writes the gradient. Between the ends
    of alpha the gradient needs a mean over the mixture first, hence one sweep more. Where the gradient is narrower
    than the logits, it lies over the part of the row that has been read; the barriers keep it from overtaking the
    reads of other warps.

    Args:
        student: logits [row, vocab], float32.
        teacher: the same.
        gradient: [row, vocab]; may be the memory of ``student``, in the same or a narrower dtype.
        losses: [row], out, unweighted but for the importance ratio.
        token_ids: [row], sampled tokens.
        behaviour: [row], their log-probabilities when sampled; read if HAS_RATIO.
        weights: [row], factor of each row's gradient.
        count: [], how many packed rows count.
        first: packed position of the chunk's first row.
        vocab: columns.
        logits_stride: elements from one row to the next.
        gradient_stride: the same of ``gradient``.
        inverse_temperature: multiplies the logits; its factor in the gradient is part of ``weights``.
        alpha: share of the teacher in the mixture.
        student_share: 1 - alpha.
        ratio_cap: upper bound of the importance ratio.
        FORWARD: alpha is 0.
        REVERSE: alpha is 1.
        SAMPLED: the sampled-token surrogate instead of a divergence.
        HAS_RATIO: multiply by the importance ratio.
        WRITES: a gradient is wanted.
        BLOCK: columns at a time, a power of two.
    """
    row = tl.program_id(0).to(tl.int64)
    student += row * logits_stride
    teacher += row * logits_stride
    gradient += row * gradient_stride
    if first + row >= tl.load(count):
        tl.store(losses + row, 0.0)
        if WRITES:
            store_zeros(gradient, vocab, BLOCK)
        return

    origin = most_likely(student, vocab, BLOCK)
    student_origin = tl.load(student + origin)
    teacher_origin = tl.load(teacher + origin)

    student_rest, surplus, gaps, teacher_top, teacher_sum = sums_of_row(
        student,
        teacher,
        origin,
        student_origin,
        teacher_origin,
        vocab,
        inverse_temperature,
        WITH_GAPS=REVERSE and not SAMPLED,
        BLOCK=BLOCK,
    )
    student_share_of_one = 1.0 / (1.0 + student_rest)
    teacher_share_of_one = 1.0 / teacher_sum
    # A teacher that excludes the student's most likely token is measured from its own.
    teacher_origin = tl.where(teacher_origin == -float("inf"), teacher_top, teacher_origin)
    teacher_top_above = (teacher_top - teacher_origin) * inverse_temperature
    normalizers = log_of_normalizers(student_rest, surplus, teacher_top_above, tl.log(teacher_sum))

    token = tl.load(token_ids + row)
    token_above, _token_teacher, token_gap = from_origin(
        tl.load(student + token), tl.load(teacher + token), student_origin, teacher_origin, inverse_temperature
    )
    token_log_prob = token_above - log_one_plus(student_rest)
    advantage = 0.0
    if SAMPLED:
        advantage = -(token_gap + normalizers)
    ratio = 1.0
    if HAS_RATIO:
        log_importance = token_log_prob - tl.load(behaviour + row)
        ratio = tl.minimum(tl.exp(tl.minimum(tl.maximum(log_importance, -20.0), 20.0)), ratio_cap)
        is_number = log_importance == log_importance  # noqa: PLR0124 - NaN stays NaN, which minimum would drop
        ratio = tl.where(is_number, ratio, log_importance)
    weight = 0.0
    if WRITES:
        weight = tl.load(weights + row) * ratio

    center = 0.0
    at_origin = 0.0
    if REVERSE and not SAMPLED:
        center = gaps * student_share_of_one
    if not (FORWARD or REVERSE or SAMPLED):
        _student_at_origin, _teacher_at_origin, at_origin = mixture_terms(
            student_share_of_one,
            tl.exp((tl.load(teacher + origin) - teacher_top) * inverse_temperature) * teacher_share_of_one,
            (tl.load(teacher + origin) - teacher_origin) * inverse_temperature + normalizers,
            alpha,
            student_share,
        )
        student_terms = tl.zeros([BLOCK], tl.float32)
        teacher_terms = tl.zeros([BLOCK], tl.float32)
        means = tl.zeros([BLOCK], tl.float32)
        for start in range(0, vocab, BLOCK):
            columns = start + tl.arange(0, BLOCK)
            student_logits = load_logits(student, columns, vocab)
            teacher_logits = load_logits(teacher, columns, vocab)
            student_above, _teacher_above, gap = from_origin(
                student_logits, teacher_logits, student_origin, teacher_origin, inverse_temperature
            )
            student_prob = tl.exp(student_above) * student_share_of_one
            student_term, teacher_term, to_mixture = mixture_terms(
                student_prob,
                tl.exp((teacher_logits - teacher_top) * inverse_temperature) * teacher_share_of_one,
                gap + normalizers,
                alpha,
                student_share,
            )
            student_terms += student_term
            teacher_terms += teacher_term
            means += weighted(student_prob, to_mixture - at_origin)
        center = tl.sum(means, 0)
        divergence = student_share * tl.sum(student_terms, 0) + alpha * tl.sum(teacher_terms, 0)
        tl.store(losses + row, ratio * divergence)
    if SAMPLED:
        tl.store(losses + row, ratio * advantage * token_log_prob)

    # The last sweep: terms of the value where it has not been taken yet, and the gradient.
    if WRITES or (not SAMPLED and (FORWARD or REVERSE)):
        terms = tl.zeros([BLOCK], tl.float32)
        for start in range(0, vocab, BLOCK):
            columns = start + tl.arange(0, BLOCK)
            student_logits = load_logits(student, columns, vocab)
            if SAMPLED:
                student_above, _rounding = difference(student_logits, student_origin)
                student_prob = tl.exp(student_above * inverse_temperature) * student_share_of_one
                own = -exp_minus_one(token_log_prob)
                slope = advantage * tl.where(columns == token, own, -student_prob)
            else:
                teacher_logits = load_logits(teacher, columns, vocab)
                student_above, _teacher_above, gap = from_origin(
                    student_logits, teacher_logits, student_origin, teacher_origin, inverse_temperature
                )
                student_prob = tl.exp(student_above) * student_share_of_one
                teacher_prob = tl.exp((teacher_logits - teacher_top) * inverse_temperature) * teacher_share_of_one
                log_ratio = gap + normalizers
                if FORWARD:
                    terms += kl_term(teacher_prob, student_prob, -log_ratio)
                    slope = forward_slope(student_prob, teacher_prob, log_ratio)
                elif REVERSE:
                    terms += kl_term(student_prob, teacher_prob, log_ratio)
                    slope = centered_slope(student_prob, gap, center)
                else:
                    student_term, teacher_term, to_mixture = mixture_terms(
                        student_prob, teacher_prob, log_ratio, alpha, student_share
                    )
                    slope = student_share * centered_slope(student_prob, to_mixture - at_origin, center)
            if WRITES:
                tl.debug_barrier()
                tl.store(gradient + columns, (weight * slope).to(gradient.dtype.element_ty), mask=columns < vocab)
        if not SAMPLED and (FORWARD or REVERSE):
            tl.store(losses + row, ratio * tl.sum(terms, 0))


@triton.jit(do_not_specialize=["first"])
@no_type_check
def token_log_probs_kernel(
    logits, token_ids, found, count, first, vocab, logits_stride, inverse_temperature, BLOCK: tl.constexpr
):
    """Log-probability of one token of each row of logits at a temperature.

    Args:
        logits: [row, vocab], unit stride in a row.
        token_ids: [row].
        found: [row], out, float32; zero in rows that do not count.
        count: [], how many packed rows count.
        first: packed position of the first row.
        vocab: columns.
        logits_stride: elements from one row to the next.
        inverse_temperature: multiplies the logits.
        BLOCK: columns at a time, a power of two.
    """
    row = tl.program_id(0).to(tl.int64)
    if first + row >= tl.load(count):
        tl.store(found + row, 0.0)
        return
    logits += row * logits_stride
    peak = tl.full([BLOCK], LOWEST, tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, vocab, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        peak, total = push(peak, total, load_logits(logits, columns, vocab), inverse_temperature)
    top, total_of_row = close(peak, total, inverse_temperature)
    above = (tl.load(logits + tl.load(token_ids + row)) - top) * inverse_temperature
    tl.store(found + row, above - tl.log(total_of_row))
