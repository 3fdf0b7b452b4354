"""Implicit reward: what self-distillation maximises although no reward is given (spec/04-loss, section G)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdpo_ref.functional.log_probs import log_probs, token_log_probs


def implicit_reward(
    conditioned_logits: Float[Tensor, "rollout time vocab"],
    reference_logits: Float[Tensor, "rollout time vocab"],
    completions: Int[Tensor, "rollout time"],
    completion_mask: Bool[Tensor, "rollout time"],
) -> Float[Tensor, " rollout"]:
    r"""How much more likely the whole completion is once the policy has read the context.

    .. math::
        r(y, x, c) = \log \pi(y \mid x, c) - \log \pi_k(y \mid x)
                   = \sum_t \left[ \log \pi(y_t \mid x, c, y_{<t}) - \log \pi_k(y_t \mid x, y_{<t}) \right]

    The second form telescopes from the first because both factor over the same tokens: the sum of the
    self-distillation advantages *is* the reward, with no normaliser. It describes reverse KL only.
    Implements: LOSS-080, LOSS-081, LOSS-115, LOSS-121.

    Args:
        conditioned_logits: scores under the context. Gradient flows.
        reference_logits: scores of the k-th policy without the context. Gradient flows.
        completions: sampled token ids.
        completion_mask: True where a token belongs to the completion.

    Returns:
        Nats per rollout; zero for an empty completion.

    References:
        arXiv:2601.19897 (SDFT), implicit reward.

    Example:
        >>> conditioned, reference = torch.tensor([[[0.8, 0.2]]]).log(), torch.tensor([[[0.4, 0.6]]]).log()
        >>> implicit_reward(conditioned, reference, torch.tensor([[0]]), torch.tensor([[True]]))  # log 2
        tensor([0.6931])
    """
    return implicit_token_rewards(conditioned_logits, reference_logits, completions, completion_mask).sum(-1)


def implicit_token_rewards(
    conditioned_logits: Float[Tensor, "rollout time vocab"],
    reference_logits: Float[Tensor, "rollout time vocab"],
    completions: Int[Tensor, "rollout time"],
    completion_mask: Bool[Tensor, "rollout time"],
) -> Float[Tensor, "rollout time"]:
    """The credit of each token: the summands of :func:`implicit_reward`, zero where the mask is False.

    Implements: LOSS-082, LOSS-110, LOSS-114.

    Args:
        conditioned_logits: scores under the context. Gradient flows.
        reference_logits: scores without it. Gradient flows.
        completions: sampled token ids.
        completion_mask: True where a token belongs to the completion.

    Returns:
        Nats per token; any sign.

    Example:
        >>> even, certain = torch.tensor([[[0.5, 0.5]]]).log(), torch.tensor([[[1.0, 0.0]]]).log()
        >>> implicit_token_rewards(certain, even, torch.tensor([[0]]), torch.tensor([[True]]))
        tensor([[0.6931]])
    """
    conditioned = torch.where(completion_mask[..., None], conditioned_logits, 0.0)
    reference = torch.where(completion_mask[..., None], reference_logits, 0.0)
    token_ids = torch.where(completion_mask, completions, 0)
    difference = token_log_probs(log_probs(conditioned), token_ids) - token_log_probs(log_probs(reference), token_ids)
    return torch.where(completion_mask, difference, 0.0)
