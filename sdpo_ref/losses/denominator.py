"""What a loss divides by where that is known from more than its batch (spec/04-loss, E; spec/05-trainer, C).

A step's gradient is often computed in pieces: micro-batches, packs of rows, the batches of several processes. Each
aggregation divides by one count, of tokens or of rows, and the pieces add up to the step's loss only if every one of
them divides by the count of all. That number is the field's ``num_items_in_batch``.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.distributed import ProcessGroup

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.aggregation import aggregation_weights
from sdpo_ref.types import Aggregation

Denominator = int | float | Float[Tensor, "..."] | Int[Tensor, "..."]
"""A number, or a tensor without axes, which may stay on its device."""


def own_denominator(loss_mask: Bool[Tensor, "rollout time"], *, aggregation: Aggregation) -> Float[Tensor, ""]:
    """What an aggregation divides by in one batch, the tokens of a row aside.

    Counted tokens (``token_mean``), rows with a counted token (``row_mean``, ``row_sum``), all rows
    (``row_mean_all``), or the padded length (``time_normalized_sum``).

    Args:
        loss_mask: True where a token counts.
        aggregation: which mean.

    Returns:
        The count, on the mask's device; it may be zero.

    Example:
        >>> mask = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])
        >>> [int(own_denominator(mask, aggregation=it)) for it in ("token_mean", "row_mean", "row_mean_all")]
        [4, 2, 3]
    """
    match aggregation:
        case "token_mean":
            return loss_mask.sum(dtype=torch.float64)
        case "row_mean" | "row_sum":
            return loss_mask.any(-1).sum(dtype=torch.float64)
        case "row_mean_all":
            count = loss_mask.shape[0]
        case "time_normalized_sum":
            count = loss_mask.shape[1]
    return torch.full((), float(count), dtype=torch.float64, device=loss_mask.device)


def global_denominator(
    loss_masks: Sequence[Bool[Tensor, "_rollout _time"]],
    *,
    aggregation: Aggregation = "token_mean",
    group: ProcessGroup | None = None,
    gradients: Literal["averaged", "summed"] = "averaged",
) -> Float[Tensor, ""]:
    r"""The denominator that makes the losses of all micro-batches of all processes one loss: that of the joined batch.

    With :math:`d_{pm}` the :func:`own_denominator` of micro-batch m of process p, and P processes:

    .. math::
        D = \frac1P \max\!\Big(1, \sum_{p, m} d_{pm}\Big) \qquad (\text{summed: without } 1/P)

    Data parallelism (DDP, FSDP) *averages* the gradients of the processes. Their mean is the gradient of the joined
    batch if each process divides by its share of the count, as D does; a process that divides by the whole count makes
    a step that is P times too small. A row must be whole, in one micro-batch of one process. The padded length of
    ``time_normalized_sum`` is the longest one.

    Call it once for each optimiser step, on every process of the group, also where nothing counts or there is no row:
    it is one collective, for which all of them wait. Without a process group the sum is over micro-batches alone.
    Implements: TRAIN-030, TRAIN-031, TRAIN-032, TRAIN-033, TRAIN-034, TRAIN-035.

    Args:
        loss_masks: of each micro-batch of this process, True where a token counts; there may be none.
        aggregation: which mean; the same on every process.
        group: over which gradients are reduced; ``None`` for all processes. Not those that hold copies or parts of the
            same rows (tensor, sequence or pipeline parallelism).
        gradients: how they are reduced over the group.

    Returns:
        The denominator for :func:`sdpo_ref.sdpo_loss`, above zero, the same on every process, on the masks' device
        (on CUDA if the group communicates there). No gradient.

    Raises:
        InvalidInputError: if this process is not in the group.

    Example:
        >>> one, three = torch.tensor([[True, False, False]]), torch.tensor([[True, True, True]])
        >>> float(global_denominator([one, three]))
        4.0
    """
    counts = [own_denominator(mask, aggregation=aggregation) for mask in loss_masks]
    longest = aggregation == "time_normalized_sum"
    own = torch.zeros((), dtype=torch.float64)
    if counts:
        own = torch.stack(counts).amax() if longest else torch.stack(counts).sum()
    processes = 1
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        if torch.distributed.get_rank(group) < 0:
            raise InvalidInputError(
                "this process does not belong to the process group that it passes; pass the group over which its own "
                "gradients are reduced, or None for all processes"
            )
        processes = torch.distributed.get_world_size(group)
        own = own.cuda() if torch.distributed.get_backend(group) == "nccl" else own
        operation = torch.distributed.ReduceOp.MAX if longest else torch.distributed.ReduceOp.SUM
        torch.distributed.all_reduce(own, op=operation, group=group)
    whole = own.clamp(min=1)
    return whole / processes if gradients == "averaged" else whole


def weights_over(
    loss_mask: Bool[Tensor, "rollout time"],
    denominator: Denominator | None,
    *,
    aggregation: Aggregation,
    dtype: torch.dtype = torch.float64,
) -> Float[Tensor, "rollout time"]:
    r"""The weight of each token in the loss, with a denominator in place of the batch's own.

    ============================  =========================
    ``token_mean``                :math:`w_{it} / D`
    ``row_mean``                  :math:`w_{it} / (n_i D)`
    ``row_mean_all``              :math:`w_{it} / (n_i D)`
    ``row_sum``                   :math:`w_{it} / D`
    ``time_normalized_sum``       :math:`w_{it} / D`
    ============================  =========================

    with :math:`n_i` the counted tokens of row i. D may be any number above zero, also below one.
    Implements: LOSS-140, LOSS-141, LOSS-142.

    Args:
        loss_mask: True where a token counts.
        denominator: D; ``None`` for the batch's own, as
            :func:`~sdpo_ref.functional.aggregation.aggregation_weights` has it.
        aggregation: which mean.
        dtype: of the result.

    Returns:
        Weights, zero where the mask is False; NaN where it is True if D is a tensor that is not above zero, which
        cannot be refused without waiting for its device.

    Raises:
        InvalidInputError: if D is a number below zero, infinite or NaN, or a tensor with axes.

    Example:
        >>> mask = torch.tensor([[True, True, True], [True, False, False]])
        >>> weights_over(mask, 8, aggregation="token_mean")[0]
        tensor([0.1250, 0.1250, 0.1250], dtype=torch.float64)
    """
    if denominator is None:
        return aggregation_weights(loss_mask, aggregation=aggregation, dtype=dtype)
    require_denominator(denominator)
    counted = loss_mask.to(dtype)
    if isinstance(denominator, Tensor):
        divisor = denominator.detach().to(loss_mask.device, dtype)
    else:  # not torch.tensor, which copies from the host
        divisor = torch.full((), float(denominator), dtype=dtype, device=loss_mask.device)
    divisor = torch.where(divisor > 0, divisor, torch.nan)
    if aggregation in ("row_mean", "row_mean_all"):
        divisor = divisor * counted.sum(-1, keepdim=True).clamp(min=1)
    return torch.where(loss_mask, counted / divisor, 0.0)


def aggregate_over(
    token_losses: Float[Tensor, "rollout time"],
    loss_mask: Bool[Tensor, "rollout time"],
    denominator: Denominator,
    *,
    aggregation: Aggregation,
) -> Float[Tensor, ""]:
    """The weighted sum of the tokens that count, with a denominator in place of the batch's own.

    Args:
        token_losses: loss of each token. Gradient flows where the mask is True, and is exactly zero elsewhere.
        loss_mask: True where a token counts.
        denominator: see :func:`weights_over`.
        aggregation: which mean.

    Returns:
        The loss, in the unit of ``token_losses``; zero, and still attached to the graph, if nothing counts.

    Raises:
        InvalidInputError: as in :func:`weights_over`.

    Example:
        >>> mask = torch.tensor([[True, True, True], [True, False, False]])
        >>> aggregate_over(torch.tensor([[1.0, 2.0, 3.0], [6.0, 9.0, 9.0]]), mask, 24, aggregation="token_mean")
        tensor(0.5000)
    """
    weights = weights_over(loss_mask, denominator, aggregation=aggregation, dtype=token_losses.dtype)
    return (torch.where(loss_mask, token_losses, 0.0) * weights.to(token_losses.device)).sum()


def require_denominator(denominator: Denominator) -> None:
    """Refuse what cannot be divided by, as far as that is known without waiting for a device.

    Args:
        denominator: as received. Zero is allowed: it is what is counted where nothing counts.

    Raises:
        InvalidInputError: if it is a number below zero, infinite or NaN, or a tensor with axes.
    """
    if isinstance(denominator, Tensor):
        wrong = f"a tensor of shape {tuple(denominator.shape)}" if denominator.ndim else ""
    else:
        wrong = "" if math.isfinite(denominator) and denominator >= 0 else f"{denominator}"
    if wrong:
        raise InvalidInputError(
            f"denominator is {wrong}; allowed is one finite number of at least 0, such as the count of tokens or rows "
            "in all micro-batches of the step; None for that of the batch alone"
        )
