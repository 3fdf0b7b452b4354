"""The scalar loss (LOSS-020 to LOSS-061): token values, importance ratios, masks, aggregation, and its gradient.

Each step of the loss is a field of :class:`Recipe`, so that a well-known defect is the correct recipe with one step
replaced.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from mpmath import exp, mpf

from sdpo_ref.vectors.derivation.divergence import (
    Comparison,
    Restriction,
    TokenSupport,
    chosen_tokens,
    generalized_divergence,
    token_divergence,
)
from sdpo_ref.vectors.derivation.numbers import Row, gradient, log_softmax

AggregationName = Literal["token_mean", "row_mean", "row_mean_all", "row_sum", "time_normalized_sum"]
AGGREGATIONS: tuple[AggregationName, ...] = get_args(AggregationName)

Mask = Sequence[Sequence[bool]]
Weights = list[list[mpf]]
"""Factor of each token's value in the loss, ``[rollout][time]``."""


@dataclass(frozen=True)
class Batch:
    """Nested lists with axes rollout, time and (for logits) vocab, under the specification's names."""

    student_logits: Sequence[Sequence[Row]]
    teacher_logits: Sequence[Sequence[Row]]
    completions: Sequence[Sequence[int]]
    completion_mask: Mask
    self_distillation_mask: Sequence[bool]
    behaviour_log_probs: Sequence[Row] | None = None


@dataclass(frozen=True)
class LossOptions:
    """Keyword arguments of the loss; ``ratio_cap=None`` means no importance weighting."""

    alpha: mpf
    support: TokenSupport
    temperature: mpf
    ratio_cap: mpf | None


def importance_ratio(log_prob: mpf, behaviour: mpf, cap: mpf) -> mpf:
    """min(exp(clamp(log_prob - behaviour, -20, 20)), cap): truncated above only."""
    return min(exp(min(max(log_prob - behaviour, mpf(-20)), mpf(20))), cap)


def loss_mask(batch: Batch) -> Mask:
    """Sampled tokens of the rows whose teacher has a context."""
    return [
        [counts and usable for counts in row]
        for row, usable in zip(batch.completion_mask, batch.self_distillation_mask, strict=True)
    ]


def aggregation_weights(mask: Mask, aggregation: AggregationName) -> Weights:
    """Factors ``w`` such that the loss is the sum of ``w * value`` over the counted tokens."""
    counts = [sum(row) for row in mask]
    total, active, rollouts, time = sum(counts), sum(map(bool, counts)), len(mask), len(mask[0])

    def denominator(row: int) -> int:
        match aggregation:
            case "token_mean":
                return max(total, 1)
            case "row_mean":
                return active * counts[row]
            case "row_mean_all":
                return rollouts * counts[row]
            case "row_sum":
                return active
            case "time_normalized_sum":
                return time

    return [[mpf(1) / denominator(row) if counted else mpf(0) for counted in flags] for row, flags in enumerate(mask)]


@dataclass(frozen=True)
class Recipe:
    """The steps of the loss.

    Attributes:
        comparison: divergence of two distributions on the support.
        restriction: how a distribution is cut to the support; ``None`` for what the support's kind says.
        ratio: importance ratio from (log-probability, behaviour log-probability, cap).
        mask: which tokens count.
        weights: aggregation; gets the batch as well, since defects look at the wrong mask.
    """

    comparison: Comparison = generalized_divergence
    restriction: Restriction | None = None
    ratio: Callable[[mpf, mpf, mpf], mpf] = importance_ratio
    mask: Callable[[Batch], Mask] = loss_mask
    weights: Callable[[Batch, Mask, AggregationName], Weights] = lambda _, mask, name: aggregation_weights(mask, name)


CORRECT = Recipe()


@dataclass(frozen=True)
class Token:
    """One counted token.

    Attributes:
        value: its divergence (or surrogate) as a function of the student's logits.
        ratio: its importance ratio as a function of the student's logits; the loss freezes it.
        student_logits: where both are evaluated.
    """

    value: Callable[[Row], mpf]
    ratio: Callable[[Row], mpf]
    student_logits: Row


def tokens(batch: Batch, options: LossOptions, recipe: Recipe = CORRECT) -> dict[tuple[int, int], Token]:
    """Every counted token by its (rollout, time)."""
    mask = recipe.mask(batch)
    return {
        (row, time): _token(batch, options, recipe, row, time)
        for row, flags in enumerate(mask)
        for time, counted in enumerate(flags)
        if counted
    }


def _token(batch: Batch, options: LossOptions, recipe: Recipe, row: int, time: int) -> Token:
    logits = batch.student_logits[row][time]
    teacher = log_softmax(batch.teacher_logits[row][time], options.temperature)
    student = log_softmax(logits, options.temperature)
    sampled = batch.completions[row][time]

    def ratio(z: Row) -> mpf:
        if options.ratio_cap is None or batch.behaviour_log_probs is None:
            return mpf(1)
        log_prob = log_softmax(z, options.temperature)[sampled]
        return recipe.ratio(log_prob, batch.behaviour_log_probs[row][time], options.ratio_cap)

    if options.support.kind == "sampled_token":
        coefficient = student[sampled] - teacher[sampled]
        return Token(lambda z: coefficient * log_softmax(z, options.temperature)[sampled], ratio, logits)
    chosen = chosen_tokens(student, teacher, options.support)

    def value(z: Row) -> mpf:
        return token_divergence(
            log_softmax(z, options.temperature),
            teacher,
            alpha=options.alpha,
            support=options.support,
            chosen=chosen,
            comparison=recipe.comparison,
            restriction=recipe.restriction,
        )

    return Token(value, ratio, logits)


def losses(batch: Batch, options: LossOptions, recipe: Recipe = CORRECT) -> dict[AggregationName, mpf]:
    """The loss under every aggregation."""
    values = {
        at: token.ratio(token.student_logits) * token.value(token.student_logits)
        for at, token in tokens(batch, options, recipe).items()
    }
    mask = recipe.mask(batch)
    result = {}
    for name in AGGREGATIONS:
        weights = recipe.weights(batch, mask, name)
        result[name] = sum((weights[row][time] * value for (row, time), value in values.items()), mpf(0))
    return result


def slope(token: Token) -> list[mpf]:
    """Gradient of the token's weighted value w.r.t. the student's logits, the ratio held fixed."""
    ratio = token.ratio(token.student_logits)
    return gradient(lambda z: ratio * token.value(z), token.student_logits)


def loss_gradients(
    batch: Batch, options: LossOptions, slope_of: Callable[[Token], list[mpf]] = slope
) -> dict[AggregationName, list[list[list[mpf]]]]:
    """Gradient of the loss w.r.t. the student's logits under every aggregation.

    The support's tokens, the ratio and the sampled token's coefficient stay fixed while the logits move.
    """
    of_token = {at: slope_of(token) for at, token in tokens(batch, options).items()}
    return {name: _weighted(of_token, aggregation_weights(loss_mask(batch), name), batch) for name in AGGREGATIONS}


def _weighted(of_token: Mapping[tuple[int, int], Row], weights: Weights, batch: Batch) -> list[list[list[mpf]]]:
    vocab = len(batch.student_logits[0][0])
    zero = [mpf(0)] * vocab
    return [
        [[weight * entry for entry in of_token.get((row, time), zero)] for time, weight in enumerate(flags)]
        for row, flags in enumerate(weights)
    ]
