"""RLOO: REINFORCE with a leave-one-out baseline (spec/06-simulation, D).

How it departs from REINFORCE: a completion is compared with its siblings, the other completions of the same prompt
in the same step, so there is no state and an easy prompt is no advantage. How it departs from GRPO: nothing is divided
by the spread of the group, nothing is clipped, and every rollout is used once.
"""

import torch

from sdpo_ref.functional.policy_gradient import leave_one_out_advantages
from sdpo_ref.protocols import Policy
from sdpo_ref.trainers.update import Penalty, PolicyGradient
from sdpo_ref.types import Aggregation, Judgement, Rollouts, StepReport


class RlooTrainer:
    r"""Policy gradient with the siblings' mean as baseline; implements :class:`~sdpo_ref.protocols.Trainer`.

    .. math::
        A_i = r_i - \frac{1}{n - 1} \sum_{j \neq i} r_j

    The penalty is a term of the loss (:func:`~sdpo_ref.functional.penalty.kl_penalty`); the paper takes the log-ratio
    of the sampled tokens off the reward, which is the same objective with a noisier gradient.
    Implements: SIM-090, SIM-092.

    Args:
        policy: the policy that is trained.
        optimizer: over its weights.
        aggregation: how tokens become one number; ``row_sum`` gives the gradient of the expected reward.
        reference: the policy to stay near to; a copy, not the policy itself.
        kl_weight: of the KL divergence to the reference, in units of reward per nat and token.

    Raises:
        InvalidInputError: if a penalty has no reference.

    References:
        arXiv:2402.14740, equation 6.
    """

    def __init__(
        self,
        policy: Policy,
        optimizer: torch.optim.Optimizer,
        *,
        aggregation: Aggregation = "row_sum",
        reference: Policy | None = None,
        kl_weight: float = 0.0,
    ) -> None:
        self._gradient = PolicyGradient(policy, optimizer, Penalty(policy, reference, kl_weight), aggregation)

    @property
    def policy(self) -> Policy:
        """The policy as trained so far."""
        return self._gradient.policy

    def step(self, rollouts: Rollouts, judgement: Judgement) -> StepReport:
        """Raise what did better than its siblings, lower what did worse.

        Args:
            rollouts: sampled by the policy; a group of one changes nothing.
            judgement: their rewards; feedback is not read.

        Returns:
            The loss.
        """
        # Advantage (SIM-092)
        advantages = leave_one_out_advantages(judgement.rewards, rollouts.prompts.group_ids)
        # Loss and update (SIM-090)
        return self._gradient.update(rollouts, advantages[:, None])
