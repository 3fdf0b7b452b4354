"""Advantages: of the reward within its group, of the self-teacher, and their mixture (spec/04-loss, section F)."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.errors import InvalidInputError

STANDARDIZED_EPSILON = 1e-4
"""Added to the group's standard deviation before dividing (TRL's value)."""


def group_advantages(
    rewards: Float[Tensor, " rollout"],
    group_ids: Int[Tensor, " rollout"],
    *,
    kind: Literal["centered", "standardized"] = "centered",
) -> Float[Tensor, " rollout"]:
    r"""How much better each rollout did than its group.

    .. math::
        A_i = r_i - \bar r_{g(i)} \qquad\text{or}\qquad A_i = \frac{r_i - \bar r_{g(i)}}{\sigma_{g(i)} + 10^{-4}}

    The paper's hybrid uses the first; GRPO and TRL the second, with the deviation over n - 1. A group of one has
    advantage zero.
    Implements: LOSS-093, LOSS-117, LOSS-118.

    Args:
        rewards: one for each rollout; raised to float32 if they have less.
        group_ids: equal for rollouts of the same prompt.
        kind: whether to divide by the group's standard deviation.

    Returns:
        Advantages in the unit of the reward (``centered``), or without unit (``standardized``).

    References:
        arXiv:2601.20802, equation 3 and footnote 3.

    Example:
        >>> group_advantages(torch.tensor([1.0, 0.0, 0.0, 0.0]), torch.tensor([0, 0, 0, 0]))
        tensor([ 0.7500, -0.2500, -0.2500, -0.2500])
    """
    precise = rewards.to(torch.promote_types(rewards.dtype, torch.float32))
    centered, sizes = centered_in_groups(precise, group_ids)
    if kind == "centered":
        return centered
    spread = sum_of_group(centered.square(), group_ids).div((sizes - 1).clamp_min(1)).sqrt()
    return centered / (spread + STANDARDIZED_EPSILON)


def centered_in_groups(
    numbers: Float[Tensor, " rollout"], group_ids: Int[Tensor, " rollout"]
) -> tuple[Float[Tensor, " rollout"], Float[Tensor, " rollout"]]:
    """Each number less the mean of its group, and the size of its group.

    Args:
        numbers: one for each rollout.
        group_ids: equal for rollouts of the same prompt.

    Returns:
        Numbers that sum to zero in each group up to rounding; and counts.
    """
    sizes = sum_of_group(torch.ones_like(numbers), group_ids)
    return numbers - sum_of_group(numbers, group_ids) / sizes, sizes


def sum_of_group(numbers: Float[Tensor, " rollout"], group_ids: Int[Tensor, " rollout"]) -> Float[Tensor, " rollout"]:
    """For each rollout the sum over its group, added up one by one in the order of the rollouts.

    The order is part of the result: what is centred sums to zero up to a rounding error, an optimiser that divides by
    the size of the gradient enlarges that error, and an implementation that adds in the same order has the same one.
    Implements: LOSS-111.

    Args:
        numbers: one for each rollout.
        group_ids: equal for rollouts of the same prompt.

    Returns:
        Sums.
    """
    names, group = torch.unique(group_ids, return_inverse=True)
    return numbers.new_zeros(len(names)).index_add_(0, group, numbers)[group]


def self_distillation_advantages(
    student_token_log_probs: Float[Tensor, "*batch"], teacher_token_log_probs: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    r"""Self-distillation advantage of each sampled token, log p_T - log p_S.

    .. math::
        A^{\mathrm{SDPO}}_t = \log p_T(y_t) - \log p_S(y_t)

    Positive where the token is more likely under the teacher than under the student. Not centred.
    Implements: LOSS-071.

    Args:
        student_token_log_probs: log-probability of the sampled token under the student. No gradient flows.
        teacher_token_log_probs: the same under the teacher.

    Returns:
        Nats; any sign.

    References:
        arXiv:2601.20802, proposition 2.1.

    Example:
        >>> self_distillation_advantages(torch.tensor([0.5]).log(), torch.tensor([1.0]).log())
        tensor([0.6931])
    """
    return (teacher_token_log_probs - student_token_log_probs).detach()


def convex_combination(
    of_reward: Float[Tensor, "..."], of_distillation: Float[Tensor, "..."], *, weight: float
) -> Float[Tensor, "..."]:
    r"""Mixture of the reward's and the self-teacher's advantages, or losses.

    .. math::
        \lambda\, a + (1 - \lambda)\, b

    ``weight`` is the paper's λ and belongs to the *reward*; TRL's ``distillation_weight`` is ``1 - λ``.
    Implements: LOSS-071, LOSS-072, LOSS-101.

    Args:
        of_reward: from the scalar reward. Gradient flows.
        of_distillation: from the self-teacher, of a shape that broadcasts with the other. Gradient flows.
        weight: λ in ``[0, 1]``.

    Returns:
        The mixture, in the unit of its arguments.

    Raises:
        InvalidInputError: if ``weight`` is outside ``[0, 1]``.

    References:
        arXiv:2601.20802, equation 3.

    Example:
        >>> convex_combination(torch.tensor([[1.0]]), torch.tensor([[0.0, 2.0]]), weight=0.9)
        tensor([[0.9000, 1.1000]])
    """
    if not 0.0 <= weight <= 1.0:
        raise InvalidInputError(
            f"the reward's weight must lie in [0, 1], received {weight}; 1 is pure reward, 0 pure self-distillation"
        )
    return weight * of_reward + (1 - weight) * of_distillation
