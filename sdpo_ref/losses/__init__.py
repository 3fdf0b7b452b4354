"""The objective (spec/04-loss): the public functions, each with a choice of implementation.

``reference`` is written to be read and to be right; ``chunked`` and ``fused`` compute the same faster and in less
memory. Read ``options`` (what can be chosen and what is valid), ``reference`` (the loss, section by section), ``sdft``,
``denominator`` (what is divided by where a batch is a piece of a step), then ``dispatch`` (which implementation
computes a batch) and the optimised implementations.

What is imported here is what :func:`sdpo_loss` needs; an implementation is imported when it is first used.
"""

from functools import partial
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.errors import UnsupportedError
from sdpo_ref.losses.denominator import Denominator, aggregate_over
from sdpo_ref.losses.dispatch import Impl, choose, load
from sdpo_ref.losses.options import LossOptions
from sdpo_ref.losses.packed import Packed, PackedBatch, PackedHiddenBatch, packed_weights
from sdpo_ref.protocols.words import require_word
from sdpo_ref.types import FULL, SAMPLED_TOKEN, Aggregation, DistillationBatch, HiddenBatch, Support, TopKFrom

_AGGREGATIONS = get_args(Aggregation)
"""Words for which published code has others (spec/00-notation)."""

__all__ = ["Impl", "LossOptions", "hybrid_loss", "sdft_loss", "sdpo_loss", "sdpo_token_losses"]


