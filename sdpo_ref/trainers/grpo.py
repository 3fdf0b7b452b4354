"""GRPO: group-relative policy optimisation (spec/06-simulation, D).

How it departs from RLOO: advantages are divided by the group's standard deviation, so that every group contributes
equally, whatever its reward scale; rollouts may be used for several updates, with the ratio to the policy that
sampled them clipped; and every completion weighs the same, whatever its length. How it departs from PPO: the group
takes the place of a learned value, and all tokens of a completion have one advantage.
"""

import torch

from sdpo_ref.functional.advantages import group_advantages
from sdpo_ref.protocols import Policy
from sdpo_ref.trainers.update import Penalty, PolicyGradient
from sdpo_ref.types import Aggregation, Judgement, Rollouts, StepReport


class GrpoTrainer:
    r"""Clipped policy gradient of standardised rewards; implements :class:`~sdpo_ref.protocols.Trainer`.

    .. math::
        A_i = \frac{r_i - \bar r_g}{\sigma_g + 10^{-4}}, \qquad
        L = -\frac{1}{N} \sum_i \frac{1}{|y_i|} \sum_t \min\left(\rho_{it} A_i,\;
            \mathrm{clip}(\rho_{it}, 1 \pm \varepsilon)\, A_i\right) + \beta\, \mathrm{KL}

    The expected gradient is not that of the expected reward: a group is weighed by the inverse of its spread. With
    ``standardize=False`` it is, up to the factor 1 − 1/n of a group of n (SIM-173). The penalty is exact where the
    paper estimates it from the sampled token.
    Implements: SIM-094, SIM-172, SIM-173.

    Args:
        policy: the policy that is trained.
        optimizer: over its weights.
        standardize: whether to divide by the group's standard deviation.
        clip: ε of the ratio, above 0.
        epochs: updates on the same rollouts; the paper makes one.
        aggregation: how tokens become one number; ``row_mean_all`` as in the paper.
        reference: the policy to stay near to; a copy, not the policy itself.
        kl_weight: β, of the KL divergence to the reference.

    Raises:
        InvalidInputError: if ``clip`` or ``epochs`` is not positive, or a penalty has no reference.

    References:
        arXiv:2402.03300, equation 3; arXiv:2503.20783 on the division by the deviation.
    """

    def __init__(
        self,
        policy: Policy,
        optimizer: torch.optim.Optimizer,
        *,
        standardize: bool = True,
        clip: float = 0.2,
        epochs: int = 1,
        aggregation: Aggregation = "row_mean_all",
        reference: Policy | None = None,
        kl_weight: float = 0.0,
    ) -> None:
        penalty = Penalty(policy, reference, kl_weight)
        self._gradient = PolicyGradient(policy, optimizer, penalty, aggregation, clip=clip, epochs=epochs)
        self._standardize = standardize

    @property
    def policy(self) -> Policy:
        """The policy as trained so far."""
        return self._gradient.policy

    def step(self, rollouts: Rollouts, judgement: Judgement) -> StepReport:
        """Raise what did better than its group, lower what did worse, once for each epoch.

        Args:
            rollouts: sampled by the policy; a group of one, or of equal rewards, changes nothing.
            judgement: their rewards; feedback is not read.

        Returns:
            The mean loss of the epochs, and which share of the tokens was clipped.
        """
        # Advantage within the group (SIM-172)
        advantages = group_advantages(
            judgement.rewards, rollouts.prompts.group_ids, kind="standardized" if self._standardize else "centered"
        )
        # Clipped loss and update, once for each epoch (SIM-094)
        return self._gradient.update(rollouts, advantages[:, None])
