"""Self-distillation policy optimisation (spec/05-trainer).

How it departs from a policy-gradient trainer:

1. The reward chooses demonstrations and nothing else; there is no advantage and no baseline.
2. Credit comes from the policy itself, after it has read the judgement: a distribution for every token.
3. The loss is a divergence that is zero when nothing can be learned, not a score whose expectation is zero.
4. A rollout without demonstration or feedback takes no part, whatever its reward.
5. The teacher's weights are a second state, updated after the student's at a cadence of their own.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.aggregation import micro_batch_weights
from sdpo_ref.losses.reference import sdpo_loss
from sdpo_ref.protocols import Policy, Teacher
from sdpo_ref.trainers.update import Penalty, logits_of
from sdpo_ref.types import (
    FULL,
    Aggregation,
    DistillationBatch,
    Judgement,
    Rollouts,
    StepReport,
    Support,
    TeacherView,
    TopKFrom,
)

MicroBatchSource = Callable[[], DistillationBatch]
"""Computes one micro-batch when called, so that only one graph is alive at a time."""


def accumulate_gradient(
    sources: Sequence[MicroBatchSource],
    *,
    alpha: float,
    support: Support = FULL,
    temperature: float = 1.0,
    ratio_cap: float | None = None,
    aggregation: Aggregation = "token_mean",
    accumulation: Literal["global", "micro_batch_mean"] = "global",
    top_k_from: TopKFrom = "student",
    loss_masks: Sequence[Tensor],
) -> float:
    """Add the gradient of one optimiser step, micro-batch by micro-batch, to the weights' ``grad``.

    ``global`` gives the gradient of the whole batch however it was cut; ``micro_batch_mean`` averages the losses of
    the micro-batches, so that tokens in a sparse one weigh more. Both divide: the size of the update does not grow
    with the number of micro-batches.
    Implements: TRAIN-002, TRAIN-003, TRAIN-004, TRAIN-010.

    Args:
        sources: the micro-batches of the step.
        alpha: see :func:`~sdpo_ref.losses.reference.sdpo_loss`, as are the other options of the loss.
        support: which tokens are compared.
        temperature: divides the logits of both sides.
        ratio_cap: upper bound of the importance ratio.
        aggregation: how tokens become one number.
        accumulation: how micro-batches become one step.
        top_k_from: whose top-k.
        loss_masks: the mask of each micro-batch, known before any logits are.

    Returns:
        The loss of the step in nats.
    """
    if accumulation == "global":
        factors = micro_batch_weights(loss_masks, aggregation=aggregation)
    else:
        factors = (1.0 / len(sources),) * len(sources)
    total = 0.0
    for source, factor in zip(sources, factors, strict=True):
        loss = factor * sdpo_loss(
            source(),
            alpha=alpha,
            support=support,
            temperature=temperature,
            ratio_cap=ratio_cap,
            aggregation=aggregation,
            top_k_from=top_k_from,
        )
        torch.autograd.backward(loss)
        total += float(loss.detach())
    return total


class SdpoTrainer:
    """Trains a policy by self-distillation; implements :class:`~sdpo_ref.protocols.Trainer`.

    A penalty for leaving a reference counts every token of a completion, also in rows whose teacher has no context.
    Implements: SIM-101, SIM-109.

    Args:
        policy: the student.
        teacher: the self-teacher, built from the same policy.
        optimizer: over the student's weights only.
        alpha: of the divergence; 1 is reverse KL.
        support: which tokens of the vocabulary are compared.
        temperature: at which rollouts are sampled and losses computed.
        ratio_cap: upper bound of the importance ratio; ``None`` if every step is on-policy.
        aggregation: how tokens become one number.
        optimizer_steps: into how many optimiser steps the rollouts of one call are cut.
        micro_batches: into how many backward passes each optimiser step is cut; changes memory, not the update.
        ema_cadence: whether the teacher moves once a call (``iteration``) or after every optimiser step.
        reference: the policy to stay near to; a copy, not the policy itself.
        kl_weight: of the KL divergence to the reference, over all rows and at temperature 1.

    Raises:
        InvalidInputError: if a number of steps or micro-batches is below one, or a penalty has no reference.
    """

    def __init__(
        self,
        policy: Policy,
        teacher: Teacher,
        optimizer: torch.optim.Optimizer,
        *,
        alpha: float = 1.0,
        support: Support = FULL,
        temperature: float = 1.0,
        ratio_cap: float | None = None,
        aggregation: Aggregation = "token_mean",
        optimizer_steps: int = 1,
        micro_batches: int = 1,
        ema_cadence: Literal["optimizer_step", "iteration"] = "iteration",
        reference: Policy | None = None,
        kl_weight: float = 0.0,
    ) -> None:
        if optimizer_steps < 1 or micro_batches < 1:
            raise InvalidInputError(
                f"optimizer_steps and micro_batches must be at least 1, received {optimizer_steps} and {micro_batches}"
            )
        self._policy = policy
        self._teacher = teacher
        self._optimizer = optimizer
        self._alpha = alpha
        self._support = support
        self._temperature = temperature
        self._ratio_cap = ratio_cap
        self._aggregation: Aggregation = aggregation
        self._optimizer_steps = optimizer_steps
        self._micro_batches = micro_batches
        self._ema_cadence = ema_cadence
        self._penalty = Penalty(policy, reference, kl_weight)

    @property
    def policy(self) -> Policy:
        """The student."""
        return self._policy

    def step(self, rollouts: Rollouts, judgement: Judgement) -> StepReport:
        """One iteration: the teacher reads the judgement, the student moves towards it, then the teacher is updated.

        Args:
            rollouts: sampled by the policy.
            judgement: on them.

        Returns:
            The mean loss of the optimiser steps, how many there were, which share of the rows was usable, and with a
            reference the mean divergence from it.

        Raises:
            InvalidInputError: if there are fewer rollouts than optimiser steps.
        """
        count = rollouts.completions.shape[0]
        if count < self._optimizer_steps:
            raise InvalidInputError(
                f"received {count} rollouts for {self._optimizer_steps} optimiser steps; give at least one to each"
            )
        losses, divergences, usable, teacher_updates = [], [], 0, 0
        for rows in torch.arange(count).tensor_split(self._optimizer_steps):
            # Teacher: reads the judgement, without gradient (TEACH-029)
            view = self._teacher.view(rollouts, judgement)
            # Loss and update of the student (TRAIN-001, TRAIN-002)
            loss, divergence = self._optimizer_step(rollouts, view, rows)
            losses.append(loss)
            divergences.append(divergence)
            usable += int(view.self_distillation_mask[rows].sum())
            # Update of the teacher (TEACH-020, TEACH-021)
            if self._ema_cadence == "optimizer_step":
                self._teacher.update(self._policy)
                teacher_updates += 1
        if self._ema_cadence == "iteration":
            self._teacher.update(self._policy)
            teacher_updates += 1
        # Report
        metrics = {"self_distillation/reprompt_sample_fraction": usable / count}
        if self._penalty.reference is not None:
            metrics["kl/reference"] = sum(divergences) / len(divergences)
        return StepReport(
            loss=sum(losses) / len(losses),
            optimizer_steps=len(losses),
            teacher_updates=teacher_updates,
            metrics=metrics,
        )

    def _optimizer_step(self, rollouts: Rollouts, view: TeacherView, rows: Tensor) -> tuple[float, float]:
        """One update of the student on some rows; its loss, and its divergence from the reference, in nats."""
        parts = [part for part in rows.tensor_split(self._micro_batches) if part.numel()]
        # Loss, one micro-batch after the other (LOSS-001, TRAIN-002)
        self._optimizer.zero_grad()
        loss = accumulate_gradient(
            [partial(self._batch, rollouts, view, part) for part in parts],
            loss_masks=[rollouts.completion_mask[at] & view.self_distillation_mask[at][:, None] for at in parts],
            alpha=self._alpha,
            support=self._support,
            temperature=self._temperature,
            ratio_cap=self._ratio_cap,
            aggregation=self._aggregation,
        )
        # Penalty for leaving the reference (SIM-109)
        divergence = self._accumulate_penalty(rollouts, parts)
        # Update (TRAIN-001)
        self._optimizer.step()
        weight = self._penalty.weight
        return loss + weight * divergence if weight > 0 else loss, divergence

    def _accumulate_penalty(self, rollouts: Rollouts, micro_batches: Sequence[Tensor]) -> float:
        """Add the gradient of the weighted divergence of one optimiser step; returns the divergence.

        A pass of its own, because it counts other tokens than the loss does. Each micro-batch has its share of the
        step's tokens, so that their sum is the mean over the step however it was cut.
        """
        if self._penalty.reference is None:
            return 0.0
        total = 0.0
        parts = [rollouts.select(rows) for rows in micro_batches]
        shares = micro_batch_weights([part.completion_mask for part in parts], aggregation="token_mean")
        for part, share in zip(parts, shares, strict=True):
            divergence = share * self._penalty.divergence(logits_of(self._policy, part), part)
            if self._penalty.weight > 0:
                torch.autograd.backward(self._penalty.weight * divergence)
            total += float(divergence.detach())
        return total

    def _batch(self, rollouts: Rollouts, view: TeacherView, rows: Tensor) -> DistillationBatch:
        """What the loss reads of some rows."""
        part = rollouts.select(rows)
        return DistillationBatch(
            logits_of(self._policy, part),
            view.logits[rows],
            part.completions,
            part.completion_mask,
            view.self_distillation_mask[rows],
            part.behaviour_log_probs,
        )