def sdpo_loss(
    batch: DistillationBatch | HiddenBatch | Packed,
    *,
    alpha: float,
    support: Support = FULL,
    temperature: float = 1.0,
    ratio_cap: float | None = None,
    token_weights: Float[Tensor, "..."] | None = None,
    aggregation: Aggregation = "token_mean",
    denominator: Denominator | None = None,
    top_k_from: TopKFrom = "student",
    impl: Impl = "auto",
    chunk_bytes: int | None = None,
    counted_tokens: int | None = None,
) -> Float[Tensor, ""]:
    """The SDPO loss: divergence between student and feedback-conditioned teacher, aggregated over sampled tokens.

    The equation is in :func:`sdpo_ref.losses.reference.sdpo_loss`, the options ``alpha`` to ``top_k_from`` are those of
    :class:`~sdpo_ref.losses.options.LossOptions`. ``token_weights`` is a further factor of each token's loss, a
    constant that does not change the aggregation's denominator: anything where nothing counts, ``None`` for one
    everywhere. Gradient flows into the student's logits, or into the student's hidden states and head; never into the
    teacher's side.

    ``denominator`` stands in place of the batch's own count of tokens or rows, by which the aggregation divides:
    losses of micro-batches, packs of rows or processes that have one denominator add up. A count of tokens for
    ``token_mean``, of rows with a counted token for ``row_mean`` and ``row_sum``, of rows for ``row_mean_all``, a
    padded length for ``time_normalized_sum``; :func:`~sdpo_ref.losses.denominator.global_denominator` makes it.

    A :class:`~sdpo_ref.losses.packed.PackedBatch` has its rows end to end, told apart by its boundaries; its
    ``token_weights`` have one axis, and nothing of the size of a padded batch is made.

    ``impl`` says which implementation computes it. All of them take both kinds of batch and agree in value and
    gradient. ``auto`` takes the first line that fits:

    =============  ================================================================================================
    ``fused``      on CUDA, where Triton is installed; float16, bfloat16 and float32, top-k with k < 8192. Until it
                   has been run on a GPU it is experimental, and ``auto`` does not take it: name it.
    ``chunked``    hidden states, or logits of more than 64 MiB (both sides, in the dtype of the arithmetic)
    ``reference``  everything else; it alone has a second derivative
    =============  ================================================================================================

    ``chunk_bytes`` is for ``chunked`` and ``fused``: what the logits of one chunk of tokens may take, both sides
    together, in the dtype of the arithmetic. Time and memory depend on it, the result only by rounding.
    ``counted_tokens`` is for ``fused``: an upper bound of how many tokens count, if the host has one, so that the
    others cost nothing; a bound below the truth makes loss and gradient NaN. With another ``impl`` both are refused.

    Returns:
        The loss in nats (``sampled_token``: a surrogate, see :mod:`sdpo_ref.functional.sampled_token`); zero if nothing
        counts.

    Raises:
        InvalidInputError: if an option is out of range, ``ratio_cap`` is set without behaviour log-probabilities,
            ``token_weights`` has another shape than the completions, ``denominator`` is below zero or no number, or
            ``chunk_bytes`` or ``counted_tokens`` does not belong to ``impl``.
        UnsupportedError: if ``impl`` cannot compute this batch; the message says why not, and which one can.

    References:
        arXiv:2601.20802, equations 1 and 11.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[[0.5, 0.5]]]).log(), torch.tensor([[[0.9, 0.1]]]).log()
        >>> mask = torch.tensor([[True]])
        >>> sdpo_loss(DistillationBatch(student, teacher, torch.tensor([[0]]), mask, mask[0]), alpha=1.0)
        tensor(0.5108)
    """
    require_word("aggregation", aggregation, _AGGREGATIONS)
    if isinstance(batch, PackedBatch | PackedHiddenBatch):
        return sdpo_loss(
            batch.as_single_tokens(),
            alpha=alpha,
            support=support,
            temperature=temperature,
            ratio_cap=ratio_cap,
            token_weights=packed_weights(batch, denominator, aggregation=aggregation, token_weights=token_weights),
            aggregation="time_normalized_sum",  # a plain sum: each row is one token long
            top_k_from=top_k_from,
            impl=impl,
            chunk_bytes=chunk_bytes,
            counted_tokens=counted_tokens,
        )
    options = LossOptions(alpha, support, temperature, ratio_cap, top_k_from, aggregation)
    options.require_fit(batch, token_weights)
    arguments = _given(chunk_bytes, counted_tokens)
    name = choose(impl, batch, options, arguments)
    if name == "reference":
        reference = load(name)
        if denominator is None:
            plain: Tensor = reference.sdpo_loss(
                batch,
                alpha=alpha,
                support=support,
                temperature=temperature,
                ratio_cap=ratio_cap,
                token_weights=token_weights,
                aggregation=aggregation,
                top_k_from=top_k_from,
            )
            return plain
        token_losses: Tensor = reference.sdpo_token_losses(
            batch, alpha=alpha, support=support, temperature=temperature, ratio_cap=ratio_cap, top_k_from=top_k_from
        )
        if token_weights is not None:
            token_losses = token_losses * torch.where(batch.loss_mask, token_weights.detach(), 0.0)
        return aggregate_over(token_losses, batch.loss_mask, denominator, aggregation=aggregation)
    loss: Tensor = load(name).sdpo_loss(
        batch, options, token_weights=token_weights, denominator=denominator, **arguments
    )
    return loss


def sdpo_token_losses(
    batch: DistillationBatch | HiddenBatch,
    *,
    alpha: float,
    support: Support = FULL,
    temperature: float = 1.0,
    ratio_cap: float | None = None,
    top_k_from: TopKFrom = "student",
    impl: Impl = "auto",
    chunk_bytes: int | None = None,
    counted_tokens: int | None = None,
) -> Float[Tensor, "rollout time"]:
    """The loss of each token before any mean, to be logged, weighted or aggregated by the caller.

    Arguments and errors are those of :func:`sdpo_loss`. Where the weights of the tokens are known, ``token_weights`` of
    :func:`sdpo_loss` is cheaper: optimised implementations then form the logits once instead of twice.

    Returns:
        Nats (``sampled_token``: nats squared); exactly zero, and without gradient, where the token does not count.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[[0.5, 0.5]]]).log(), torch.tensor([[[0.9, 0.1]]]).log()
        >>> mask = torch.tensor([[True]])
        >>> sdpo_token_losses(DistillationBatch(student, teacher, torch.tensor([[0]]), mask, mask[0]), alpha=1.0)
        tensor([[0.5108]])
    """
    options = LossOptions(alpha, support, temperature, ratio_cap, top_k_from)
    options.require_fit(batch)
    arguments = _given(chunk_bytes, counted_tokens)
    name = choose(impl, batch, options, arguments)
    if name == "reference":
        plain: Tensor = load(name).sdpo_token_losses(
            batch,
            alpha=alpha,
            support=support,
            temperature=temperature,
            ratio_cap=ratio_cap,
            top_k_from=top_k_from,
        )
        return plain
    losses: Tensor = load(name).sdpo_token_losses(batch, options, **arguments)
    return losses


