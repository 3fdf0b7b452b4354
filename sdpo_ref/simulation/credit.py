"""What a method credits each sampled token with before its update: the signal that is compared with the truth."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sdpo_ref.functional.advantages import group_advantages
from sdpo_ref.functional.agreement import groups_that_agree
from sdpo_ref.functional.log_probs import log_probs, token_log_probs
from sdpo_ref.functional.policy_gradient import leave_one_out_advantages
from sdpo_ref.functional.preference import best_and_worst
from sdpo_ref.protocols import Teacher, Trainer
from sdpo_ref.trainers.advantage_weighted import weighted_advantages
from sdpo_ref.trainers.kl_gated import teacher_weight
from sdpo_ref.trainers.ppo import PpoTrainer
from sdpo_ref.trainers.span_rloo import span_advantages
from sdpo_ref.trainers.update import logits_of
from sdpo_ref.types import DistillationBatch, Judgement, Rollouts


@dataclass(frozen=True)
class Step:
    """What a method has in front of it before an update.

    Attributes:
        teacher: that the method learns from, if it has one.
        trainer: of the method.
        rollouts: sampled by the policy as it is now.
        judgement: on them.
    """

    teacher: Teacher
    trainer: Trainer
    rollouts: Rollouts
    judgement: Judgement

    def of_completions(self, values: Float[Tensor, " rollout"]) -> Float[Tensor, "rollout time"]:
        """One number for each completion, at each of its tokens."""
        return values[:, None].expand(self.rollouts.completions.shape).contiguous()


def implicit_rewards(step: Step) -> Float[Tensor, "rollout time"]:
    """SDPO and SDFT: how much likelier the teacher finds each token than the student, in nats."""
    return _implicit(step)[0]


def mixed_advantages(step: Step, *, reward_weight: float, gated: bool) -> Float[Tensor, "rollout time"]:
    """The hybrid: the reward's advantage and the implicit reward, weighted as the trainer weighs them.

    Args:
        step: rollouts and their judgement.
        reward_weight: of the reward; the teacher has the rest.
        gated: whether a group whose teacher contradicts the reward counts the reward alone.
    """
    implicit, usable = _implicit(step)
    rewards, groups = step.judgement.rewards, step.rollouts.prompts.group_ids
    is_open = torch.ones_like(usable)
    if gated:
        is_open = groups_that_agree(implicit.sum(-1), rewards, groups, usable)
    weight = torch.where(is_open, reward_weight, 1.0)[:, None]
    of_reward = group_advantages(rewards, groups, kind="centered")[:, None]
    return weight * of_reward + (1 - weight) * implicit


def mixed_by_divergence(step: Step, *, threshold: float) -> Float[Tensor, "rollout time"]:
    """The hybrid that the divergence gates: the implicit reward and the reward's advantage, as the trainer weighs them.

    Args:
        step: rollouts and their judgement.
        threshold: of the divergence, in nats per token.
    """
    rollouts = step.rollouts
    view = step.teacher.view(rollouts, step.judgement)
    with torch.no_grad():
        logits = logits_of(step.trainer.policy, rollouts)
    mask, usable = rollouts.completion_mask, view.self_distillation_mask
    batch = DistillationBatch(logits, view.logits, rollouts.completions, mask, usable)
    weight = teacher_weight(batch, threshold=threshold)
    of_reward = group_advantages(step.judgement.rewards, rollouts.prompts.group_ids, kind="centered")[:, None]
    return weight * _implicit(step)[0] + (1 - weight) * of_reward


def shares_of_advantages(step: Step, *, signed: bool) -> Float[Tensor, "rollout time"]:
    """Advantage-weighted: the reward's advantage, shared out by how much the teacher prefers each token.

    Args:
        step: rollouts and their judgement.
        signed: whether shares have the sign of the preference.
    """
    view = step.teacher.view(step.rollouts, step.judgement)
    with torch.no_grad():
        logits = logits_of(step.trainer.policy, step.rollouts)
    return weighted_advantages(step.rollouts, step.judgement, view, logits, signed=signed)


def rewards(step: Step) -> Float[Tensor, "rollout time"]:
    """REINFORCE: the reward; its baseline is the same for all tokens, so it changes no comparison."""
    return step.of_completions(step.judgement.rewards)


def leave_one_out(step: Step) -> Float[Tensor, "rollout time"]:
    """RLOO: the reward less the mean of the siblings'."""
    return step.of_completions(leave_one_out_advantages(step.judgement.rewards, step.rollouts.prompts.group_ids))


def standardized(step: Step) -> Float[Tensor, "rollout time"]:
    """GRPO: the standardised reward of the group."""
    groups = step.rollouts.prompts.group_ids
    return step.of_completions(group_advantages(step.judgement.rewards, groups, kind="standardized"))


def of_spans(step: Step) -> Float[Tensor, "rollout time"]:
    """Span RLOO: each span's rating less the mean of the siblings' same span."""
    rated = (feedback.ratings for feedback in step.judgement.feedback if feedback is not None)
    return span_advantages(step.rollouts, step.judgement, spans=len(next(rated, (0.0,))))


def generalized_advantages(step: Step) -> Float[Tensor, "rollout time"]:
    """PPO: the advantage over its learned value."""
    assert isinstance(step.trainer, PpoTrainer)  # noqa: S101  # by the table
    return step.trainer.advantages(step.rollouts, step.judgement)


def preferences(step: Step) -> Float[Tensor, "rollout time"]:
    """Online DPO: one for the chosen and minus one for the rejected completion."""
    best, worst = best_and_worst(step.judgement.rewards, step.rollouts.prompts.group_ids)
    values = torch.zeros_like(step.judgement.rewards)
    values[best], values[worst] = 1.0, -1.0
    return step.of_completions(values)


def _implicit(step: Step) -> tuple[Float[Tensor, "rollout time"], Bool[Tensor, " rollout"]]:
    """Implicit reward of each token, and which rows the teacher had something to read for."""
    rollouts = step.rollouts
    view = step.teacher.view(rollouts, step.judgement)
    of_teacher = token_log_probs(log_probs(view.logits), rollouts.completions)
    usable = view.self_distillation_mask
    return torch.where(usable[:, None], of_teacher - rollouts.behaviour_log_probs, 0.0), usable
