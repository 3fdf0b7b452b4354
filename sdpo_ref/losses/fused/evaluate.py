"""The loop over chunks: logits, losses with their gradient in place of the logits, and the gradient of the inputs."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.losses.fused.sources import Gradients, Inputs, Needs, source_of
from sdpo_ref.losses.fused.supports import renormalized_losses, token_losses_
from sdpo_ref.losses.fused.tokens import PackedTokens, Tokens, packed_tokens, tokens_per_chunk
from sdpo_ref.losses.options import LossOptions

_HEADROOM = {torch.float16: 16.0}
"""How far above one the gradient of a chunk's logits may lie: float16 has more room there than below."""


@dataclass(frozen=True)
class Evaluation:
    """The result of one pass over a batch.

    Attributes:
        losses: of each position, unweighted; zero where nothing counts.
        gradients: of the weighted sum of the losses, divided by ``unit``.
        unit: a power of two; NaN if more tokens count than there was room for.
    """

    losses: Float[Tensor, "rollout time"]
    gradients: Gradients
    unit: Float[Tensor, ""]


def evaluate(
    inputs: Inputs,
    tokens: Tokens,
    weights: Float[Tensor, "rollout time"],
    options: LossOptions,
    needs: Needs,
    *,
    chunk_bytes: int | None,
    room: int,
) -> Evaluation:
    """Losses of all tokens, and the gradient of their weighted sum.

    No step waits for the device: shapes depend on the shapes of the inputs and on ``room`` alone.

    Args:
        inputs: logits, or hidden states and heads.
        tokens: which tokens were sampled, and which count.
        weights: constant factor of each token in the sum; zero where nothing counts.
        options: of the loss.
        needs: which gradients are wanted.
        chunk_bytes: budget for the logits of a chunk, or ``None``.
        room: how many packed rows are computed; at most as many as there are positions.

    Returns:
        Losses and scaled gradients. Where more tokens count than there was room for, the unit is NaN, and loss and
        gradients have to become NaN.
    """
    scale = max(1.0, options.ratio_cap or 0.0) / (options.temperature * _HEADROOM.get(inputs.student.dtype, 1.0))
    unit = power_of_two_above(weights * scale)
    rows = packed_tokens(tokens, weights / (unit * options.temperature))
    size = tokens_per_chunk(room, vocab=inputs.vocab, chunk_bytes=chunk_bytes)
    packed = torch.zeros(rows.places.shape[0], device=rows.places.device)
    computed = rows.part(0, room)
    if options.support.kind == "top_k_renormalized" and inputs.weight is not None:
        packed[:room], gradients = renormalized_losses(inputs, inputs.weight, computed, options, needs, size=size)
    else:
        packed[:room], gradients = _dense_losses(inputs, computed, options, needs, size=size)
    losses = torch.empty_like(packed).index_copy_(0, rows.places, packed).view(tokens.mask.shape)
    unit = torch.where(rows.count <= room, unit, torch.nan)
    return Evaluation(losses, gradients, unit)


def _dense_losses(
    inputs: Inputs, rows: PackedTokens, options: LossOptions, needs: Needs, *, size: int
) -> tuple[Float[Tensor, " row"], Gradients]:
    """The loop: a gradient over the whole vocabulary takes the place of each chunk's logits."""
    room = rows.places.shape[0]
    source = source_of(inputs, needs, whole=room == inputs.student.shape[:2].numel())
    losses = torch.zeros(room, device=rows.places.device)
    both = torch.empty(2 * min(size, room), inputs.vocab, device=losses.device)
    for start in range(0, room, size):
        part = rows.part(start, min(start + size, room))
        height = part.places.shape[0]
        source.logits(part, out=both[: 2 * height])
        student, teacher = both[:height], both[height : 2 * height]
        gradient = _in_place_of(student, inputs.student.dtype) if needs else None
        losses[start : start + height] = token_losses_(student, teacher, gradient, part, options)
        if gradient is not None:
            source.accumulate(part, gradient)
    del both
    return losses, source.gradients()


def _in_place_of(logits: Float[Tensor, "row vocab"], dtype: torch.dtype) -> Float[Tensor, "row vocab"]:
    """A matrix of another dtype in the memory of float32 logits: in the front half of each row if it is narrower."""
    return logits.view(dtype)[:, : logits.shape[1]]


def power_of_two_above(values: Float[Tensor, "..."]) -> Float[Tensor, ""]:
    """The smallest power of two above every magnitude: dividing by it, and multiplying again, loses no digit.

    Args:
        values: any number of them.

    Returns:
        A positive number; one if every value is zero.

    Example:
        >>> power_of_two_above(torch.tensor([0.3, -0.2]))
        tensor(0.5000)
    """
    largest = values.abs().amax() if values.numel() else values.new_zeros(())
    return torch.ldexp(torch.ones_like(largest), torch.frexp(largest).exponent)
