"""The functions that `sdpo-ref verify` can check, as a user would type them.

mypy reads this file in `test_typing.py`; the assignments at the end are where it compares each function with its
Protocol. What the functions compute is beside the point, and kept as short as their types allow.
"""

from collections.abc import Collection, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdpo_ref import DistillationBatch, Support
from sdpo_ref.protocols import parts
from sdpo_ref.protocols.profile import ContextRules


def divergence(
    student_log_probs: Float[Tensor, "*batch vocab"],
    teacher_log_probs: Float[Tensor, "*batch vocab"],
    *,
    alpha: float,
    support: Support,
) -> Float[Tensor, "*batch"]:
    """Level 0."""
    del alpha, support
    return (teacher_log_probs.exp() * (teacher_log_probs - student_log_probs)).sum(-1)


def loss(
    batch: DistillationBatch,
    *,
    alpha: float,
    support: Support,
    temperature: float,
    ratio_cap: float | None,
) -> Float[Tensor, ""]:
    """Level 1."""
    del alpha, support, ratio_cap
    return (batch.student_logits / temperature).mean()


def hybrid_loss(
    batch: DistillationBatch,
    rewards: Float[Tensor, " rollout"],
    group_ids: Int[Tensor, " rollout"],
    *,
    reward_weight: float,
    support: Support,
) -> Float[Tensor, ""]:
    """Level 1."""
    del group_ids, support
    return reward_weight * rewards.mean() * batch.student_logits.mean()


def implicit_reward(
    conditioned_logits: Float[Tensor, "rollout time vocab"],
    reference_logits: Float[Tensor, "rollout time vocab"],
    completions: Int[Tensor, "rollout time"],
    completion_mask: Bool[Tensor, "rollout time"],
) -> Float[Tensor, " rollout"]:
    """Level 1."""
    gain = conditioned_logits.log_softmax(-1) - reference_logits.log_softmax(-1)
    return (gain.gather(-1, completions[..., None])[..., 0] * completion_mask).sum(-1)


def completion_mask(
    completions: Int[Tensor, "rollout time"], *, end_ids: Collection[int]
) -> Bool[Tensor, "rollout time"]:
    """Level 2."""
    ended = torch.isin(completions, torch.tensor(sorted(end_ids))).cumsum(-1)
    return ended == 0


def context(attempts: Sequence[parts.Attempt], rules: ContextRules) -> Sequence[parts.TeacherContext]:
    """Level 2."""
    del rules
    return [parts.TeacherContext(attempt.prompt, usable=False) for attempt in attempts]


def demonstration_context(prompt: tuple[parts.Message, ...], demonstration: str | None) -> tuple[parts.Message, ...]:
    """Level 2."""
    return prompt if demonstration is None else (*prompt, {"role": "user", "content": demonstration})


def step(problem: parts.StepProblem) -> parts.StepTrace:
    """Level 3."""
    weights = dict(problem.make_model().named_parameters())
    return parts.StepTrace(student=(weights,), teacher=(weights,))


def trust_region(
    reference_logits: Float[Tensor, "*batch vocab"],
    student_logits: Float[Tensor, "*batch vocab"],
    *,
    mix: float,
) -> Float[Tensor, "*batch vocab"]:
    """Level 3."""
    return torch.lerp(reference_logits, student_logits, mix)


def low_rank_average(
    student: Sequence[parts.LowRankFactors], *, update_rate: float
) -> Sequence[Float[Tensor, "out in"]]:
    """Level 3."""
    return [update_rate * (up @ down) for up, down in student]


_divergence: parts.Divergence = divergence
_loss: parts.Loss = loss
_hybrid_loss: parts.HybridLoss = hybrid_loss
_implicit_reward: parts.ImplicitReward = implicit_reward
_completion_mask: parts.CompletionMask = completion_mask
_context: parts.Context = context
_demonstration_context: parts.DemonstrationContext = demonstration_context
_step: parts.Step = step
_trust_region: parts.TrustRegion = trust_region
_low_rank_average: parts.LowRankAverage = low_rank_average
