"""Whether two scores of a group's rollouts have a positive covariance: the hybrid's gate (spec/06-simulation, D)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def groups_that_agree(
    scores: Float[Tensor, " rollout"],
    rewards: Float[Tensor, " rollout"],
    group_ids: Int[Tensor, " rollout"],
    usable: Bool[Tensor, " rollout"],
) -> Bool[Tensor, " rollout"]:
    r"""True for the rows of groups in which scores and rewards have a positive covariance.

    .. math::
        \sum_{i<j} (s_i - s_j)(r_i - r_j) = n \sum_i (s_i - \bar s)(r_i - \bar r) > 0

    over the usable rows of the group. Why the covariance: where s is the teacher's implicit reward, the policies
    :math:`p_\eta \propto p_S\, e^{\eta s}` lead from the student (η = 0) to the teacher (η = 1), and the first step
    along this path changes the expected reward by

    .. math::
        \left. \frac{d}{d\eta}\, \mathbb E_{p_\eta}[r] \right|_{\eta = 0} = \mathrm{Cov}_{p_S}(s, r).

    So the gate is open where, as estimated from the group, following the teacher raises the reward. A rank statistic
    would ignore by how much. The sum over pairs is exactly zero where all scores or all rewards are equal, which a
    difference from a rounded mean is not. At zero, and with fewer than two usable rows, the gate is closed.
    Implements: SIM-105.

    Args:
        scores: the teacher's implicit reward of each rollout, in nats.
        rewards: the oracle's reward of each rollout.
        group_ids: equal for rollouts of the same prompt.
        usable: True for rows that have a score; others are not compared.

    Returns:
        True for every row of an open group, usable or not.

    Example:
        >>> scores, rewards = torch.tensor([0.3, -0.1, 0.3, -0.1]), torch.tensor([1.0, 0.0, 0.0, 1.0])
        >>> groups_that_agree(scores, rewards, torch.tensor([0, 0, 1, 1]), torch.ones(4).bool())
        tensor([ True,  True, False, False])
    """
    agree = torch.zeros_like(usable)
    for group in set(group_ids.tolist()):
        members = group_ids == group
        compared = members & usable
        score, reward = scores[compared], rewards[compared].to(scores)
        # n times the covariance, as a sum over pairs: exactly zero where all scores or all rewards are equal.
        products = (score[:, None] - score[None]) * (reward[:, None] - reward[None])
        agree[members] = products.sum() > 0
    return agree
