"""The loss whose teacher is a list of tokens with their log-probabilities (LOSS-134 to LOSS-136), token by token."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mpmath import exp, inf, log, mpf

from sdpo_ref.vectors.derivation.divergence import generalized_divergence
from sdpo_ref.vectors.derivation.loss import (
    AGGREGATIONS,
    AggregationName,
    Mask,
    aggregation_weights,
    importance_ratio,
)
from sdpo_ref.vectors.derivation.numbers import Row, gradient, kl, log_softmax, log_sum_exp


@dataclass(frozen=True)
class Lists:
    """Nested lists with axes rollout, time and vocab or listed, under the specification's names."""

    student_logits: Sequence[Sequence[Row]]
    teacher_ids: Sequence[Sequence[Sequence[int]]]
    teacher_log_probs: Sequence[Sequence[Row]]
    completions: Sequence[Sequence[int]]
    completion_mask: Mask
    self_distillation_mask: Sequence[bool]
    behaviour_log_probs: Sequence[Row] | None = None


@dataclass(frozen=True)
class ListOptions:
    """Keyword arguments of the loss."""

    alpha: mpf
    support: str
    temperature: mpf
    ratio_cap: mpf | None


Formula = Callable[[Row, Sequence[int], Row, ListOptions], mpf]
"""From the student's log-probabilities, the listed ids and the teacher's log-probabilities to nats."""


def token_loss(student: Row, ids: Sequence[int], listed: Row, options: ListOptions) -> mpf:
    """On the list and the rest, on the list rescaled, or as a cross-entropy with the student's own mass."""
    head = [student[token] for token in ids]
    if options.support == "top_k_tail":
        others = [value for token, value in enumerate(student) if token not in ids]
        if not others:
            return generalized_divergence(head, listed, options.alpha)
        rest = 1 - sum(exp(value) for value in listed)
        return generalized_divergence([*head, log_sum_exp(others)], [*listed, log(rest)], options.alpha)
    if options.support == "top_k_renormalized":
        return generalized_divergence(log_softmax(head), log_softmax(listed), options.alpha)
    return -sum((exp(q) * p for q, p in zip(log_softmax(listed), head, strict=True)), mpf(0))


def list_losses(
    batch: Lists, options: ListOptions, formula: Formula = token_loss, *, with_gradients: bool = True
) -> tuple[dict[AggregationName, mpf], dict[AggregationName, list[list[list[mpf]]]]]:
    """Loss under every aggregation, and its gradient w.r.t. the student's logits, the ratios held fixed."""
    rows, times, vocab = len(batch.completions), len(batch.completions[0]), len(batch.student_logits[0][0])
    mask = [
        [batch.completion_mask[row][time] and batch.self_distillation_mask[row] for time in range(times)]
        for row in range(rows)
    ]
    value: dict[tuple[int, int], mpf] = {}
    slope: dict[tuple[int, int], list[mpf]] = {}
    for row in range(rows):
        for time in range(times):
            if not mask[row][time]:
                continue
            logits, ids = batch.student_logits[row][time], batch.teacher_ids[row][time]
            listed = batch.teacher_log_probs[row][time]
            ratio = mpf(1)
            if options.ratio_cap is not None and batch.behaviour_log_probs is not None:
                sampled = log_softmax(logits, options.temperature)[batch.completions[row][time]]
                ratio = importance_ratio(sampled, batch.behaviour_log_probs[row][time], options.ratio_cap)

            def weighted(z: Row, ids: Sequence[int] = ids, listed: Row = listed, ratio: mpf = ratio) -> mpf:
                return ratio * formula(log_softmax(z, options.temperature), ids, listed, options)

            value[row, time] = weighted(logits)
            if with_gradients:
                slope[row, time] = gradient(weighted, logits)
    values, gradients = {}, {}
    for name in AGGREGATIONS:
        weights = aggregation_weights(mask, name)
        values[name] = sum((weights[row][time] * it for (row, time), it in value.items()), mpf(0))
        gradients[name] = [
            [[weights[row][time] * it for it in slope.get((row, time), [mpf(0)] * vocab)] for time in range(times)]
            for row in range(rows)
        ]
    return values, gradients


def _raw(student: Row, ids: Sequence[int], listed: Row, options: ListOptions) -> mpf:
    """The listed tokens as they are: neither a rest nor rescaled."""
    return generalized_divergence([student[token] for token in ids], listed, options.alpha)


def _renormalised_in_silence(student: Row, ids: Sequence[int], listed: Row, options: ListOptions) -> mpf:
    """Minus infinity for every token that is not listed, and a softmax over that."""
    filled = [-inf] * len(student)
    for token, value in zip(ids, log_softmax(listed), strict=True):
        filled[token] = value
    return generalized_divergence(student, filled, options.alpha)


def _student_rescaled(student: Row, ids: Sequence[int], listed: Row, options: ListOptions) -> mpf:
    """The cross-entropy with the student rescaled as well: a forward KL of the rescaled list, but for a constant."""
    head = log_softmax([student[token] for token in ids])
    rescaled = log_softmax(listed)
    return kl(rescaled, head) - sum((exp(it) * it for it in rescaled), mpf(0)) if options.alpha == 0 else mpf(0)


LIST_DEFECTS: Mapping[str, Formula] = {
    "M671 neither a rest nor rescaled": _raw,
    "M672 minus infinity for what is not listed": _renormalised_in_silence,
    "M678 student rescaled in the cross-entropy": _student_rescaled,
}
