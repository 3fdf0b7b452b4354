"""What the baselines of the study have in common: how advantages become an update, and the penalty to a reference.

A baseline is then its answer to one question: how much better than expected was this token?
"""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.aggregation import aggregate
from sdpo_ref.functional.penalty import kl_penalty
from sdpo_ref.functional.policy_gradient import clipped_surrogate, completion_log_probs
from sdpo_ref.protocols import Policy
from sdpo_ref.types import Aggregation, Rollouts, StepReport


def logits_of(policy: Policy, rollouts: Rollouts) -> Float[Tensor, "rollout time vocab"]:
    """Scores of a policy for every token of the rollouts. Gradient flows if the policy lets it."""
    scores: Tensor = policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
    return scores


def descend(optimizer: torch.optim.Optimizer, loss: Float[Tensor, ""]) -> float:
    """One optimiser step down the loss; returns the loss."""
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()
    return float(loss.detach())


@dataclass(frozen=True)
class Penalty:
    """The exact KL divergence to a reference policy times a weight, added to any loss.

    Implements: SIM-100, SIM-101.

    Attributes:
        policy: the policy that is trained.
        reference: the policy to stay near to; never the trained policy itself, which is always near to itself.
        weight: at least 0; with 0 the divergence is measured and changes nothing.

    Raises:
        InvalidInputError: if the weight is negative or not finite, has no reference to apply to, or the reference is
            the policy itself.
    """

    policy: Policy
    reference: Policy | None
    weight: float

    def __post_init__(self) -> None:
        """Refuse a penalty that would do nothing in silence."""
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise InvalidInputError(f"kl_weight must be finite and at least 0, received {self.weight}")
        if self.weight > 0 and self.reference is None:
            raise InvalidInputError(f"kl_weight={self.weight} needs a reference policy, received None; pass a copy")
        if self.reference is self.policy:
            raise InvalidInputError("the reference is the trained policy itself; pass copy.deepcopy(policy)")

    def divergence(self, logits: Float[Tensor, "rollout time vocab"], rollouts: Rollouts) -> Float[Tensor, ""]:
        """Nats per token before the weight; zero without a reference. Gradient flows into ``logits``."""
        if self.reference is None:
            return logits.new_zeros(())
        with torch.no_grad():
            reference_logits = logits_of(self.reference, rollouts)
        return kl_penalty(logits, reference_logits, rollouts.completion_mask)

    def add_to(
        self, loss: Float[Tensor, ""], logits: Float[Tensor, "rollout time vocab"], rollouts: Rollouts
    ) -> tuple[Float[Tensor, ""], dict[str, float]]:
        """The loss with the weighted divergence, and what there is to report about it."""
        if self.reference is None:
            return loss, {}
        divergence = self.divergence(logits, rollouts)
        report = {"kl/reference": float(divergence.detach())}
        return (loss + self.weight * divergence if self.weight > 0 else loss), report


@dataclass(frozen=True)
class PolicyGradient:
    r"""Updates a policy by given advantages.

    .. math::
        L = \sum_{i,t} w_{it}\, \ell_{it} + \beta\, \mathrm{KL}, \qquad
        \ell_{it} = -A_{it} \log p_S(y_{it}) \quad\text{or the clipped ratio}

    Attributes:
        policy: the policy that is trained.
        optimizer: over its weights.
        penalty: for leaving the reference.
        aggregation: how tokens become one number; ``row_sum`` gives the gradient of the expected reward.
        clip: of the ratio to the policy that sampled; ``None`` for the plain policy gradient.
        epochs: how many updates are made on the same rollouts.

    Raises:
        InvalidInputError: if there is no epoch, or the plain policy gradient has more than one.
    """

    policy: Policy
    optimizer: torch.optim.Optimizer
    penalty: Penalty
    aggregation: Aggregation
    clip: float | None = field(default=None)
    epochs: int = field(default=1)

    def __post_init__(self) -> None:
        """Refuse settings that would make another algorithm."""
        if self.epochs < 1:
            raise InvalidInputError(f"epochs must be at least 1, received {self.epochs}")
        if self.clip is not None and not self.clip > 0:
            raise InvalidInputError(f"clip must be positive, received {self.clip}; 0.2 is usual")
        if self.clip is None and self.epochs > 1:
            raise InvalidInputError(f"epochs={self.epochs} needs a clip: after one update the rollouts are off-policy")

    def update(self, rollouts: Rollouts, advantages: Float[Tensor, "rollout _"]) -> StepReport:
        """Update the policy; advantages are constants, one for each token or one for each rollout."""
        mask = rollouts.completion_mask
        losses: list[float] = []
        metrics: dict[str, float] = {}
        clipped = 0.0
        for _ in range(self.epochs):
            logits = logits_of(self.policy, rollouts)
            # Advantages of the counted tokens, and their log-probabilities
            token_log_probs = completion_log_probs(logits, rollouts.completions, mask)
            token_advantages = torch.where(mask, advantages.detach().to(token_log_probs), 0.0)
            # Loss of each token: policy gradient (SIM-090), or clipped (SIM-094)
            if self.clip is None:
                tokens = -token_advantages * token_log_probs
            else:
                before = rollouts.behaviour_log_probs.to(token_log_probs)
                tokens = clipped_surrogate(token_log_probs, before, token_advantages, clip=self.clip)
                beyond = ((token_log_probs - before).exp() - 1) * token_advantages.sign() > self.clip
                clipped += float((beyond & mask).sum()) / max(int(mask.sum()), 1) / self.epochs
            # The loss, the penalty (SIM-100), the update
            loss = aggregate(tokens, mask, aggregation=self.aggregation)
            loss, metrics = self.penalty.add_to(loss, logits, rollouts)
            losses.append(descend(self.optimizer, loss))
        if self.clip is not None:
            metrics["policy/clipped_share"] = clipped
        return StepReport(sum(losses) / len(losses), optimizer_steps=len(losses), teacher_updates=0, metrics=metrics)
