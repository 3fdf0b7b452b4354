"""PPO: proximal policy optimisation with a learned value (spec/06-simulation, D).

How it departs from GRPO: what a token is compared with is learned and not sampled: a value for every position, so
that no siblings are needed and tokens of one completion may have different advantages. That value is a second thing
to train, wrong at first.
"""

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sdpo_ref.functional.aggregation import aggregate
from sdpo_ref.functional.policy_gradient import generalized_advantages
from sdpo_ref.protocols import Policy
from sdpo_ref.trainers.update import Penalty, PolicyGradient, descend
from sdpo_ref.types import Aggregation, Judgement, Prompts, Rollouts, StepReport


class ValueTable(nn.Module):
    """A value for each prompt and position, zero at first; the prompt of a rollout is its ``group_ids``.

    Args:
        prompts: how many prompts there are.
        time: how many positions a completion has at most.

    Attributes:
        values: expected reward before each position.
    """

    def __init__(self, prompts: int, time: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(prompts, time, dtype=torch.float64))

    def forward(self, prompts: Prompts, completions: Int[Tensor, "rollout time"]) -> Float[Tensor, "rollout time"]:
        """Expected reward before each token of the completions was chosen."""
        return self.values[prompts.group_ids, : completions.shape[-1]]


class PpoTrainer:
    r"""Clipped policy gradient of generalised advantages; implements :class:`~sdpo_ref.protocols.Trainer`.

    .. math::
        L^{\mathrm{policy}} &= -\sum_{i,t} w_{it} \min\left(\rho_{it} \hat A_{it},\;
            \mathrm{clip}(\rho_{it}, 1 \pm \varepsilon)\, \hat A_{it}\right) + \beta\, \mathrm{KL} \\
        L^{\mathrm{value}} &= \sum_{i,t} w_{it}\, (V_{it} - \mathrm{sg}[\hat A_{it} + V^{\mathrm{old}}_{it}])^2

    Policy and value share no weights and have an optimiser each, so the coefficient between their losses is a matter
    of learning rates. Advantages are computed once, before anything moves. Left out because the paper has neither:
    whitened advantages and a clipped value loss. The entropy bonus is left out as well.
    Implements: SIM-094, SIM-095, SIM-096, SIM-097.

    Args:
        policy: the policy that is trained.
        optimizer: over its weights.
        value: maps prompts and completions to the expected reward before each token, reading only what comes before.
        value_optimizer: over the value's weights.
        trace: λ of the generalised advantage, in ``[0, 1]``; 1 is reward minus value.
        clip: ε of the ratio, above 0.
        epochs: updates on the same rollouts.
        aggregation: how tokens become one number, for both losses.
        reference: the policy to stay near to; a copy, not the policy itself.
        kl_weight: β, of the KL divergence to the reference.

    Raises:
        InvalidInputError: if ``clip`` or ``epochs`` is not positive, or a penalty has no reference.

    References:
        arXiv:1707.06347, equations 7, 9 and 11.
    """

    def __init__(
        self,
        policy: Policy,
        optimizer: torch.optim.Optimizer,
        *,
        value: nn.Module,
        value_optimizer: torch.optim.Optimizer,
        trace: float = 0.95,
        clip: float = 0.2,
        epochs: int = 4,
        aggregation: Aggregation = "token_mean",
        reference: Policy | None = None,
        kl_weight: float = 0.0,
    ) -> None:
        penalty = Penalty(policy, reference, kl_weight)
        self._gradient = PolicyGradient(policy, optimizer, penalty, aggregation, clip=clip, epochs=epochs)
        self._value = value
        self._value_optimizer = value_optimizer
        self._trace = trace

    @property
    def policy(self) -> Policy:
        """The policy as trained so far."""
        return self._gradient.policy

    def step(self, rollouts: Rollouts, judgement: Judgement) -> StepReport:
        """Raise tokens after which things went better than the value expected; then teach the value what happened.

        Args:
            rollouts: sampled by the policy.
            judgement: their rewards; feedback is not read.

        Returns:
            The mean loss of the policy's epochs, which share of the tokens was clipped, and the value's first loss.
        """
        # Advantages over the value from before the step (SIM-095, SIM-096)
        mask = rollouts.completion_mask
        old = torch.where(mask, self._values(rollouts).detach(), 0.0)
        advantages = self.advantages(rollouts, judgement)
        # Clipped loss and update of the policy (SIM-094)
        report = self._gradient.update(rollouts, advantages)
        # Update of the value (SIM-095)
        value_losses = []
        for _ in range(self._gradient.epochs):
            errors = torch.where(mask, self._values(rollouts), 0.0) - (advantages + old)
            loss = aggregate(errors.square(), mask, aggregation=self._gradient.aggregation)
            value_losses.append(descend(self._value_optimizer, loss))
        return replace(report, metrics={**report.metrics, "value/loss": value_losses[0]})

    def advantages(self, rollouts: Rollouts, judgement: Judgement) -> Float[Tensor, "rollout time"]:
        """What each token is credited with before the value has learned from these rewards.

        Args:
            rollouts: sampled by the policy.
            judgement: their rewards.

        Returns:
            Generalised advantages, in the unit of the reward.
        """
        mask = rollouts.completion_mask
        values = torch.where(mask, self._values(rollouts).detach(), 0.0)
        return generalized_advantages(judgement.rewards, values, mask, trace=self._trace)

    def _values(self, rollouts: Rollouts) -> Float[Tensor, "rollout time"]:
        values: Tensor = self._value(rollouts.prompts, rollouts.completions)
        return values
