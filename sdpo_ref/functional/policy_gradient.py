"""Parts of policy gradients: scored tokens, leave-one-out and generalised advantages, the clipped ratio (SIM, D)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.advantages import centered_in_groups
from sdpo_ref.functional.importance import MAX_LOG_RATIO
from sdpo_ref.functional.log_probs import log_probs, token_log_probs


def completion_log_probs(
    logits: Float[Tensor, "rollout time vocab"],
    completions: Int[Tensor, "rollout time"],
    completion_mask: Bool[Tensor, "rollout time"],
) -> Float[Tensor, "rollout time"]:
    """Log-probability of each sampled token, and zero where the mask is False, whatever the tensors hold there.

    Implements: SIM-107.

    Args:
        logits: scores aligned to the completion. Gradient flows where the mask is True.
        completions: sampled token ids.
        completion_mask: True where a token belongs to the completion.

    Returns:
        Nats; a row's sum is the log-probability of its completion.

    Example:
        >>> logits = torch.tensor([[[0.5, 0.5], [float("nan"), 0.0]]]).log()
        >>> completion_log_probs(logits, torch.tensor([[1, 7]]), torch.tensor([[True, False]]))
        tensor([[-0.6931,  0.0000]])
    """
    known = log_probs(torch.where(completion_mask[..., None], logits, 0.0))
    return torch.where(completion_mask, token_log_probs(known, torch.where(completion_mask, completions, 0)), 0.0)


def leave_one_out_advantages(
    rewards: Float[Tensor, " rollout"], group_ids: Int[Tensor, " rollout"]
) -> Float[Tensor, " rollout"]:
    r"""How much better each rollout did than the others of its group did on average.

    .. math::
        A_i = r_i - \frac{1}{n - 1} \sum_{j \neq i} r_j = \frac{n}{n - 1} \left( r_i - \bar r \right)

    The baseline of a rollout does not depend on that rollout, so it changes the variance of the gradient and not its
    expectation. The advantage of a rollout that is alone in its group is zero.
    Implements: SIM-092.

    Args:
        rewards: one for each rollout.
        group_ids: equal for rollouts of the same prompt.

    Returns:
        Advantages in the unit of the reward; they sum to zero in each group.

    References:
        arXiv:2402.14740, section 3.3; Kool et al. 2019.

    Example:
        >>> leave_one_out_advantages(torch.tensor([1.0, 0.0, 0.0, 5.0]), torch.tensor([0, 0, 0, 1]))
        tensor([ 1.0000, -0.5000, -0.5000,  0.0000])
    """
    centered, sizes = centered_in_groups(rewards, group_ids)
    # The right-hand form: one mean a group instead of one a rollout.
    return centered * (sizes / (sizes - 1).clamp_min(1))


def generalized_advantages(
    rewards: Float[Tensor, " rollout"],
    values: Float[Tensor, "rollout time"],
    completion_mask: Bool[Tensor, "rollout time"],
    *,
    trace: float,
) -> Float[Tensor, "rollout time"]:
    r"""Generalised advantage estimation without discount, for a reward that comes with the last token.

    .. math::
        \hat A_t = \sum_{l \ge 0} \lambda^l \delta_{t + l}, \qquad
        \delta_t = \begin{cases} V_{t+1} - V_t & t < T \\ r - V_T & t = T \end{cases}

    With λ = 1 this is :math:`r - V_t`, unbiased whatever V is; with λ = 0 it is the change of V from one token to the
    next, which is exactly the true advantage if V is the true value.
    Implements: SIM-096.

    Args:
        rewards: one for each rollout.
        values: expected reward before token t was chosen. No gradient flows.
        completion_mask: True where a token belongs to the completion; other positions are passed over.
        trace: λ in ``[0, 1]``.

    Returns:
        Advantages in the unit of the reward, zero where the mask is False; with V they add up to the target of V.

    Raises:
        InvalidInputError: if ``trace`` is outside ``[0, 1]``.

    References:
        arXiv:1506.02438, equation 16; arXiv:1707.06347, equation 11.

    Example:
        >>> values, mask = torch.tensor([[0.5, 0.75]]), torch.tensor([[True, True]])
        >>> generalized_advantages(torch.tensor([1.0]), values, mask, trace=0.0)
        tensor([[0.2500, 0.2500]])
    """
    if not 0.0 <= trace <= 1.0:
        raise InvalidInputError(f"trace must lie in [0, 1], received {trace}; 1 uses rewards only, 0 values only")
    advantages = torch.zeros_like(values)
    # The sum, from the last token to the first: A_t = delta_t + lambda A_{t+1}.
    following, ahead = rewards.to(values), torch.zeros_like(values[:, 0])
    for position in reversed(range(values.shape[-1])):
        counts, value = completion_mask[:, position], values[:, position].detach()
        ahead = torch.where(counts, following - value + trace * ahead, ahead)
        following = torch.where(counts, value, following)
        advantages[:, position] = torch.where(counts, ahead, 0.0)
    return advantages


def clipped_surrogate(
    student_token_log_probs: Float[Tensor, "rollout time"],
    behaviour_log_probs: Float[Tensor, "rollout time"],
    advantages: Float[Tensor, "rollout time"],
    *,
    clip: float,
) -> Float[Tensor, "rollout time"]:
    r"""Loss of each token that rewards moving from the old policy, but not beyond a factor of 1 ± clip.

    .. math::
        \ell_t = -\min\left(\rho_t A_t,\; \mathrm{clip}(\rho_t, 1 - \varepsilon, 1 + \varepsilon)\, A_t\right),
        \qquad \rho_t = \frac{p_S(y_t)}{\mu(y_t)}

    Where the policy has not moved, the gradient is the policy gradient. A token that has moved beyond the clip in the
    direction of its advantage has gradient zero; one that moved against it keeps its gradient.
    Implements: SIM-094.

    Args:
        student_token_log_probs: log-probability of the sampled token now. Gradient flows.
        behaviour_log_probs: the same when it was sampled. No gradient flows.
        advantages: one for each token; treated as constants.
        clip: ε, above 0.

    Returns:
        Minus the surrogate objective, in the unit of the advantages.

    Raises:
        InvalidInputError: if ``clip`` is not positive.

    References:
        arXiv:1707.06347, equation 7.

    Example:
        >>> now, before = torch.tensor([[0.9, 0.9]]).log(), torch.tensor([[0.6, 0.6]]).log()  # ratio 1.5
        >>> clipped_surrogate(now, before, torch.tensor([[1.0, -1.0]]), clip=0.2)
        tensor([[-1.2000,  1.5000]])
    """
    if not clip > 0:
        raise InvalidInputError(f"clip must be positive, received {clip}; 0.2 is usual, None turns it off")
    log_ratio = student_token_log_probs - behaviour_log_probs.detach()
    ratio = log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    constant = advantages.detach()
    return -torch.minimum(ratio * constant, ratio.clamp(1 - clip, 1 + clip) * constant)
