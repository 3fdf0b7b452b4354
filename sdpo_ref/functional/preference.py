"""Preferences: the best and worst rollout of a group, and the loss of a pair (spec/06-simulation, D)."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.errors import InvalidInputError


def best_and_worst(
    rewards: Float[Tensor, " rollout"], group_ids: Int[Tensor, " rollout"]
) -> tuple[Int[Tensor, " pair"], Int[Tensor, " pair"]]:
    """The rollout with the highest and the one with the lowest reward, in each group where they differ.

    A group in which all rewards are equal, a group of one included, gives no pair. Among several with the highest or
    the lowest reward the first is taken: rollouts of a group are exchangeable.
    Implements: SIM-098.

    Args:
        rewards: one for each rollout.
        group_ids: equal for rollouts of the same prompt.

    Returns:
        Row numbers of the best and of the worst, pair by pair, in the order of the group ids.

    Example:
        >>> rewards, groups = torch.tensor([0.1, 0.9, 0.5, 0.5, 0.2]), torch.tensor([0, 0, 0, 1, 2])
        >>> best_and_worst(rewards, groups)
        (tensor([1]), tensor([0]))
    """
    best, worst = [], []
    for group in sorted(set(group_ids.tolist())):
        rows = (group_ids == group).nonzero().flatten()
        highest, lowest = rows[rewards[rows].argmax()], rows[rewards[rows].argmin()]
        if rewards[highest] > rewards[lowest]:
            best.append(int(highest))
            worst.append(int(lowest))
    return torch.tensor(best, dtype=torch.long), torch.tensor(worst, dtype=torch.long)


def preference_losses(
    chosen_log_ratios: Float[Tensor, " pair"], rejected_log_ratios: Float[Tensor, " pair"], *, beta: float
) -> Float[Tensor, " pair"]:
    r"""The sigmoid loss of direct preference optimisation for each pair.

    .. math::
        \ell = -\log \sigma\left(\beta \left[
            \log \frac{p_S(y^+)}{p_R(y^+)} - \log \frac{p_S(y^-)}{p_R(y^-)} \right]\right)

    Implements: SIM-099.

    Args:
        chosen_log_ratios: log-probability of the better completion under the student minus that under the
            reference. Gradient flows.
        rejected_log_ratios: the same of the worse completion. Gradient flows.
        beta: how far the student may go from the reference for a preference; above 0.

    Returns:
        Nats, positive; log 2 where the student is the reference.

    Raises:
        InvalidInputError: if ``beta`` is not a positive finite number.

    References:
        arXiv:2305.18290, equation 7.

    Example:
        >>> preference_losses(torch.tensor([0.0]), torch.tensor([0.0]), beta=0.1)
        tensor([0.6931])
    """
    if not (math.isfinite(beta) and beta > 0):
        raise InvalidInputError(f"beta must be positive and finite, received {beta}; 0.1 is usual")
    return -torch.nn.functional.logsigmoid(beta * (chosen_log_ratios - rejected_log_ratios))
