"""The loop over chunks: logits, losses with their gradient in place of the logits, and the gradient of the inputs.

Where student and teacher are close, or one token has nearly all the mass, the gradient is a small difference of large
numbers, and float32 has no digits to lose. So a tile of a chunk is computed in float64, and its gradient rounded once
(decision 0048). The largest logit of each row is taken off first, in float64, where that rounds nothing: a constant in
all logits of a side is gone before the two sides are compared, and before the temperature divides them.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.functional.importance import importance_ratio
from sdpo_ref.losses.chunked.sources import HiddenSource, LogitsSource
from sdpo_ref.losses.chunked.supports import PRECISE_BELOW, PRECISE_BELOW_IF_ROUNDED, token_losses_
from sdpo_ref.losses.chunked.tokens import CountedTokens, tokens_per_tile
from sdpo_ref.losses.options import LossOptions


@dataclass(frozen=True)
class Plan:
    """How a batch is computed.

    Attributes:
        options: of the loss.
        chunk_tokens: how many tokens at a time.
        dtype: in which everything is computed and summed.
        needed: for each input that may have a gradient, in the source's order, whether one is wanted.
    """

    options: LossOptions
    chunk_tokens: int
    dtype: torch.dtype
    needed: tuple[bool, ...]


def evaluate(
    source: HiddenSource | LogitsSource,
    tokens: CountedTokens,
    plan: Plan,
    *,
    weights: Float[Tensor, " token"] | None,
) -> tuple[Float[Tensor, " token"], tuple[Tensor | None, ...]]:
    """The loss of each counted token, and the gradient of their weighted sum with respect to the source's inputs.

    Args:
        source: where logits come from.
        tokens: which tokens.
        plan: how it is computed.
        weights: constant factor of each token in the sum; ``None`` for losses only, without any gradient.

    Returns:
        Losses in nats, importance ratio included, and gradients in the dtype of the arithmetic, ``None`` where none is
        needed.
    """
    losses = torch.empty(len(tokens), dtype=plan.dtype, device=tokens.rollout_ids.device)
    needed = plan.needed if weights is not None else (False,) * len(plan.needed)
    gradients = source.gradients(needed, dtype=plan.dtype, empty=len(tokens) == 0)
    size = min(plan.chunk_tokens, len(tokens))
    both = torch.empty(2 * size, source.vocab, dtype=plan.dtype, device=losses.device)
    start = 0
    for chunk in tokens.chunks(size):
        rows = slice(start, start + len(chunk))
        student, teacher = source.logits(chunk, out=both[: 2 * len(chunk)])
        losses[rows], ratios = _tiles_(student, teacher, chunk, plan.options)
        if weights is not None and any(needed):
            scale = weights[rows] * ratios.to(plan.dtype) / plan.options.temperature
            source.accumulate(gradients, chunk, student, scale, first=start == 0)
        start = rows.stop
    return losses, gradients


def _tiles_(
    student: Float[Tensor, "token vocab"],
    teacher: Float[Tensor, "token vocab"],
    tokens: CountedTokens,
    options: LossOptions,
) -> tuple[Float[Tensor, " token"], Float[Tensor, " token"]]:
    """Losses and importance ratios of a chunk, a few rows at a time; the gradient replaces the student's logits."""
    size = tokens_per_tile(vocab=student.shape[-1], dtype=student.dtype)
    tiles = [
        _tile_(student[start : start + size], teacher[start : start + size], tokens.part(start, start + size), options)
        for start in range(0, len(tokens), size)
    ]
    return torch.cat([losses for losses, _ in tiles]), torch.cat([ratios for _, ratios in tiles])


def _tile_(
    student: Float[Tensor, "token vocab"],
    teacher: Float[Tensor, "token vocab"],
    tokens: CountedTokens,
    options: LossOptions,
) -> tuple[Float[Tensor, " token"], Float[Tensor, " token"]]:
    """A few rows in float64; the one rounding of their gradient is that into the student's logits."""
    wide_student = _wide(student, temperature=options.temperature)
    wide_teacher = _wide(teacher, temperature=options.temperature)
    ratios = wide_student.new_ones(len(tokens))
    if options.ratio_cap is not None and tokens.behaviour_log_probs is not None:
        own = wide_student.gather(-1, tokens.token_ids[:, None])
        log_probs = (own - wide_student.logsumexp(-1, keepdim=True)).squeeze(-1)
        ratios = importance_ratio(log_probs, tokens.behaviour_log_probs, ratio_cap=options.ratio_cap)
    precise_below = PRECISE_BELOW if student.dtype == torch.float64 else PRECISE_BELOW_IF_ROUNDED
    losses, gradient = token_losses_(wide_student, wide_teacher, tokens.token_ids, options, precise_below=precise_below)
    student.copy_(gradient)
    return losses * ratios, ratios


def _wide(logits: Float[Tensor, "token vocab"], *, temperature: float) -> Float[Tensor, "token vocab"]:
    """Logits at a temperature in float64, the largest of each row taken off, which leaves its softmax as it is."""
    wide = logits.to(torch.float64).sub_(logits.amax(-1, keepdim=True))
    return wide if temperature == 1.0 else wide.div_(temperature)
