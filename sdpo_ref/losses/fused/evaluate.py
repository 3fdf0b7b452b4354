"""The loop over chunks: logits, losses with the gradient in place of the logits, and the gradient pulled back."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdpo_ref.losses.fused.options import Options
from sdpo_ref.losses.fused.packing import PackedRows, pack, power_of_two_above, rows_per_chunk
from sdpo_ref.losses.fused.renormalized import renormalized_losses
from sdpo_ref.losses.fused.sources import Gradients, Inputs, Needs, source_of
from sdpo_ref.losses.fused.supports import row_losses_

_HEADROOM = {torch.float16: 16.0}
"""How far above one the gradient of a chunk's logits may lie: float16 has more room there than below."""


@dataclass(frozen=True)
class Evaluation:
    """What one pass over a batch gives.

    Attributes:
        losses: of each position, unweighted; zero where nothing counts.
        gradients: of the weighted sum of the losses, divided by ``unit``.
        unit: a power of two; NaN if more tokens count than there was room for.
    """

    losses: Float[Tensor, "rollout time"]
    gradients: Gradients
    unit: Float[Tensor, ""]


@dataclass(frozen=True)
class Tokens:
    """What is known of each position of a batch.

    Attributes:
        ids: the sampled token; anything where nothing counts.
        mask: True where a token counts.
        behaviour: log-probability when sampled, or ``None``; anything where nothing counts.
    """

    ids: Int[Tensor, "rollout time"]
    mask: Bool[Tensor, "rollout time"]
    behaviour: Float[Tensor, "rollout time"] | None


def evaluate(
    inputs: Inputs,
    tokens: Tokens,
    weights: Float[Tensor, "rollout time"],
    options: Options,
    needs: Needs,
    *,
    chunk_bytes: int,
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
        chunk_bytes: budget for the logits of a chunk.
        room: how many packed rows are computed; at most as many as there are positions.

    Returns:
        Losses and scaled gradients. Where more tokens count than there was room for, all of it is to be made NaN.
    """
    scale = max(1.0, options.ratio_cap or 0.0) / (options.temperature * _HEADROOM.get(inputs.student.dtype, 1.0))
    unit = power_of_two_above(weights * scale)
    rows = pack(tokens.mask, tokens.ids, tokens.behaviour, weights / (unit * options.temperature))
    size = rows_per_chunk(room, vocab=inputs.vocab, chunk_bytes=chunk_bytes)
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
    inputs: Inputs, rows: PackedRows, options: Options, needs: Needs, *, size: int
) -> tuple[Float[Tensor, " row"], Gradients]:
    """The loop: a gradient over the whole vocabulary takes the place of each chunk's logits."""
    room = rows.places.shape[0]
    source = source_of(inputs, needs, whole=room == inputs.student.shape[:2].numel())
    losses = torch.zeros(room, device=rows.places.device)
    both = torch.empty(2 * min(size, room), inputs.vocab, device=losses.device)
    for start in range(0, room, size):
        part = rows.part(start, min(start + size, room))
        height = part.places.shape[0]
        source.fill(part, both[: 2 * height])
        student, teacher = both[:height], both[height : 2 * height]
        gradient = _laid_over(student, inputs.student.dtype) if needs else None
        losses[start : start + height] = row_losses_(student, teacher, gradient, part, options)
        if gradient is not None:
            source.take(part, gradient)
    del both
    return losses, source.gradients()


def _laid_over(logits: Float[Tensor, "row vocab"], dtype: torch.dtype) -> Float[Tensor, "row vocab"]:
    """A matrix of another dtype in the memory of float32 logits: in the front half of each row if it is narrower."""
    return logits.view(dtype)[:, : logits.shape[1]]
