"""From losses of tokens to one number: masks and means (spec/04-loss, section E)."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdpo_ref.types import Aggregation


def aggregation_weights(
    loss_mask: Bool[Tensor, "rollout time"], *, aggregation: Aggregation, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "rollout time"]:
    r"""The weight of each token in the loss, so that the loss is their weighted sum.

    With :math:`w_{it}` the mask, :math:`n_i = \sum_t w_{it}` and :math:`A` the rows with :math:`n_i > 0`:

    ==========================  ============================================
    ``token_mean``              :math:`w_{it} / \sum_{jt} w_{jt}`
    ``row_mean``                :math:`w_{it} / (n_i |A|)`
    ``row_mean_all``            :math:`w_{it} / (n_i N)`
    ``row_sum``                 :math:`w_{it} / |A|`
    ``time_normalized_sum``     :math:`w_{it} / T`
    ==========================  ============================================

    A denominator that would be zero is one, so a batch in which nothing counts has weight zero everywhere.
    Implements: LOSS-052, LOSS-053, LOSS-054, LOSS-056, LOSS-104, LOSS-105.

    Args:
        loss_mask: True where a token counts.
        aggregation: which mean.
        dtype: of the result.

    Returns:
        Weights, at least zero; exactly zero where the mask is False.

    Example:
        >>> mask = torch.tensor([[True, True, True], [True, False, False]])
        >>> aggregation_weights(mask, aggregation="row_mean").sum(-1)  # each row weighs the same
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    counted = loss_mask.to(dtype)
    rollouts, time = loss_mask.shape
    row_tokens = counted.sum(-1, keepdim=True).clamp(min=1)
    active_rows = loss_mask.any(-1).sum().clamp(min=1)
    match aggregation:
        case "token_mean":
            return counted / counted.sum().clamp(min=1)
        case "row_mean":
            return counted / (row_tokens * active_rows)
        case "row_mean_all":
            return counted / (row_tokens * max(rollouts, 1))
        case "row_sum":
            return counted / active_rows
        case "time_normalized_sum":
            return counted / max(time, 1)


def aggregate(
    token_losses: Float[Tensor, "rollout time"],
    loss_mask: Bool[Tensor, "rollout time"],
    *,
    aggregation: Aggregation,
) -> Float[Tensor, ""]:
    """The weighted sum of the tokens that count.

    A token that does not count is left out, not multiplied by zero: NaN times zero is NaN.
    Implements: LOSS-050, LOSS-053, LOSS-054, LOSS-055, TRAIN-005, TRAIN-007.

    Args:
        token_losses: loss of each token. Gradient flows where the mask is True, and is exactly zero elsewhere.
        loss_mask: True where a token counts.
        aggregation: which mean, see :func:`aggregation_weights`.

    Returns:
        The loss, in the unit of ``token_losses``; zero, and still attached to the graph, if nothing counts.

    Example:
        >>> mask = torch.tensor([[True, True, True], [True, False, False]])
        >>> aggregate(torch.tensor([[1.0, 2.0, 3.0], [6.0, 9.0, 9.0]]), mask, aggregation="token_mean")  # 12 / 4
        tensor(3.)
    """
    weights = aggregation_weights(loss_mask, aggregation=aggregation, dtype=token_losses.dtype)
    return (torch.where(loss_mask, token_losses, 0.0) * weights.to(token_losses.device)).sum()


def micro_batch_weights(loss_masks: Sequence[Bool[Tensor, "_ time"]], *, aggregation: Aggregation) -> tuple[float, ...]:
    r"""Factors that make the losses of micro-batches add up to the loss of the whole batch.

    .. math::
        L = \sum_m f_m L_m, \qquad f_m = d_m / \sum_n d_n

    with :math:`d_m` the denominator of the aggregation in micro-batch m (its tokens, its active rows or its rows).
    ``time_normalized_sum`` is a sum, so every factor is one.
    Implements: TRAIN-002, TRAIN-003.

    Args:
        loss_masks: the mask of each micro-batch, of equal padded length.
        aggregation: which mean.

    Returns:
        One factor for each micro-batch; all zero if nothing counts anywhere.

    Example:
        >>> one, three = torch.tensor([[True, False, False]]), torch.tensor([[True, True, True]])
        >>> micro_batch_weights([one, three], aggregation="token_mean")
        (0.25, 0.75)
    """
    match aggregation:
        case "token_mean":
            denominators = [int(mask.sum()) for mask in loss_masks]
        case "row_mean" | "row_sum":
            denominators = [int(mask.any(-1).sum()) for mask in loss_masks]
        case "row_mean_all":
            denominators = [mask.shape[0] for mask in loss_masks]
        case "time_normalized_sum":
            return (1.0,) * len(loss_masks)
    total = max(sum(denominators), 1)
    return tuple(denominator / total for denominator in denominators)


def completion_mask(
    completions: Int[Tensor, "rollout time"], *, end_ids: frozenset[int]
) -> Bool[Tensor, "rollout time"]:
    """True for sampled tokens up to and including the first that ends the completion.

    The end token was sampled and is trained, also where it has the id of the padding (POLICY-006).
    Implements: POLICY-006.

    Args:
        completions: sampled token ids, padded with anything after the end.
        end_ids: every id that ends a completion; may be empty.

    Returns:
        The mask.

    Example:
        >>> completion_mask(torch.tensor([[5, 2, 0, 2]]), end_ids=frozenset({2}))
        tensor([[ True,  True, False, False]])
    """
    ended = torch.zeros_like(completions, dtype=torch.bool)
    for end_id in end_ids:
        ended |= completions == end_id
    ended_before = ended.long().cumsum(-1) - ended.long()
    return ended_before == 0


def skip_first_tokens(mask: Bool[Tensor, "rollout time"], *, count: int) -> Bool[Tensor, "rollout time"]:
    """The mask without each row's first ``count`` counted tokens (SDFT leaves out three).

    Implements: LOSS-090.

    Args:
        mask: True where a token counts; rows may start with padding.
        count: how many to leave out, at least zero.

    Returns:
        The smaller mask.

    Example:
        >>> skip_first_tokens(torch.tensor([[False, True, True, True]]), count=2)
        tensor([[False, False, False,  True]])
    """
    return mask & (mask.long().cumsum(-1) > count)
