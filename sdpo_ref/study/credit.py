"""What each method credits each sampled token with, before the update: the signal that is compared with the truth."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sdpo_ref.functional.advantages import group_advantages
from sdpo_ref.functional.agreement import groups_that_agree
from sdpo_ref.functional.log_probs import log_probs, token_log_probs
from sdpo_ref.functional.policy_gradient import leave_one_out_advantages
from sdpo_ref.functional.preference import best_and_worst
from sdpo_ref.protocols.teacher import Teacher
from sdpo_ref.protocols.trainer import Trainer
from sdpo_ref.simulation.settings.method import (
    Dpo,
    Grpo,
    Hybrid,
    MethodSettings,
    Ppo,
    Reinforce,
    Rloo,
    Sdft,
    Sdpo,
    SpanRloo,
)
from sdpo_ref.trainers.ppo import PpoTrainer
from sdpo_ref.trainers.span_rloo import span_advantages
from sdpo_ref.types import Judgement, Rollouts


@dataclass(frozen=True)
class Credit:
    """The per-token signal of one method.

    Attributes:
        method: whose signal.
        teacher: that the method learns from, if it has one.
        trainer: of the method.
    """

    method: MethodSettings
    teacher: Teacher
    trainer: Trainer

    def of(self, rollouts: Rollouts, judgement: Judgement) -> Float[Tensor, "rollout time"] | None:
        """The signal on rollouts that the present policy sampled.

        A method with a teacher credits the implicit reward of each token, a policy gradient its advantage, online DPO
        one for the chosen and minus one for the rejected completion. The scale is the method's own.
        Implements: SIM-131.

        Args:
            rollouts: sampled by the policy as it is now.
            judgement: on them.

        Returns:
            Credit of each token; ``None`` for a third party's trainer, which has nothing to ask.
        """
        rewards, groups = judgement.rewards, rollouts.prompts.group_ids
        match self.method:
            case Sdpo() | Sdft():
                return self._implicit(rollouts, judgement)[0]
            case Hybrid():
                return self._mixed(rollouts, judgement, self.method)
            case Reinforce():
                broadcast = rewards
            case Rloo():
                broadcast = leave_one_out_advantages(rewards, groups)
            case Grpo():
                broadcast = group_advantages(rewards, groups, kind="standardized")
            case SpanRloo():
                return span_advantages(rollouts, judgement, spans=len(_first_ratings(judgement)))
            case Ppo():
                assert isinstance(self.trainer, PpoTrainer)  # noqa: S101  # by assembly
                return self.trainer.advantages(rollouts, judgement)
            case Dpo():
                best, worst = best_and_worst(rewards, groups)
                broadcast = torch.zeros_like(rewards)
                broadcast[best], broadcast[worst] = 1.0, -1.0
            case _:
                return None
        return broadcast[:, None].expand(rollouts.completions.shape).contiguous()

    def _implicit(
        self, rollouts: Rollouts, judgement: Judgement
    ) -> tuple[Float[Tensor, "rollout time"], Bool[Tensor, " rollout"]]:
        """Implicit reward of each token, and which rows the teacher had something to read for."""
        view = self.teacher.view(rollouts, judgement)
        told = token_log_probs(log_probs(view.logits), rollouts.completions)
        usable = view.self_distillation_mask
        return torch.where(usable[:, None], told - rollouts.behaviour_log_probs, 0.0), usable

    def _mixed(self, rollouts: Rollouts, judgement: Judgement, method: Hybrid) -> Float[Tensor, "rollout time"]:
        implicit, usable = self._implicit(rollouts, judgement)
        groups = rollouts.prompts.group_ids
        is_open = torch.ones_like(usable)
        if method.gated:
            is_open = groups_that_agree(implicit.sum(-1), judgement.rewards, groups, usable)
        reward_weight = torch.where(is_open, method.reward_weight, 1.0)[:, None]
        of_reward = group_advantages(judgement.rewards, groups, kind="centered")[:, None]
        return reward_weight * of_reward + (1 - reward_weight) * implicit


def _first_ratings(judgement: Judgement) -> tuple[float, ...]:
    return next((said.ratings for said in judgement.feedback if said is not None), (0.0,))
