"""The hybrid that is gated by how much the teacher has to say, as published (spec/06-simulation, D; PUB-016).

How it departs from :mod:`sdpo_ref.trainers.hybrid`: one weight for all groups of a step, and it follows the divergence
between teacher and student. A teacher that is far from the student decides, one that is near leaves the step to the
reward. Whether the teacher is right is not asked. Losses are mixed, and self-distillation has the whole vocabulary.
"""

import math

import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.losses.reference import hybrid_loss, sdpo_loss
from sdpo_ref.protocols import Policy, Teacher
from sdpo_ref.trainers.update import Penalty, descend, logits_of
from sdpo_ref.types import FULL, DistillationBatch, Judgement, Rollouts, StepReport


class KlGatedTrainer:
    r"""Mixes the losses of teacher and reward by their divergence; implements :class:`~sdpo_ref.protocols.Trainer`.

    .. math::
        L = w\, L_{\mathrm{SDPO}} + (1 - w)\, L_{\mathrm{policy}}, \qquad
        w = \sigma\Big( \frac{\overline{\mathrm{KL}}(p_T \| p_S) - \tau}{\tau / 3} \Big)

    with the group's centred rewards as advantages of the policy gradient, and w a constant of the step.
    Implements: SIM-185, SIM-186.

    Args:
        policy: the student.
        teacher: the self-teacher, built from the same policy.
        optimizer: over the student's weights only.
        threshold: τ, the divergence in nats per token at which teacher and reward have the same weight; above 0.
        reference: the policy to stay near to; a copy, not the policy itself.
        kl_weight: of the KL divergence to the reference.

    Raises:
        InvalidInputError: if the threshold is not positive and finite, or a penalty has no reference.

    References:
        The published simulation study, hybrid (PUB-016); arXiv:2601.20802, equation 3, for the mixture.
    """

    def __init__(
        self,
        policy: Policy,
        teacher: Teacher,
        optimizer: torch.optim.Optimizer,
        *,
        threshold: float = 0.1,
        reference: Policy | None = None,
        kl_weight: float = 0.0,
    ) -> None:
        if not (math.isfinite(threshold) and threshold > 0):
            raise InvalidInputError(
                f"threshold must be finite and above 0, received {threshold}; it is a divergence in nats per token"
            )
        self._policy = policy
        self._teacher = teacher
        self._optimizer = optimizer
        self._threshold = threshold
        self._penalty = Penalty(policy, reference, kl_weight)

    @property
    def policy(self) -> Policy:
        """The student."""
        return self._policy

    def step(self, rollouts: Rollouts, judgement: Judgement) -> StepReport:
        """One update: teacher view, weight, loss, optimiser step, teacher update.

        Args:
            rollouts: sampled by the policy.
            judgement: rewards, and the feedback that the teacher reads.

        Returns:
            The loss, which share of the rows was usable, and the weight of the teacher.
        """
        # Teacher: reads the judgement, without gradient (TEACH-029)
        view = self._teacher.view(rollouts, judgement)
        usable = view.self_distillation_mask
        batch = DistillationBatch(
            logits_of(self._policy, rollouts), view.logits, rollouts.completions, rollouts.completion_mask, usable
        )
        # The weight of the teacher (SIM-185)
        weight = teacher_weight(batch, threshold=self._threshold)
        # The loss (SIM-186) and the penalty (SIM-100)
        groups = rollouts.prompts.group_ids
        loss = hybrid_loss(batch, judgement.rewards, groups, reward_weight=1 - weight, support=FULL, mixing="loss")
        loss, metrics = self._penalty.add_to(loss, batch.student_logits, rollouts)
        metrics["self_distillation/reprompt_sample_fraction"] = float(usable.double().mean())
        metrics["hybrid/teacher_weight"] = weight
        # Update of the student, then of the teacher (TRAIN-001, TEACH-020)
        done = descend(self._optimizer, loss)
        self._teacher.update(self._policy)
        return StepReport(done, optimizer_steps=1, teacher_updates=1, metrics=metrics)


def teacher_weight(batch: DistillationBatch, *, threshold: float) -> float:
    r"""How much of the loss is the teacher's: more, the further the teacher is from the student.

    .. math::
        w = \sigma\Big( \frac{\overline{\mathrm{KL}}(p_T \| p_S) - \tau}{\tau / 3} \Big)

    The mean is over the counted tokens of the rows whose teacher has feedback; without such a row it is 0.
    Implements: SIM-185.

    Args:
        batch: logits of both, sampled tokens and masks. No gradient flows.
        threshold: τ, in nats per token.

    Returns:
        From 0.047, where the two agree, to 1.

    Example:
        >>> even, mask = torch.zeros(1, 1, 2), torch.tensor([[True]])
        >>> certain = torch.tensor([[[0.0, -torch.inf]]])  # a divergence of log 2 = .693
        >>> batch = DistillationBatch(even, certain, torch.tensor([[0]]), mask, mask[0])
        >>> round(teacher_weight(batch, threshold=math.log(2)), 6)
        0.5
    """
    with torch.no_grad():
        divergence = sdpo_loss(batch, alpha=0.0, support=FULL)
    return float(torch.sigmoid((divergence - threshold) / (threshold / 3)))
