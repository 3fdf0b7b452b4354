"""Reward and self-distillation in one advantage (LOSS-071, LOSS-072, LOSS-117), and the implicit reward (LOSS-080)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mpmath import mpf

from sdpo_ref.vectors.derivation.loss import Batch
from sdpo_ref.vectors.derivation.numbers import Row, gradient, log_softmax


def group_advantages(rewards: Row, group_ids: Sequence[int]) -> list[mpf]:
    """Reward minus the mean reward of its group; not divided by anything."""

    def mean(group: int) -> mpf:
        members = [reward for reward, other in zip(rewards, group_ids, strict=True) if other == group]
        return sum(members) / len(members)

    return [reward - mean(group) for reward, group in zip(rewards, group_ids, strict=True)]


def convex(reward_weight: mpf, reward_part: mpf, distillation_part: mpf) -> mpf:
    """The two parts of the advantage, weighted to sum to one; ``reward_weight`` multiplies the reward."""
    return reward_weight * reward_part + (1 - reward_weight) * distillation_part


@dataclass(frozen=True)
class HybridRecipe:
    """The steps of the hybrid loss that a defect may replace.

    Attributes:
        advantages: the reward's part for each rollout.
        mix: the advantage from (reward weight, reward's part, distillation's part).
        usable: which rows are distilled.
    """

    advantages: Callable[[Row, Sequence[int]], list[mpf]] = group_advantages
    mix: Callable[[mpf, mpf, mpf], mpf] = convex
    usable: Callable[[Batch], Sequence[bool]] = lambda batch: batch.self_distillation_mask


CORRECT = HybridRecipe()


def hybrid_loss(
    batch: Batch, rewards: Row, group_ids: Sequence[int], reward_weight: mpf, recipe: HybridRecipe = CORRECT
) -> mpf:
    """Minus the mean over sampled tokens of advantage times log-probability (profile ``advantage``)."""
    weights = token_weights(batch, rewards, group_ids, reward_weight, recipe)
    return sum((weight * student[sampled] for weight, student, sampled in _counted(batch, weights)), mpf(0))


def hybrid_gradient(batch: Batch, rewards: Row, group_ids: Sequence[int], reward_weight: mpf) -> list[list[list[mpf]]]:
    """Gradient of the hybrid loss w.r.t. the student's logits; the advantage stays fixed."""
    weights = token_weights(batch, rewards, group_ids, reward_weight, CORRECT)

    def at(row: int, time: int) -> list[mpf]:
        weight, sampled = weights[row][time], batch.completions[row][time]
        logits = batch.student_logits[row][time]
        if weight == 0:
            return [mpf(0)] * len(logits)
        return gradient(lambda z: weight * log_softmax(z)[sampled], logits)

    return [[at(row, time) for time in range(len(flags))] for row, flags in enumerate(batch.completion_mask)]


def token_weights(
    batch: Batch, rewards: Row, group_ids: Sequence[int], reward_weight: mpf, recipe: HybridRecipe
) -> list[list[mpf]]:
    """Factor of each token's log-probability: minus its advantage over the number of sampled tokens."""
    reward_parts = recipe.advantages(rewards, group_ids)
    usable = recipe.usable(batch)
    count = max(sum(sum(row) for row in batch.completion_mask), 1)

    def weight(row: int, time: int) -> mpf:
        sampled = batch.completions[row][time]
        log_ratio = (
            log_softmax(batch.teacher_logits[row][time])[sampled]
            - log_softmax(batch.student_logits[row][time])[sampled]
        )
        return -recipe.mix(reward_weight, reward_parts[row], log_ratio if usable[row] else mpf(0)) / count

    return [
        [weight(row, time) if counted else mpf(0) for time, counted in enumerate(flags)]
        for row, flags in enumerate(batch.completion_mask)
    ]


def _counted(batch: Batch, weights: Sequence[Row]) -> list[tuple[mpf, list[mpf], int]]:
    return [
        (weights[row][time], log_softmax(batch.student_logits[row][time]), batch.completions[row][time])
        for row, flags in enumerate(batch.completion_mask)
        for time, counted in enumerate(flags)
        if counted
    ]


def implicit_rewards(
    conditioned_logits: Sequence[Sequence[Row]],
    reference_logits: Sequence[Sequence[Row]],
    completions: Sequence[Sequence[int]],
    completion_mask: Sequence[Sequence[bool]],
) -> list[mpf]:
    """Sum over each rollout's sampled tokens of log pi(y|x,c) - log pi_k(y|x)."""

    def of_token(row: int, time: int) -> mpf:
        sampled = completions[row][time]
        return log_softmax(conditioned_logits[row][time])[sampled] - log_softmax(reference_logits[row][time])[sampled]

    return [
        sum((of_token(row, time) for time, counted in enumerate(flags) if counted), mpf(0))
        for row, flags in enumerate(completion_mask)
    ]
