"""Online DPO: direct preference optimisation on the policy's own samples (spec/06-simulation, D).

How it departs from the policy gradients: only the order of rewards matters, and of each group only its two ends are
used; the loss saturates once the student separates them. How it departs from offline DPO: the pair was sampled by
the policy in this very step. It cannot do without a reference, whatever the weight of the penalty.
"""

import math

import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.policy_gradient import completion_log_probs
from sdpo_ref.functional.preference import best_and_worst, preference_losses
from sdpo_ref.protocols import Policy
from sdpo_ref.trainers.update import Penalty, descend, logits_of
from sdpo_ref.types import Judgement, Rollouts, StepReport


class DpoTrainer:
    r"""Best against worst of each group; implements :class:`~sdpo_ref.protocols.Trainer`.

    .. math::
        L = -\frac{1}{P} \sum_{p=1}^{P} \log \sigma\left(\beta \left[
            \log \frac{p_S(y_p^+)}{p_R(y_p^+)} - \log \frac{p_S(y_p^-)}{p_R(y_p^-)} \right]\right)
            + \beta_{\mathrm{KL}}\, \mathrm{KL}

    over the P groups in which best and worst differ. The paper samples two completions of each prompt and asks which
    is better; with more than two the pair with the largest difference in reward is taken. Where all rewards of a group
    are equal no preference is made up.
    Implements: SIM-098, SIM-099.

    Args:
        policy: the policy that is trained.
        optimizer: over its weights.
        reference: what preferences are measured against, and what the penalty pulls to; a copy, not the policy.
        beta: above 0; small lets the student go far.
        kl_weight: of an explicit KL divergence to the reference, beside the one that DPO implies.

    Raises:
        InvalidInputError: if ``beta`` is not positive, ``kl_weight`` is negative, or the reference is the policy.

    References:
        arXiv:2305.18290, equation 7; arXiv:2402.04792 (online).
    """

    def __init__(
        self,
        policy: Policy,
        optimizer: torch.optim.Optimizer,
        *,
        reference: Policy,
        beta: float = 0.1,
        kl_weight: float = 0.0,
    ) -> None:
        if not (math.isfinite(beta) and beta > 0):
            raise InvalidInputError(f"beta must be positive and finite, received {beta}; 0.1 is usual")
        self._policy = policy
        self._optimizer = optimizer
        self._reference = reference
        self._beta = beta
        self._penalty = Penalty(policy, reference, kl_weight)

    @property
    def policy(self) -> Policy:
        """The policy as trained so far."""
        return self._policy

    def step(self, rollouts: Rollouts, judgement: Judgement) -> StepReport:
        """Prefer the best of each group to its worst; without a pair and without a penalty nothing is updated.

        Args:
            rollouts: sampled by the policy.
            judgement: their rewards, of which only the order in each group counts; feedback is not read.

        Returns:
            The loss, how many pairs there were, and which share of them the student ordered rightly before the step
            (log-ratio to the reference; a draw is one half).
        """
        # Pairs: best and worst of each group (SIM-098)
        best, worst = best_and_worst(judgement.rewards, rollouts.prompts.group_ids)
        pairs = best.numel()
        logits = logits_of(self._policy, rollouts)
        if pairs == 0 and self._penalty.weight == 0:
            _, of_penalty = self._penalty.add_to(logits.new_zeros(()), logits, rollouts)
            metrics = {**of_penalty, "preference/pairs": 0.0}
            return StepReport(0.0, optimizer_steps=0, teacher_updates=0, metrics=metrics)
        # The loss (SIM-099)
        with torch.no_grad():
            reference_logits = logits_of(self._reference, rollouts)
        arguments = rollouts.completions, rollouts.completion_mask
        log_ratios = (
            completion_log_probs(logits, *arguments) - completion_log_probs(reference_logits, *arguments)
        ).sum(-1)
        loss = preference_losses(log_ratios[best], log_ratios[worst], beta=self._beta).sum() / max(pairs, 1)
        # The penalty (SIM-100)
        loss, metrics = self._penalty.add_to(loss, logits, rollouts)
        # Report, and update (TRAIN-001)
        right = (log_ratios[best] - log_ratios[worst]).detach().sign().add(1).div(2)
        metrics["preference/pairs"] = float(pairs)
        if pairs:
            metrics["preference/accuracy"] = float(right.mean())
        return StepReport(descend(self._optimizer, loss), optimizer_steps=1, teacher_updates=0, metrics=metrics)
