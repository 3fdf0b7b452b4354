"""The hybrid of self-distillation and policy gradient, with a fixed weight or a gate (spec/06-simulation, D).

How it departs from SDPO: the reward has a weight of its own, so that a wrong teacher does not decide alone. How it
departs from the policy gradients: the teacher's credit of each token is added to the completion's advantage. How the
gated hybrid departs from the fixed one: in a group in which the teacher's order of the attempts contradicts the reward,
the teacher has no weight and the reward has all of it.
"""

from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.advantages import group_advantages
from sdpo_ref.functional.agreement import groups_that_agree
from sdpo_ref.functional.implicit_reward import implicit_reward
from sdpo_ref.losses.reference import hybrid_loss, policy_gradient_loss
from sdpo_ref.protocols import Policy, Teacher
from sdpo_ref.trainers.update import Penalty, descend, logits_of
from sdpo_ref.types import SAMPLED_TOKEN, DistillationBatch, Judgement, Rollouts, StepReport, Support


class HybridTrainer:
    r"""Mixes advantages of reward and teacher; implements :class:`~sdpo_ref.protocols.Trainer`.

    .. math::
        A_{it} = \lambda_g\, (r_i - \bar r_g) + (1 - \lambda_g)\, [\log p_T(y_{it}) - \log p_S(y_{it})], \qquad
        \lambda_g = \begin{cases} \lambda & \text{fixed, or the gate of group } g \text{ is open} \\
                                  1 & \text{the gate is closed} \end{cases}

    The gate of a group is open while the teacher's implicit reward and the scalar reward have a positive covariance
    inside the group (:func:`~sdpo_ref.functional.agreement.groups_that_agree`). Where the gate is closed, the
    teacher is replaced by the student, so that its loss and gradient are zero and no other group weighs more for it.
    Implements: SIM-104, SIM-105, SIM-106.

    Args:
        policy: the student.
        teacher: the self-teacher, built from the same policy.
        optimizer: over the student's weights only.
        reward_weight: λ in ``[0, 1]``, the weight of the reward; 0 is self-distillation, 1 policy gradient.
        gated: whether a teacher that contradicts the reward is left out, group by group.
        mixing: whether advantages are mixed, as in the paper, or losses.
        support: of the self-distillation; mixing advantages needs ``sampled_token``.
        group_advantage: whether the reward's advantage is divided by the group's deviation.
        reference: the policy to stay near to; a copy, not the policy itself.
        kl_weight: of the KL divergence to the reference.

    Raises:
        InvalidInputError: if ``reward_weight`` is out of range, the support does not fit, or a penalty has no
            reference.

    References:
        arXiv:2601.20802, equation 3; the gate is of this package.
    """

    def __init__(
        self,
        policy: Policy,
        teacher: Teacher,
        optimizer: torch.optim.Optimizer,
        *,
        reward_weight: float = 0.9,
        gated: bool = False,
        mixing: Literal["advantage", "loss"] = "advantage",
        support: Support = SAMPLED_TOKEN,
        group_advantage: Literal["centered", "standardized"] = "centered",
        reference: Policy | None = None,
        kl_weight: float = 0.0,
    ) -> None:
        if not 0.0 <= reward_weight <= 1.0:
            raise InvalidInputError(f"reward_weight must lie in [0, 1], received {reward_weight}; 1 is pure reward")
        if mixing == "advantage" and support.kind != "sampled_token":
            raise InvalidInputError(
                f"mixing advantages needs support 'sampled_token', received {support.kind!r}; use mixing='loss'"
            )
        self._policy = policy
        self._teacher = teacher
        self._optimizer = optimizer
        self._reward_weight = reward_weight
        self._gated = gated
        self._mixing: Literal["advantage", "loss"] = mixing
        self._support = support
        self._group_advantage: Literal["centered", "standardized"] = group_advantage
        self._penalty = Penalty(policy, reference, kl_weight)

    @property
    def policy(self) -> Policy:
        """The student."""
        return self._policy

    def step(self, rollouts: Rollouts, judgement: Judgement) -> StepReport:
        """One update: teacher view, gate, loss, optimiser step, teacher update.

        Args:
            rollouts: sampled by the policy.
            judgement: rewards, and the feedback that the teacher reads.

        Returns:
            The loss, which share of the rows was usable, and in which share of the usable rows the gate is
            open.
        """
        # Teacher: reads the judgement, without gradient (TEACH-029)
        view = self._teacher.view(rollouts, judgement)
        usable = view.self_distillation_mask
        batch = DistillationBatch(
            logits_of(self._policy, rollouts), view.logits, rollouts.completions, rollouts.completion_mask, usable
        )
        # The gate (SIM-105, SIM-106)
        is_open = self._open(batch, rollouts, judgement) if self._gated else torch.ones_like(usable)
        # The loss (SIM-104) and the penalty (SIM-100)
        loss, metrics = self._penalty.add_to(
            self._loss(batch, rollouts, judgement, is_open), batch.student_logits, rollouts
        )
        metrics["self_distillation/reprompt_sample_fraction"] = float(usable.double().mean())
        metrics["hybrid/open_share"] = float((is_open & usable).sum()) / max(int(usable.sum()), 1)
        # Update of the student, then of the teacher (TRAIN-001, TEACH-020)
        done = descend(self._optimizer, loss)
        self._teacher.update(self._policy)
        return StepReport(done, optimizer_steps=1, teacher_updates=1, metrics=metrics)

    def _open(self, batch: DistillationBatch, rollouts: Rollouts, judgement: Judgement) -> Bool[Tensor, " rollout"]:
        """The gate: does the teacher order the attempts of the group as their rewards do?"""
        opinions = implicit_reward(
            batch.teacher_logits, batch.student_logits.detach(), batch.completions, batch.loss_mask
        )
        return groups_that_agree(opinions, judgement.rewards, rollouts.prompts.group_ids, batch.self_distillation_mask)

    def _loss(
        self, batch: DistillationBatch, rollouts: Rollouts, judgement: Judgement, is_open: Bool[Tensor, " rollout"]
    ) -> Float[Tensor, ""]:
        """The hybrid of the paper where the gate is open, the reward alone where it is closed."""
        groups = rollouts.prompts.group_ids
        teacher_logits = torch.where(is_open[:, None, None], batch.teacher_logits, batch.student_logits.detach())
        loss = hybrid_loss(
            replace(batch, teacher_logits=teacher_logits),
            judgement.rewards,
            groups,
            reward_weight=self._reward_weight,
            support=self._support,
            mixing=self._mixing,
            group_advantage=self._group_advantage,
        )
        of_reward = group_advantages(judgement.rewards.to(loss), groups, kind=self._group_advantage)
        rest = torch.where(is_open, 0.0, (1 - self._reward_weight) * of_reward)
        return loss + policy_gradient_loss(batch, rest[:, None].expand(batch.completions.shape))
