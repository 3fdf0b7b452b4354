"""What a user calls: the two functions of :mod:`sdpo_ref.losses.reference`, on logits or on hidden states."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.aggregation import aggregation_weights
from sdpo_ref.losses.fused.operators import fused_loss, fused_token_losses
from sdpo_ref.losses.fused.options import Options
from sdpo_ref.losses.fused.packing import rows_per_chunk
from sdpo_ref.losses.fused.requirements import check_dtypes, check_one_device
from sdpo_ref.types import FULL, Aggregation, DistillationBatch, HiddenBatch, Support, TopKFrom

DEFAULT_CHUNK_BYTES = 2 * 2**30
"""Budget of a chunk's logits: about two thousand tokens at a vocabulary of 128 thousand.

Each chunk reads the head, and reads and writes the float32 sum of the head's gradient. With few tokens in a chunk that
traffic takes longer than the matrix products that it feeds.
"""


def sdpo_loss(
    batch: DistillationBatch | HiddenBatch,
    *,
    alpha: float,
    support: Support = FULL,
    temperature: float = 1.0,
    ratio_cap: float | None = None,
    token_weights: Float[Tensor, "rollout time"] | None = None,
    aggregation: Aggregation = "token_mean",
    top_k_from: TopKFrom = "student",
    chunk_bytes: int = DEFAULT_CHUNK_BYTES,
    counted_tokens: int | None = None,
) -> Float[Tensor, ""]:
    """The SDPO loss, equal to :func:`sdpo_ref.losses.reference.sdpo_loss`, on a GPU and in bounded memory.

    The gradient is computed together with the value, chunk by chunk: library matrix products around one kernel that
    turns the logits of a token into their gradient in place. Nothing waits for the device, so the call can be captured
    in a CUDA graph; for torch.compile it is one operator.

    How many tokens count is known on the device only, and a matrix product has to be told its size by the host. So
    every position takes part in the products, counted tokens first and zeros after them, unless the caller says how
    many there are at most.

    Args:
        batch: logits, or hidden states with their heads, in float32, bfloat16 or float16. Gradient flows into
            ``student_logits``, or into ``student_hidden`` and the student's head as far as they ask for one; none is
            computed under ``no_grad``. Hidden states are four matrix products; logits are copied chunk by chunk.
        alpha: as in the reference.
        support: as in the reference, with fewer than 8192 cells. A ``top_k_renormalized`` row without mass on the
            head gives NaN where the reference raises: raising would mean to wait.
        temperature: as in the reference.
        ratio_cap: as in the reference.
        token_weights: as in the reference.
        aggregation: as in the reference.
        top_k_from: as in the reference.
        chunk_bytes: what the logits of one chunk may take, student and teacher together, in float32. Time and memory
            depend on it, the result only by rounding.
        counted_tokens: an upper bound of how many tokens count, if the host knows one; the rest then costs nothing.
            A bound below the truth makes loss and gradients NaN. In a CUDA graph it must hold at every replay.

    Returns:
        The loss in float32; zero if nothing counts.

    Raises:
        InvalidInputError: as the reference does, and if ``chunk_bytes`` does not hold one token, ``token_weights`` has
            another shape than the completions, ``counted_tokens`` is negative or tensors are on several devices.
        UnsupportedError: if the dtype or the device is none that the kernels take, if Triton is missing, or in a
            second derivative; the message names the implementation to use instead.

    Example:
        On CUDA tensors, or under ``TRITON_INTERPRET=1``::

            loss = sdpo_loss(HiddenBatch(...), alpha=1.0, counted_tokens=int(lengths.sum()))
            loss.backward()
    """
    options = Options(alpha, support, top_k_from, temperature, ratio_cap)
    call = _call(batch, options, chunk_bytes=chunk_bytes, counted_tokens=counted_tokens)
    weights = aggregation_weights(batch.loss_mask, aggregation=aggregation).float()
    if token_weights is not None:
        if token_weights.shape != batch.completions.shape:
            raise InvalidInputError(
                f"token_weights has shape {tuple(token_weights.shape)}, allowed is that of the completions, "
                f"{tuple(batch.completions.shape)}; expand it before the call"
            )
        check_one_device(weights.device, token_weights=token_weights.device)
        weights = weights * torch.where(batch.loss_mask, token_weights.detach(), 0.0)
    loss: Tensor = fused_loss(*call.inputs, weights.float(), *call.options)[0]
    return loss


def sdpo_token_losses(
    batch: DistillationBatch | HiddenBatch,
    *,
    alpha: float,
    support: Support = FULL,
    temperature: float = 1.0,
    ratio_cap: float | None = None,
    top_k_from: TopKFrom = "student",
    chunk_bytes: int = DEFAULT_CHUNK_BYTES,
    counted_tokens: int | None = None,
) -> Float[Tensor, "rollout time"]:
    """The loss of each token, equal to :func:`sdpo_ref.losses.reference.sdpo_token_losses`.

    The gradient depends on the upstream factor of each token, which is not known in forward, so backward forms the
    logits again: six matrix products in all where :func:`sdpo_loss` takes four. Who knows the weights of the tokens
    passes them to that.

    Args:
        batch: as for :func:`sdpo_loss`.
        alpha: as for :func:`sdpo_loss`.
        support: as for :func:`sdpo_loss`.
        temperature: as for :func:`sdpo_loss`.
        ratio_cap: as for :func:`sdpo_loss`.
        top_k_from: as for :func:`sdpo_loss`.
        chunk_bytes: as for :func:`sdpo_loss`.
        counted_tokens: as for :func:`sdpo_loss`.

    Returns:
        Nats (``sampled_token``: nats squared); exactly zero, and without gradient, where the token does not count.

    Raises:
        InvalidInputError: as for :func:`sdpo_loss`.
        UnsupportedError: as for :func:`sdpo_loss`.
    """
    options = Options(alpha, support, top_k_from, temperature, ratio_cap)
    call = _call(batch, options, chunk_bytes=chunk_bytes, counted_tokens=counted_tokens)
    token_losses: Tensor = fused_token_losses(*call.inputs, *call.options)
    return token_losses


@dataclass(frozen=True)
class _Call:
    """The arguments of an operator, in its order."""

    inputs: tuple[Tensor | None, ...]
    options: tuple[object, ...]


def _call(
    batch: DistillationBatch | HiddenBatch, options: Options, *, chunk_bytes: int, counted_tokens: int | None
) -> _Call:
    """Check shapes, dtypes and budget, and cut the teacher's side off from any graph (LOSS-060)."""
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
    check_dtypes(student.dtype, teacher.dtype)
    behaviour = None if batch.behaviour_log_probs is None else batch.behaviour_log_probs.detach()
    check_one_device(
        student.device,
        teacher=teacher.device,
        completions=batch.completions.device,
        completion_mask=batch.completion_mask.device,
        self_distillation_mask=batch.self_distillation_mask.device,
        behaviour_log_probs=None if behaviour is None else behaviour.device,
    )
    if counted_tokens is not None and counted_tokens < 0:
        raise InvalidInputError(
            f"counted_tokens={counted_tokens}, allowed is an upper bound of how many tokens count; leave it out if the "
            "host does not know one"
        )
    positions = batch.completions.numel()
    room = positions if counted_tokens is None else min(counted_tokens, positions)
    rows_per_chunk(room, vocab=vocab, chunk_bytes=chunk_bytes)
    needs = [torch.is_grad_enabled() and each is not None and each.requires_grad for each in (student, weight, bias)]
    return _Call(
        (
            student,
            weight,
            bias,
            teacher.detach(),
            teacher_weight,
            teacher_bias,
            batch.completions,
            batch.loss_mask,
            behaviour,
        ),
        (
            options.alpha,
            options.support.kind,
            options.support.k,
            options.top_k_from,
            options.temperature,
            options.ratio_cap,
            chunk_bytes,
            room,
            needs,
        ),
    )
