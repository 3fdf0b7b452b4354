"""The gradient of one optimiser step on several processes, each with rollouts of its own (spec/05-trainer, C).

How it departs from one process: every process divides by a count of all of them, and the mean of their gradients is
the gradient. Here gradients are averaged by hand; DistributedDataParallel and FSDP do the same.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from sdpo_ref.losses import sdpo_loss
from sdpo_ref.losses.denominator import global_denominator
from sdpo_ref.trainers.sdpo import MicroBatchSource
from sdpo_ref.types import Aggregation, Support, TopKFrom


def accumulate_over_processes(
    sources: Sequence[MicroBatchSource],
    *,
    alpha: float,
    support: Support,
    temperature: float,
    aggregation: Aggregation,
    accumulation: Literal["global", "micro_batch_mean"],
    top_k_from: TopKFrom,
    loss_masks: Sequence[Tensor],
    group: ProcessGroup,
) -> float:
    """Add this process's share of the gradient of one optimiser step, micro-batch by micro-batch, to the ``grad``.

    As :func:`~sdpo_ref.trainers.sdpo.accumulate_gradient` on one process. The mean of the shares over the group is the
    gradient of the joined batch (``global``), or the mean over all micro-batches (``micro_batch_mean``, for which every
    process has equally many).
    Implements: TRAIN-030, TRAIN-031, TRAIN-032, TRAIN-033.

    Args:
        sources: the micro-batches of this process.
        alpha: see :func:`sdpo_ref.sdpo_loss`, as are the other options of the loss.
        support: which tokens are compared.
        temperature: divides the logits of both sides.
        aggregation: how tokens become one number.
        accumulation: how micro-batches become one step.
        top_k_from: whose top-k.
        loss_masks: the mask of each micro-batch, known before any logits are.
        group: the processes over which gradients are averaged; all of them call this.

    Returns:
        This process's share of the loss, in nats; the mean over the group is the loss of the step.
    """
    denominator = global_denominator(loss_masks, aggregation=aggregation, group=group)
    total = 0.0
    for source in sources:
        loss = sdpo_loss(
            source(),
            alpha=alpha,
            support=support,
            temperature=temperature,
            aggregation=aggregation,
            denominator=denominator if accumulation == "global" else None,
            top_k_from=top_k_from,
            impl="reference",
        )
        loss = loss if accumulation == "global" else loss / len(sources)
        torch.autograd.backward(loss)
        total += float(loss.detach())
    return total


def average_gradients_(parameters: Iterable[Tensor], *, group: ProcessGroup) -> None:
    """Replace each parameter's ``grad`` by its mean over the group, in one collective.

    A parameter without a gradient takes part with zeros: every process sums equally many numbers.

    Args:
        parameters: of the model, in the same order on every process.
        group: the processes; all of them call this.
    """
    kept = list(parameters)
    for parameter in kept:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in kept if parameter.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    torch.distributed.all_reduce(flat, group=group)
    flat /= torch.distributed.get_world_size(group)
    sizes = [gradient.numel() for gradient in gradients]
    for gradient, mean in zip(gradients, torch.split(flat, sizes), strict=True):
        gradient.copy_(mean.view_as(gradient))
