"""What well-known wrong implementations compute, so that a failure can be named.

Each label begins with the id of the mutant (``sdpo_ref/mutants``) that has the same defect, if there is one. All take
the correct recipe and replace one step.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mpmath import exp, expm1, inf, log, mpf, sqrt

from sdpo_ref.vectors.derivation.divergence import (
    Comparison,
    TokenSupport,
    generalized_divergence,
    mixed,
    most_likely,
    renormalized,
    token_divergence,
    with_tail,
)
from sdpo_ref.vectors.derivation.hybrid import CORRECT as CORRECT_HYBRID
from sdpo_ref.vectors.derivation.hybrid import HybridRecipe, group_advantages
from sdpo_ref.vectors.derivation.loss import (
    CORRECT,
    AggregationName,
    Batch,
    Mask,
    Recipe,
    Token,
    Weights,
    importance_ratio,
)
from sdpo_ref.vectors.derivation.numbers import Row, gradient, kl, log_softmax, log_sum_exp
from sdpo_ref.vectors.derivation.teacher import averages

TokenDivergence = Callable[[Row, Row, mpf, TokenSupport], mpf]
"""Divergence of one token from (student, teacher, alpha, support)."""

TAIL_CLAMP = mpf("1e-7")
"""Smallest tail mass that the published code can represent."""


def _interior(wrong: Comparison) -> Comparison:
    return lambda s, t, alpha: generalized_divergence(s, t, alpha) if alpha in (0, 1) else wrong(s, t, alpha)


def _geometric(s: Row, t: Row, alpha: mpf) -> list[mpf]:
    return [-inf if -inf in (a, b) else (1 - alpha) * a + alpha * b for a, b in zip(s, t, strict=True)]


def _weighted_kl(s: Row, t: Row, middle: Row, teacher_coefficient: mpf) -> mpf:
    return (1 - teacher_coefficient) * kl(s, middle) + teacher_coefficient * kl(t, middle)


def _without_ends(s: Row, t: Row, alpha: mpf) -> mpf:
    return _weighted_kl(s, t, mixed(s, t, alpha), alpha)


def _clipped_terms(s: Row, t: Row, alpha: mpf) -> mpf:
    first, second = (t, s) if alpha == 0 else (s, t)
    return sum(min(exp(p) * (p - q), mpf("0.05")) for p, q in zip(first, second, strict=True) if p != -inf)


COMPARISONS: Mapping[str, Comparison] = {
    "M001 student and teacher swapped": lambda s, t, a: generalized_divergence(t, s, a),
    "M010 mixture weights swapped": _interior(lambda s, t, a: _weighted_kl(s, t, mixed(s, t, 1 - a), a)),
    "M006 coefficients swapped": _interior(lambda s, t, a: _weighted_kl(s, t, mixed(s, t, a), 1 - a)),
    "M016 mixture formula used at the ends of alpha": _without_ends,
    "mixture of log-probabilities, not normalised": _interior(
        lambda s, t, a: _weighted_kl(s, t, _geometric(s, t, a), a)
    ),
    "M015 mixture of log-probabilities, normalised": _interior(
        lambda s, t, a: _weighted_kl(s, t, renormalized(_geometric(s, t, a), range(len(s))), a)
    ),
    "M011 inner KL reversed": _interior(lambda s, t, a: (1 - a) * kl(mixed(s, t, a), s) + a * kl(mixed(s, t, a), t)),
    "M019 vocabulary terms clipped before the sum": lambda s, t, a: (
        _clipped_terms(s, t, a) if a in (0, 1) else generalized_divergence(s, t, a)
    ),
    "bits instead of nats": lambda s, t, a: generalized_divergence(s, t, a) / log(2),
}
"""Wrong divergences of two distributions on the same support."""


def without_tail(log_probs: Row, chosen: Sequence[int]) -> list[mpf]:
    """The chosen tokens as they are, which is not a distribution."""
    return [log_probs[index] for index in chosen]


def with_clamped_tail(log_probs: Row, chosen: Sequence[int]) -> list[mpf]:
    """The tail as log(1 - sum) with the log of the sum clamped to -1e-7, as published."""
    head = without_tail(log_probs, chosen)
    return [*head, log(-expm1(min(log_sum_exp(head), -TAIL_CLAMP)))]


def _other_kind(support: TokenSupport) -> TokenSupport:
    return replace(support, kind="top_k_renormalized" if support.kind == "top_k_tail" else "top_k_tail")


def other_side(support: TokenSupport) -> TokenSupport:
    """The same support with the other side's most likely tokens."""
    return replace(support, top_k_from="teacher" if support.top_k_from == "student" else "student")


def _positional(student: Row, teacher: Row, alpha: mpf, support: TokenSupport) -> mpf:
    if support.k is None:
        return token_divergence(student, teacher, alpha=alpha, support=support)
    restriction = renormalized if support.kind == "top_k_renormalized" else with_tail
    return generalized_divergence(
        restriction(student, most_likely(student, support.k)),
        restriction(teacher, most_likely(teacher, support.k)),
        alpha,
    )


TOP_K_DEFECTS: Mapping[str, TokenDivergence] = {
    "M041 neither tail nor renormalisation": lambda s, t, a, support: token_divergence(
        s, t, alpha=a, support=support, restriction=without_tail
    ),
    "M042 clamped at zero, neither tail nor renormalisation": lambda s, t, a, support: max(
        mpf(0), token_divergence(s, t, alpha=a, support=support, restriction=without_tail)
    ),
    "M048 each side's own top-k compared by position": _positional,
    "M056 tail and renormalisation swapped": lambda s, t, a, support: token_divergence(
        s, t, alpha=a, support=_other_kind(support)
    ),
    "M049 top-k chosen from the other side": lambda s, t, a, support: token_divergence(
        s, t, alpha=a, support=other_side(support)
    ),
    "M059 full vocabulary in place of the top-k": lambda s, t, a, _: token_divergence(
        s, t, alpha=a, support=TokenSupport("full")
    ),
}
"""Wrong divergences on a top-k support."""

