"""REINFORCE with a moving baseline (spec/06-simulation, D).

How it departs from SDPO: the reward itself is what is learned from, one number for all tokens of a completion, and
feedback is not read. How it departs from RLOO: a completion is compared with what all prompts gave in earlier
steps, so that it needs no siblings, and an easy prompt pushes up everything that was sampled for it.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.protocols import Policy
from sdpo_ref.trainers.update import Penalty, PolicyGradient
from sdpo_ref.types import Aggregation, Judgement, Rollouts, StepReport


class ReinforceTrainer:
    r"""Policy gradient; implements :class:`~sdpo_ref.protocols.Trainer`.

    .. math::
        A_i = r_i - b, \qquad b \leftarrow (1 - \eta)\, b + \eta\, \bar r \;\text{ after the step}

    The baseline of a step was fixed before its rollouts were sampled, so it leaves the expected gradient as it is.
    Only where no baseline is given, the first step starts from its own mean reward, which shortens that one gradient
    by the factor 1 − 1/N and does not turn it.
    Implements: SIM-090, SIM-091.

    Args:
        policy: the policy that is trained.
        optimizer: over its weights.
        baseline: expected reward before the first step; ``None`` to start from the mean of the first rewards.
        baseline_rate: η in ``[0, 1]``; 0 keeps the baseline.
        aggregation: how tokens become one number; ``row_sum`` gives the gradient of the expected reward.
        reference: the policy to stay near to; a copy, not the policy itself.
        kl_weight: of the KL divergence to the reference, in units of reward per nat and token.

    Raises:
        InvalidInputError: if the rate is outside ``[0, 1]``, or a penalty has no reference.

    References:
        Williams 1992 (Machine Learning 8), section 4 on reinforcement baselines.
    """

    def __init__(
        self,
        policy: Policy,
        optimizer: torch.optim.Optimizer,
        *,
        baseline: float | None = None,
        baseline_rate: float = 0.1,
        aggregation: Aggregation = "row_sum",
        reference: Policy | None = None,
        kl_weight: float = 0.0,
    ) -> None:
        if not 0.0 <= baseline_rate <= 1.0:
            raise InvalidInputError(f"baseline_rate must lie in [0, 1], received {baseline_rate}; 0.1 is usual")
        self._gradient = PolicyGradient(policy, optimizer, Penalty(policy, reference, kl_weight), aggregation)
        self._baseline = baseline
        self._rate = baseline_rate

    @property
    def policy(self) -> Policy:
        """The policy as trained so far."""
        return self._gradient.policy

    @property
    def baseline(self) -> float | None:
        """The whole state besides policy and optimiser: hand it to a new trainer to go on where this one stopped."""
        return self._baseline

    def step(self, rollouts: Rollouts, judgement: Judgement) -> StepReport:
        """Raise what did better than the baseline, lower what did worse; then move the baseline.

        Args:
            rollouts: sampled by the policy.
            judgement: their rewards; feedback is not read.

        Returns:
            The loss, and the baseline that was used.
        """
        # Advantage: reward less the baseline from before this step (SIM-091)
        rewards: Float[Tensor, " rollout"] = judgement.rewards
        mean = float(rewards.mean())
        baseline = mean if self._baseline is None else self._baseline
        # Loss and update (SIM-090)
        report = self._gradient.update(rollouts, (rewards - baseline)[:, None])
        # Update of the baseline (SIM-091)
        self._baseline = baseline + self._rate * (mean - baseline)
        return replace(report, metrics={**report.metrics, "reinforce/baseline": baseline})
