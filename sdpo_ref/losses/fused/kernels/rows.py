"""Value and gradient of the loss on the full vocabulary or on the sampled token; normalisers of rows of logits."""

from typing import no_type_check

import triton
import triton.language as tl

from sdpo_ref.losses.fused.kernels.arithmetic import (
    LOWEST,
    close,
    exp_minus_one,
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

    Sweep 1 takes both normalisers, and for the reverse KL the mean that its gradient subtracts. The next sweep
    sums the terms of the value and writes the gradient. Between the ends of alpha the gradient needs the divergence
    from the mixture first, hence one sweep more. Where the gradient is narrower than the logits, it lies over the
    part of the row that has been read; the barriers keep it from overtaking the reads of other warps.

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

    student_peak = tl.full([BLOCK], LOWEST, tl.float32)
    teacher_peak = tl.full([BLOCK], LOWEST, tl.float32)
    student_total = tl.zeros([BLOCK], tl.float32)
    teacher_total = tl.zeros([BLOCK], tl.float32)
    gaps = tl.zeros([BLOCK], tl.float32)
    for start in range(0, vocab, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        student_logits = load_logits(student, columns, vocab, inverse_temperature)
        teacher_logits = load_logits(teacher, columns, vocab, inverse_temperature)
        student_peak, student_total, kept, added = push(student_peak, student_total, student_logits)
        teacher_peak, teacher_total, _, _ = push(teacher_peak, teacher_total, teacher_logits)
        if REVERSE and not SAMPLED:
            gaps = gaps * kept + added * finite_or_zero(student_logits - teacher_logits)
    student_top, student_log_sum = close(student_peak, student_total)
    teacher_top, teacher_log_sum = close(teacher_peak, teacher_total)
    log_normalizers = (student_top - teacher_top) + (student_log_sum - teacher_log_sum)

    token = tl.load(token_ids + row)
    token_logit = tl.load(student + token).to(tl.float32) * inverse_temperature
    token_log_prob = token_logit - student_top - student_log_sum
    advantage = 0.0
    if SAMPLED:
        advantage = token_logit - tl.load(teacher + token).to(tl.float32) * inverse_temperature - log_normalizers
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
    divergence = 0.0
    if REVERSE and not SAMPLED:
        center = tl.sum(gaps * tl.exp(student_peak - student_top - student_log_sum), 0)
    if not (FORWARD or REVERSE or SAMPLED):
        student_terms = tl.zeros([BLOCK], tl.float32)
        teacher_terms = tl.zeros([BLOCK], tl.float32)
        for start in range(0, vocab, BLOCK):
            columns = start + tl.arange(0, BLOCK)
            student_logits = load_logits(student, columns, vocab, inverse_temperature)
            teacher_logits = load_logits(teacher, columns, vocab, inverse_temperature)
            student_term, teacher_term, _ = mixture_terms(
                tl.exp(student_logits - student_top - student_log_sum),
                tl.exp(teacher_logits - teacher_top - teacher_log_sum),
                log_ratio_of(student_logits, teacher_logits, log_normalizers),
                alpha,
                student_share,
            )
            student_terms += student_term
            teacher_terms += teacher_term
        divergence = tl.sum(student_terms, 0)
        tl.store(losses + row, ratio * (student_share * divergence + alpha * tl.sum(teacher_terms, 0)))
    if SAMPLED:
        tl.store(losses + row, ratio * advantage * token_log_prob)

    # The last sweep: terms of the value where it has not been taken yet, and the gradient.
    if WRITES or (not SAMPLED and (FORWARD or REVERSE)):
        terms = tl.zeros([BLOCK], tl.float32)
        for start in range(0, vocab, BLOCK):
            columns = start + tl.arange(0, BLOCK)
            student_logits = load_logits(student, columns, vocab, inverse_temperature)
            student_prob = tl.exp(student_logits - student_top - student_log_sum)
            if SAMPLED:
                own = -exp_minus_one(token_log_prob)
                slope = advantage * tl.where(columns == token, own, -student_prob)
            else:
                teacher_logits = load_logits(teacher, columns, vocab, inverse_temperature)
                teacher_prob = tl.exp(teacher_logits - teacher_top - teacher_log_sum)
                log_ratio = log_ratio_of(student_logits, teacher_logits, log_normalizers)
                if FORWARD:
                    terms += kl_term(teacher_prob, student_prob, -log_ratio)
                    slope = forward_slope(student_prob, teacher_prob, log_ratio)
                elif REVERSE:
                    terms += kl_term(student_prob, teacher_prob, log_ratio)
                    slope = reverse_slope(student_prob, student_logits - teacher_logits, center)
                else:
                    _, _, to_mixture = mixture_terms(student_prob, teacher_prob, log_ratio, alpha, student_share)
                    slope = student_share * mixture_slope(student_prob, to_mixture, divergence)
            if WRITES:
                tl.debug_barrier()
                tl.store(gradient + columns, (weight * slope).to(gradient.dtype.element_ty), mask=columns < vocab)
        if not SAMPLED and (FORWARD or REVERSE):
            tl.store(losses + row, ratio * tl.sum(terms, 0))


@triton.jit(do_not_specialize=["first"])
@no_type_check
def normalizers_kernel(logits, sums, count, first, vocab, logits_stride, inverse_temperature, BLOCK: tl.constexpr):
    """Log of the sum of exponentials of each row of logits at a temperature.

    Args:
        logits: [row, vocab], unit stride in a row.
        sums: [row], out, float32; zero in rows that do not count.
        count: [], how many packed rows count.
        first: packed position of the first row.
        vocab: columns.
        logits_stride: elements from one row to the next.
        inverse_temperature: multiplies the logits.
        BLOCK: columns at a time, a power of two.
    """
    row = tl.program_id(0).to(tl.int64)
    if first + row >= tl.load(count):
        tl.store(sums + row, 0.0)
        return
    logits += row * logits_stride
    peak = tl.full([BLOCK], LOWEST, tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, vocab, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        peak, total, _, _ = push(peak, total, load_logits(logits, columns, vocab, inverse_temperature))
    top, log_sum = close(peak, total)
    tl.store(sums + row, top + log_sum)
