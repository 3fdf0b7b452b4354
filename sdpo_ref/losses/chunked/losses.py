"""What a user calls: the two functions of :mod:`sdpo_ref.losses.reference`, on logits or on hidden states."""

from jaxtyping import Float
from torch import Tensor

from sdpo_ref.functional.aggregation import aggregation_weights
from sdpo_ref.losses.chunked.autograd import TokenLosses, WeightedLoss
from sdpo_ref.losses.chunked.evaluate import Options
from sdpo_ref.losses.chunked.inputs import checked_dtype, checked_options, differentiable_inputs, source_of
from sdpo_ref.losses.chunked.tokens import counted_tokens
from sdpo_ref.types import FULL, Aggregation, DistillationBatch, HiddenBatch, Support, TopKFrom


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
    chunk_bytes: int | None = None,
) -> Float[Tensor, ""]:
    """The SDPO loss, equal to :func:`sdpo_ref.losses.reference.sdpo_loss`, without the logits of the whole batch.

    The gradient is computed together with the value, chunk of tokens by chunk of tokens, from four matrix products in
    all; forming logits again in backward would take six. Tokens that do not count are neither read nor computed.

    Args:
        batch: logits, or hidden states with their heads. Gradient flows into ``student_logits``, or into
            ``student_hidden`` and the student's head as far as they ask for one; none is computed under ``no_grad``.
        alpha: as in the reference.
        support: as in the reference.
        temperature: as in the reference.
        ratio_cap: as in the reference.
        token_weights: as in the reference.
        aggregation: as in the reference.
        top_k_from: as in the reference.
        chunk_bytes: what the logits of one chunk may take, student and teacher together, in bytes of the dtype of the
            arithmetic; ``None`` for 48 MiB, or what 64 tokens take if that is more. Time and memory depend on it, the
            result does not.

    Returns:
        The loss, in float32 or, for float64 inputs, in float64; zero if nothing counts.

    Raises:
        InvalidInputError: as the reference does, and if ``chunk_bytes`` does not hold one token or ``token_weights``
            has another shape than the completions.
        UnsupportedError: if the inputs are not in float16, bfloat16, float32 or float64.

    Example:
        >>> import torch
        >>> from sdpo_ref.types import Head
        >>> hidden, mask = torch.tensor([[[0.5, 0.5]]]).log(), torch.tensor([[True]])
        >>> head = Head(torch.eye(2))
        >>> teacher = torch.tensor([[[0.9, 0.1]]]).log()
        >>> sdpo_loss(HiddenBatch(hidden, head, teacher, head, torch.tensor([[0]]), mask, mask[0]), alpha=1.0)
        tensor(0.5108)
    """
    dtype = checked_dtype(batch)
    source = source_of(batch)
    inputs, needed = differentiable_inputs(source)
    options = Options(alpha, support, temperature, ratio_cap, top_k_from, chunk_bytes, dtype, needed)
    checked_options(batch, options, vocab=source.vocab, token_weights=token_weights)
    tokens = counted_tokens(batch, dtype=dtype)
    weights = tokens.of(aggregation_weights(batch.loss_mask, aggregation=aggregation, dtype=dtype))
    if token_weights is not None:
        weights = weights * tokens.of(token_weights.detach()).to(dtype)
    loss: Tensor = WeightedLoss.apply(source, tokens, options, weights, *inputs)  # type: ignore[no-untyped-call]
    return loss


def sdpo_token_losses(
    batch: DistillationBatch | HiddenBatch,
    *,
    alpha: float,
    support: Support = FULL,
    temperature: float = 1.0,
    ratio_cap: float | None = None,
    top_k_from: TopKFrom = "student",
    chunk_bytes: int | None = None,
) -> Float[Tensor, "rollout time"]:
    """The loss of each token, equal to :func:`sdpo_ref.losses.reference.sdpo_token_losses`, in bounded memory.

    Any upstream gradient is right. It is not known in forward, so backward forms the logits again: six matrix products
    in all where :func:`sdpo_loss` takes four. Who knows the weights of the tokens passes them to that.

    Args:
        batch: as for :func:`sdpo_loss`.
        alpha: as for :func:`sdpo_loss`.
        support: as for :func:`sdpo_loss`.
        temperature: as for :func:`sdpo_loss`.
        ratio_cap: as for :func:`sdpo_loss`.
        top_k_from: as for :func:`sdpo_loss`.
        chunk_bytes: as for :func:`sdpo_loss`.

    Returns:
        Nats (``sampled_token``: nats squared); exactly zero, and without gradient, where the token does not count.

    Raises:
        InvalidInputError: as for :func:`sdpo_loss`.
        UnsupportedError: as for :func:`sdpo_loss`.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[[0.5, 0.5]]]).log(), torch.tensor([[[0.9, 0.1]]]).log()
        >>> mask = torch.tensor([[True]])
        >>> sdpo_token_losses(DistillationBatch(student, teacher, torch.tensor([[0]]), mask, mask[0]), alpha=1.0)
        tensor([[0.5108]])
    """
    dtype = checked_dtype(batch)
    source = source_of(batch)
    inputs, needed = differentiable_inputs(source)
    options = Options(alpha, support, temperature, ratio_cap, top_k_from, chunk_bytes, dtype, needed)
    checked_options(batch, options, vocab=source.vocab, token_weights=None)
    tokens = counted_tokens(batch, dtype=dtype)
    packed: Tensor = TokenLosses.apply(source, tokens, options, *inputs)  # type: ignore[no-untyped-call]
    padded = packed.new_zeros(batch.completions.shape)
    return padded.index_put((tokens.rollout_ids, tokens.time_ids), packed)