def hybrid_loss(
    batch: DistillationBatch | HiddenBatch,
    rewards: Float[Tensor, " rollout"],
    group_ids: Int[Tensor, " rollout"],
    *,
    reward_weight: float,
    support: Support = SAMPLED_TOKEN,
    mixing: Literal["advantage", "loss"] = "advantage",
    group_advantage: Literal["centered", "standardized"] = "centered",
    aggregation: Aggregation = "token_mean",
    impl: Impl = "auto",
) -> Float[Tensor, ""]:
    """Reverse-KL self-distillation and the reward's policy gradient in one step.

    See :func:`sdpo_ref.losses.reference.hybrid_loss` for equations, arguments and errors. ``impl`` says which
    implementation computes the self-distillation loss where losses are mixed; hidden states are projected in any case,
    because the policy gradient needs logits. Mixing advantages is computed by the reference only.

    Returns:
        The surrogate; zero if nothing counts.

    Raises:
        UnsupportedError: if advantages are to be mixed by another implementation than the reference, or ``impl`` cannot
            compute this batch.

    Example:
        >>> import torch
        >>> even, mask = torch.zeros(2, 1, 2), torch.tensor([[True], [True]])
        >>> batch = DistillationBatch(even, even, torch.tensor([[0], [1]]), mask, mask[:, 0])
        >>> hybrid_loss(batch, torch.tensor([1.0, 0.0]), torch.tensor([0, 0]), reward_weight=1.0)  # advantages cancel
        tensor(0.)
    """
    from sdpo_ref.losses import reference

    if mixing == "advantage" and impl not in ("auto", "reference"):
        raise UnsupportedError(
            f"impl={impl!r} does not mix advantages, only the reference does; use impl='reference', or mixing='loss'"
        )
    return reference.hybrid_loss(
        batch,
        rewards,
        group_ids,
        reward_weight=reward_weight,
        support=support,
        mixing=mixing,
        group_advantage=group_advantage,
        aggregation=aggregation,
        distillation_loss=partial(sdpo_loss, impl=impl),
    )


def sdft_loss(
    batch: DistillationBatch | HiddenBatch,
    *,
    alpha: float = 0.0,
    support: Support = FULL,
    skip_tokens: int = 0,
    aggregation: Aggregation = "token_mean",
    impl: Impl = "auto",
) -> Float[Tensor, ""]:
    """The SDFT loss: the SDPO loss with a demonstration as the teacher's context, by default as forward KL.

    See :func:`sdpo_ref.losses.sdft.sdft_loss` for arguments and errors, and :func:`sdpo_loss` for ``impl``.

    Returns:
        The loss in nats.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 2, 2), torch.tensor([[[9.0, 0.0], [0.0, 0.0]]])
        >>> mask = torch.tensor([[True, True]])
        >>> batch = DistillationBatch(student, teacher, torch.tensor([[0, 1]]), mask, mask[:, 0])
        >>> sdft_loss(batch, skip_tokens=1)  # only the second token counts, where both agree
        tensor(0.)
    """
    from sdpo_ref.losses import sdft

    return sdft.sdft_loss(
        batch,
        alpha=alpha,
        support=support,
        skip_tokens=skip_tokens,
        aggregation=aggregation,
        distillation_loss=partial(sdpo_loss, impl=impl),
    )


def _given(chunk_bytes: int | None, counted_tokens: int | None) -> dict[str, int]:
    """The arguments of single implementations that the caller has set."""
    given = {"chunk_bytes": chunk_bytes, "counted_tokens": counted_tokens}
    return {name: value for name, value in given.items() if value is not None}