TAIL_DEFECTS: Mapping[str, TokenDivergence] = {
    "M043 tail mass clamped at 1e-7": lambda s, t, a, support: token_divergence(
        s, t, alpha=a, support=support, restriction=with_clamped_tail
    ),
}
"""Wrong divergences with a tail bucket."""


def _without_upper_bound(log_prob: mpf, behaviour: mpf, _: mpf) -> mpf:
    return importance_ratio(log_prob, behaviour, inf)


def _two_sided(log_prob: mpf, behaviour: mpf, cap: mpf) -> mpf:
    return max(importance_ratio(log_prob, behaviour, cap), 1 / cap)


RATIOS: Mapping[str, Recipe] = {
    "M084 ratio clipped on both sides": replace(CORRECT, ratio=_two_sided),
    "M095 ratio ignored": replace(CORRECT, ratio=lambda *_: mpf(1)),
    "M083 ratio inverted": replace(CORRECT, ratio=lambda new, old, cap: importance_ratio(old, new, cap)),
    "M086 ratio not truncated": replace(CORRECT, ratio=_without_upper_bound),
}
"""Wrong importance ratios."""


def slope_with_ratio(token: Token) -> list[mpf]:
    """Gradient of a token's weighted value with the ratio moving along."""
    return gradient(lambda z: token.ratio(z) * token.value(z), token.student_logits)


def untempered(batch: Batch, temperature: mpf, *, student: bool, teacher: bool) -> Batch:
    """The batch whose loss at ``temperature`` is what a loss gives that does not divide the named sides."""

    def raised(logits: Sequence[Sequence[Row]]) -> list[list[list[mpf]]]:
        return [[[temperature * value for value in row] for row in rows] for rows in logits]

    return replace(
        batch,
        student_logits=raised(batch.student_logits) if student else batch.student_logits,
        teacher_logits=raised(batch.teacher_logits) if teacher else batch.teacher_logits,
    )


def _by_completion_tokens(batch: Batch, mask: Mask, _: AggregationName) -> Weights:
    return _uniform(mask, max(sum(map(sum, batch.completion_mask)), 1))


def _by_all_positions(_: Batch, mask: Mask, __: AggregationName) -> Weights:
    return _uniform(mask, len(mask) * len(mask[0]))


def _uniform(mask: Mask, denominator: int) -> Weights:
    return [[mpf(counted) / denominator for counted in row] for row in mask]


def _rows_everywhere(batch: Batch) -> Mask:
    return [
        [usable] * len(row) for row, usable in zip(batch.completion_mask, batch.self_distillation_mask, strict=True)
    ]


MASKS: Mapping[str, Recipe] = {
    "M101 self_distillation_mask ignored": replace(CORRECT, mask=lambda batch: batch.completion_mask),
    "M102 completion_mask ignored": replace(CORRECT, mask=_rows_everywhere),
}
"""Wrong masks; every aggregation misses in its own way."""

DENOMINATORS: Mapping[str, Recipe] = {
    "M125 denominator counts rows without a teacher": replace(CORRECT, weights=_by_completion_tokens),
    "M126 denominator is rollouts times padded length": replace(CORRECT, weights=_by_all_positions),
}
"""Wrong denominators of the token mean."""


def _standardized(rewards: Row, group_ids: Sequence[int]) -> list[mpf]:
    centred = group_advantages(rewards, group_ids)

    def deviation(group: int) -> mpf:
        members = [value for value, other in zip(centred, group_ids, strict=True) if other == group]
        return sqrt(sum(value**2 for value in members) / max(len(members) - 1, 1))

    return [value / (deviation(group) + mpf("1e-4")) for value, group in zip(centred, group_ids, strict=True)]


HYBRIDS: Mapping[str, HybridRecipe] = {
    "M176 reward weight on the distillation part": replace(
        CORRECT_HYBRID, mix=lambda weight, reward, log_ratio: (1 - weight) * reward + weight * log_ratio
    ),
    "M179 distillation added with weight one": replace(
        CORRECT_HYBRID, mix=lambda weight, reward, log_ratio: weight * reward + log_ratio
    ),
    "M171 group advantage divided by its standard deviation": replace(CORRECT_HYBRID, advantages=_standardized),
    "M101 self_distillation_mask ignored": replace(
        CORRECT_HYBRID, usable=lambda batch: [True] * len(batch.self_distillation_mask)
    ),
    "M181 distillation part with the wrong sign": replace(
        CORRECT_HYBRID, mix=lambda weight, reward, log_ratio: weight * reward - (1 - weight) * log_ratio
    ),
}
"""Wrong hybrid losses."""


def arithmetic_region(reference_logits: Row, student_logits: Row, mix: mpf) -> list[mpf]:
    """A trust-region teacher that mixes probabilities in place of log-probabilities."""
    return mixed(log_softmax(reference_logits), log_softmax(student_logits), mix)


def averaged_twice(teacher: Row, students: Sequence[Row], update_rate: mpf) -> list[list[mpf]]:
    """An averaged teacher that moves twice for each of the student's updates."""
    return averages(teacher, [student for student in students for _ in range(2)], update_rate)[1::2]
