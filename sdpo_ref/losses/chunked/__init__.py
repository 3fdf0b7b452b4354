"""The SDPO loss in bounded memory, in plain torch: from hidden states or logits, token chunk by token chunk.

Called through :func:`sdpo_ref.sdpo_loss` with ``impl="chunked"``; equal to the reference in value and gradient. Read
the files in the order in which data flows: ``tokens`` (which positions count, and how many at a time), ``sources``
(where a chunk's logits come from and its gradient goes to), ``supports`` (loss and gradient of a block of logits),
``evaluate`` (the loop), ``autograd`` (what is saved for backward). spec/decisions/0018 says what an optimised
implementation may do. ``losses.fused`` has the same files for the same steps.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.losses.chunked.autograd import TokenLosses, WeightedLoss
from sdpo_ref.losses.chunked.evaluate import Plan
from sdpo_ref.losses.chunked.sources import HiddenSource, LogitsSource, source_of
from sdpo_ref.losses.chunked.tokens import counted_tokens, tokens_per_chunk
from sdpo_ref.losses.denominator import Denominator, weights_over
from sdpo_ref.losses.options import LossOptions
from sdpo_ref.types import DistillationBatch, HiddenBatch


def sdpo_loss(
    batch: DistillationBatch | HiddenBatch,
    options: LossOptions,
    *,
    token_weights: Float[Tensor, "rollout time"] | None = None,
    denominator: Denominator | None = None,
    chunk_bytes: int | None = None,
) -> Float[Tensor, ""]:
    """The SDPO loss without the logits of the whole batch.

    The gradient is computed together with the value, chunk of tokens by chunk of tokens, from four matrix products in
    all; forming logits again in backward would take six. Tokens that do not count are neither read nor computed.

    Args:
        batch: as :mod:`sdpo_ref.losses.dispatch` has checked it. No gradient is computed under ``no_grad``.
        options: of the loss.
        token_weights: as in :func:`sdpo_ref.sdpo_loss`.
        denominator: as in :func:`sdpo_ref.sdpo_loss`.
        chunk_bytes: budget of one chunk's logits, student and teacher together, in the dtype of the arithmetic;
            ``None`` for 48 MiB, or what 64 tokens take if that is more.

    Returns:
        The loss, in float32 or, for float64 inputs, in float64; zero if nothing counts.

    Raises:
        InvalidInputError: if ``chunk_bytes`` does not hold one token.
    """
    source = source_of(batch)
    inputs, plan = _planned(source, options, chunk_bytes)
    tokens = counted_tokens(batch, dtype=plan.dtype)
    weights = tokens.of(weights_over(batch.loss_mask, denominator, aggregation=options.aggregation, dtype=plan.dtype))
    if token_weights is not None:
        weights = weights * tokens.of(token_weights.detach()).to(plan.dtype)
    loss: Tensor = WeightedLoss.apply(source, tokens, plan, weights, *inputs)  # type: ignore[no-untyped-call]
    return loss


def sdpo_token_losses(
    batch: DistillationBatch | HiddenBatch, options: LossOptions, *, chunk_bytes: int | None = None
) -> Float[Tensor, "rollout time"]:
    """The loss of each token in bounded memory.

    Any upstream gradient is right. It is not known in forward, so backward forms the logits again: six matrix products
    in all where :func:`sdpo_loss` takes four.

    Args:
        batch: as for :func:`sdpo_loss`.
        options: of the loss.
        chunk_bytes: as for :func:`sdpo_loss`.

    Returns:
        Nats (``sampled_token``: nats squared); exactly zero, and without gradient, where the token does not count.

    Raises:
        InvalidInputError: if ``chunk_bytes`` does not hold one token.
    """
    source = source_of(batch)
    inputs, plan = _planned(source, options, chunk_bytes)
    tokens = counted_tokens(batch, dtype=plan.dtype)
    packed: Tensor = TokenLosses.apply(source, tokens, plan, *inputs)  # type: ignore[no-untyped-call]
    padded = packed.new_zeros(batch.completions.shape)
    return padded.index_put((tokens.rollout_ids, tokens.time_ids), packed)


def _planned(
    source: HiddenSource | LogitsSource, options: LossOptions, chunk_bytes: int | None
) -> tuple[tuple[Tensor | None, ...], Plan]:
    """The inputs that may have a gradient, and how they are computed: in float64 if a side is, else in float32."""
    inputs: tuple[Tensor | None, ...] = (source.student,)
    if isinstance(source, HiddenSource):
        inputs = (source.student, source.weight, source.bias)
    needed = tuple(torch.is_grad_enabled() and each is not None and each.requires_grad for each in inputs)
    dtype = torch.float64 if torch.float64 in (source.student.dtype, source.teacher.dtype) else torch.float32
    return inputs, Plan(options, tokens_per_chunk(chunk_bytes, vocab=source.vocab, dtype=dtype), dtype, needed)
