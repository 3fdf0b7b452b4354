"""Self-distillation fine-tuning on the policy's own samples (spec/06-simulation, D).

How it departs from :mod:`sdpo_ref.trainers.sdpo`: the teacher is meant to read a demonstration and nothing else, the
best attempt of the group, so the reward does no more than choose it; the loss is that of SDFT, by default the forward
KL(teacher‖student), as in the runs that were published.
"""

import torch

from sdpo_ref.losses.sdft import sdft_loss
from sdpo_ref.protocols import Policy, Teacher
from sdpo_ref.trainers.update import Penalty, descend, logits_of
from sdpo_ref.types import FULL, Aggregation, DistillationBatch, Judgement, Rollouts, StepReport, Support


class SdftTrainer:
    """Trains a policy towards itself with a demonstration; implements :class:`~sdpo_ref.protocols.Trainer`.

    Which attempt is shown is the teacher's business: for text, one whose rules have ``use_feedback=False`` and a
    ``success_quantile`` that only the best reaches; for numbers, one that reads the best of each group. A row without
    a demonstration is left out; a step without any leaves everything as it is.
    Implements: SIM-102, SIM-103.

    Args:
        policy: the student.
        teacher: the same policy under the demonstration, with a rule for its weights.
        optimizer: over the student's weights only.
        alpha: of the divergence; 0 is forward KL(teacher‖student).
        support: which tokens of the vocabulary are compared.
        skip_tokens: how many tokens to leave out at the start of each completion.
        aggregation: how tokens become one number.
        reference: the policy to stay near to; a copy, not the policy itself.
        kl_weight: of the KL divergence to the reference, over all rows.

    Raises:
        InvalidInputError: if a penalty has no reference.

    References:
        arXiv:2601.19897.
    """

    def __init__(
        self,
        policy: Policy,
        teacher: Teacher,
        optimizer: torch.optim.Optimizer,
        *,
        alpha: float = 0.0,
        support: Support = FULL,
        skip_tokens: int = 0,
        aggregation: Aggregation = "token_mean",
        reference: Policy | None = None,
        kl_weight: float = 0.0,
    ) -> None:
        self._policy = policy
        self._teacher = teacher
        self._optimizer = optimizer
        self._alpha = alpha
        self._support = support
        self._skip_tokens = skip_tokens
        self._aggregation: Aggregation = aggregation
        self._penalty = Penalty(policy, reference, kl_weight)

    @property
    def policy(self) -> Policy:
        """The student."""
        return self._policy

    def step(self, rollouts: Rollouts, judgement: Judgement) -> StepReport:
        """The teacher sees the demonstrations, the student moves towards it, then the teacher is updated.

        Args:
            rollouts: sampled by the policy.
            judgement: what chooses the demonstrations.

        Returns:
            The loss in nats, and which share of the rows had a demonstration.
        """
        # Teacher: sees the demonstrations, without gradient (TEACH-029)
        view = self._teacher.view(rollouts, judgement)
        rows = view.self_distillation_mask
        metrics = {"self_distillation/reprompt_sample_fraction": float(rows.double().mean())}
        logits = logits_of(self._policy, rollouts)
        if not bool(rows.any()) and self._penalty.weight == 0:
            _, of_penalty = self._penalty.add_to(logits.new_zeros(()), logits, rollouts)
            return StepReport(0.0, optimizer_steps=0, teacher_updates=0, metrics={**metrics, **of_penalty})
        # Loss over the rows with a demonstration (SIM-102, LOSS-090)
        batch = DistillationBatch(
            logits[rows], view.logits[rows], rollouts.completions[rows], rollouts.completion_mask[rows], rows[rows]
        )
        loss = sdft_loss(
            batch,
            alpha=self._alpha,
            support=self._support,
            skip_tokens=self._skip_tokens,
            aggregation=self._aggregation,
        )
        # The penalty (SIM-100)
        loss, of_penalty = self._penalty.add_to(loss, logits, rollouts)
        # Update of the student, then of the teacher (TRAIN-001, TEACH-020)
        done = descend(self._optimizer, loss)
        self._teacher.update(self._policy)
        return StepReport(done, optimizer_steps=1, teacher_updates=1, metrics={**metrics, **of_penalty})
