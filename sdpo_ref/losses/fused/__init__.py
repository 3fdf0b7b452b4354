"""The SDPO loss on a GPU: library matrix products around one Triton kernel, in bounded memory, without waiting.

**Experimental**: the kernels have run in Triton's interpreter only, not on a GPU yet. Called through
:func:`sdpo_ref.sdpo_loss` with ``impl="fused"``; equal to the reference in value and gradient, for float32, bfloat16
and float16. Importing this package imports no Triton (extra ``gpu``); calling it does. The files and steps are those of
``losses.chunked``: ``tokens`` (counted tokens first), ``sources`` (logits from hidden states, and back), ``supports``
(loss and gradient of the rows of a chunk), ``evaluate`` (the loop over chunks), ``autograd`` (the operators that torch
sees); below ``supports`` are ``launch`` (which kernel, on what grid) and ``kernels`` (what runs on the device).

The gradient is computed together with the value, chunk by chunk: library matrix products around one kernel that turns
the logits of a token into their gradient in place. Nothing waits for the device, so the call can be captured in a CUDA
graph; for torch.compile it is one operator. How many tokens count is known on the device only, and a matrix product
needs its size from the host. So every position takes part in the products, counted tokens first and zeros after them,
unless the caller says how many there are at most (spec/decisions/0020).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.losses.denominator import Denominator, weights_over
from sdpo_ref.losses.fused.autograd import Call, fused_loss, fused_token_losses
from sdpo_ref.losses.fused.tokens import tokens_per_chunk
from sdpo_ref.losses.options import LossOptions
from sdpo_ref.types import DistillationBatch, HiddenBatch


def sdpo_loss(
    batch: DistillationBatch | HiddenBatch,
    options: LossOptions,
    *,
    token_weights: Float[Tensor, "rollout time"] | None = None,
    denominator: Denominator | None = None,
    chunk_bytes: int | None = None,
    counted_tokens: int | None = None,
) -> Float[Tensor, ""]:
    """The SDPO loss on a GPU.

    Args:
        batch: as :mod:`sdpo_ref.losses.dispatch` has checked it. No gradient is computed under ``no_grad``. Hidden
            states are four matrix products; logits are copied chunk by chunk.
        options: of the loss. A ``top_k_renormalized`` row without mass on the head gives NaN where the reference
            raises: to raise, it would have to wait.
        token_weights: as in :func:`sdpo_ref.sdpo_loss`.
        denominator: as in :func:`sdpo_ref.sdpo_loss`.
        chunk_bytes: budget of one chunk's logits, student and teacher together, in float32; ``None`` for 2 GiB.
        counted_tokens: an upper bound of how many tokens count. In a CUDA graph it must hold at every replay.

    Returns:
        The loss in float32; zero if nothing counts, NaN if more tokens count than ``counted_tokens``.

    Raises:
        InvalidInputError: if ``chunk_bytes`` does not hold one token, or ``counted_tokens`` is negative.
    """
    weights = weights_over(batch.loss_mask, denominator, aggregation=options.aggregation).float()
    if token_weights is not None:
        weights = weights * torch.where(batch.loss_mask, token_weights.detach(), 0.0)
    call = _call(batch, options, weights.float(), chunk_bytes=chunk_bytes, counted_tokens=counted_tokens)
    loss: Tensor = fused_loss(*call)[0]
    return loss


def sdpo_token_losses(
    batch: DistillationBatch | HiddenBatch,
    options: LossOptions,
    *,
    chunk_bytes: int | None = None,
    counted_tokens: int | None = None,
) -> Float[Tensor, "rollout time"]:
    """The loss of each token on a GPU.

    The gradient depends on the upstream factor of each token, which is not known in forward, so backward forms the
    logits again: six matrix products in all where :func:`sdpo_loss` takes four.

    Args:
        batch: as for :func:`sdpo_loss`.
        options: of the loss.
        chunk_bytes: as for :func:`sdpo_loss`.
        counted_tokens: as for :func:`sdpo_loss`.

    Returns:
        Nats (``sampled_token``: nats squared); exactly zero, and without gradient, where the token does not count.

    Raises:
        InvalidInputError: if ``chunk_bytes`` does not hold one token, or ``counted_tokens`` is negative.
    """
    call = _call(batch, options, None, chunk_bytes=chunk_bytes, counted_tokens=counted_tokens)
    token_losses: Tensor = fused_token_losses(*call)
    return token_losses


def _call(
    batch: DistillationBatch | HiddenBatch,
    options: LossOptions,
    weights: Float[Tensor, "rollout time"] | None,
    *,
    chunk_bytes: int | None,
    counted_tokens: int | None,
) -> Call:
    """The operator's arguments; the teacher's side is cut off from any graph (LOSS-060)."""
    weight = bias = teacher_weight = teacher_bias = None
    if isinstance(batch, DistillationBatch):
        student, teacher = batch.student_logits, batch.teacher_logits
        vocab = student.shape[-1]
    else:
        student, teacher = batch.student_hidden, batch.teacher_hidden
        weight, bias = batch.student_head.weight, batch.student_head.bias
        vocab = weight.shape[0]
        if not (batch.teacher_head.weight is weight and batch.teacher_head.bias is bias):
            teacher_weight = batch.teacher_head.weight.detach()
            teacher_bias = None if batch.teacher_head.bias is None else batch.teacher_head.bias.detach()
    if counted_tokens is not None and counted_tokens < 0:
        raise InvalidInputError(
            f"counted_tokens={counted_tokens}, allowed is an upper bound of how many tokens count; leave it out if the "
            "host has none"
        )
    positions = batch.completions.numel()
    room = positions if counted_tokens is None else min(counted_tokens, positions)
    tokens_per_chunk(room, vocab=vocab, chunk_bytes=chunk_bytes)  # refuses a budget that is too small
    return Call(
        student=student,
        weight=weight,
        bias=bias,
        teacher=teacher.detach(),
        teacher_weight=teacher_weight,
        teacher_bias=teacher_bias,
        token_ids=batch.completions,
        mask=batch.loss_mask,
        behaviour=None if batch.behaviour_log_probs is None else batch.behaviour_log_probs.detach(),
        weights=weights,
        alpha=options.alpha,
        support=options.support.kind,
        k=options.support.k,
        temperature=options.temperature,
        ratio_cap=options.ratio_cap,
        top_k_from=options.top_k_from,
        chunk_bytes=chunk_bytes,
        room=room,
        needs=[torch.is_grad_enabled() and each is not None and each.requires_grad for each in (student, weight, bias)],
    )
