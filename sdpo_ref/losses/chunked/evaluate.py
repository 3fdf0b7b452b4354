"""The loop over chunks: logits, losses with their gradient in place of the logits, and the gradient pulled back."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.functional.importance import importance_ratio
from sdpo_ref.losses.chunked.chunks import tokens_per_chunk, tokens_per_tile
from sdpo_ref.losses.chunked.from_hidden import FromHidden
from sdpo_ref.losses.chunked.from_logits import FromLogits
from sdpo_ref.losses.chunked.supports import token_losses_
from sdpo_ref.losses.chunked.tokens import CountedTokens
from sdpo_ref.types import Support, TopKFrom


@dataclass(frozen=True)
class Options:
    """The options of the loss that concern single tokens, as :func:`~sdpo_ref.losses.reference.sdpo_loss` has them.

    Attributes:
        alpha: interpolation coefficient.
        support: which tokens of the vocabulary are compared.
        temperature: divides the logits of both sides.
        ratio_cap: upper bound of the importance ratio, or ``None``.
        top_k_from: whose most likely tokens make a top-k support.
        chunk_bytes: budget of a chunk's logits, or ``None``.
        dtype: in which everything is computed and added up.
        needed: for each input that may have a gradient, in the source's order, whether it wants one.
    """

    alpha: float
    support: Support
    temperature: float
    ratio_cap: float | None
    top_k_from: TopKFrom
    chunk_bytes: int | None
    dtype: torch.dtype
    needed: tuple[bool, ...]


def evaluate(
    source: FromHidden | FromLogits,
    tokens: CountedTokens,
    options: Options,
    *,
    weights: Float[Tensor, " token"] | None,
) -> tuple[Float[Tensor, " token"], tuple[Tensor | None, ...]]:
    r"""The loss of each counted token, and the gradient of their weighted sum with respect to the source's inputs.

    Args:
        source: where logits come from.
        tokens: which tokens.
        options: of the loss.
        weights: constant factor of each token in the sum; ``None`` for losses only, without any gradient.

    Returns:
        Losses in nats, importance ratio included, and gradients in the dtype of the arithmetic, ``None`` where none is
        needed.
    """
    losses = torch.empty(len(tokens), dtype=options.dtype, device=tokens.rollout_ids.device)
    needed = options.needed if weights is not None else (False,) * len(options.needed)
    gradients = source.gradients(needed, dtype=options.dtype, empty=len(tokens) == 0)
    size = min(tokens_per_chunk(options.chunk_bytes, vocab=source.vocab, dtype=options.dtype), len(tokens))
    both = torch.empty(2 * size, source.vocab, dtype=options.dtype, device=losses.device)
    start = 0
    for chunk in tokens.chunks(size):
        rows = slice(start, start + len(chunk))
        student, teacher = source.logits(chunk, out=both[: 2 * len(chunk)])
        losses[rows], ratios = _tiles_(student, teacher, chunk, options)
        if weights is not None and any(needed):
            scale = weights[rows] * ratios / options.temperature
            source.accumulate(gradients, chunk, student, scale, first=start == 0)
        start = rows.stop
    return losses, gradients


def _tiles_(
    student: Float[Tensor, "token vocab"],
    teacher: Float[Tensor, "token vocab"],
    tokens: CountedTokens,
    options: Options,
) -> tuple[Float[Tensor, " token"], Float[Tensor, " token"]]:
    """Losses and importance ratios of a chunk, a few rows at a time; the gradient replaces the student's logits."""
    size = tokens_per_tile(vocab=student.shape[-1], dtype=student.dtype)
    found = [
        _tile_(student[start : start + size], teacher[start : start + size], tokens.part(start, start + size), options)
        for start in range(0, len(tokens), size)
    ]
    return torch.cat([losses for losses, _ in found]), torch.cat([ratios for _, ratios in found])


def _tile_(
    student: Float[Tensor, "token vocab"],
    teacher: Float[Tensor, "token vocab"],
    tokens: CountedTokens,
    options: Options,
) -> tuple[Float[Tensor, " token"], Float[Tensor, " token"]]:
    if options.temperature != 1.0:
        student.div_(options.temperature)
        teacher.div_(options.temperature)
    ratios = torch.ones(len(tokens), dtype=student.dtype, device=student.device)
    if options.ratio_cap is not None and tokens.behaviour_log_probs is not None:
        now = (student.gather(-1, tokens.token_ids[:, None]) - student.logsumexp(-1, keepdim=True)).squeeze(-1)
        ratios = importance_ratio(now, tokens.behaviour_log_probs, ratio_cap=options.ratio_cap)
    losses = token_losses_(
        student,
        teacher,
        tokens.token_ids,
        alpha=options.alpha,
        support=options.support,
        top_k_from=options.top_k_from,
    )
    return losses * ratios, ratios
