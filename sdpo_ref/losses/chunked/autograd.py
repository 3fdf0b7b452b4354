"""What is kept between forward and backward.

The loss of a batch computes its gradient in forward, when the logits are there. Backward hands that gradient out once,
scaled in place by the upstream factor: nobody else holds it, and a copy would be a second gradient of the head. A graph
that is differentiated again computes the gradient again from the inputs, which is why these are kept too. The losses of
single tokens always do that, because their upstream factors are not known in forward.

Gradients stay in the dtype of the arithmetic until they are scaled, and are rounded once: a loss scale that keeps
float16 from underflow comes before the rounding.
"""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import UnsupportedError
from sdpo_ref.losses.chunked.evaluate import Options, evaluate
from sdpo_ref.losses.chunked.from_hidden import FromHidden
from sdpo_ref.losses.chunked.from_logits import FromLogits
from sdpo_ref.losses.chunked.tokens import CountedTokens


class WeightedLoss(torch.autograd.Function):
    """The weighted sum of the tokens' losses, with its gradient computed in forward."""

    @staticmethod
    def forward(
        ctx: Any,
        source: FromHidden | FromLogits,
        tokens: CountedTokens,
        options: Options,
        weights: Float[Tensor, " token"],
        *inputs: Tensor | None,
    ) -> Float[Tensor, ""]:
        """The loss; ``inputs`` are the source's tensors with a gradient, in its order."""
        losses, ctx.gradients = evaluate(source, tokens, options, weights=weights)
        _keep(ctx, source, tokens, options, inputs, weights)
        return (losses * weights).sum()

    @staticmethod
    def backward(ctx: Any, upstream: Float[Tensor, ""]) -> tuple[Tensor | None, ...]:
        """The gradient of forward, or the same computed again, times the upstream factor."""
        _refuse_second_derivative()
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            source, tokens, (weights,) = _kept(ctx)
            _, gradients = evaluate(source, tokens, ctx.options, weights=weights)
        scaled = (None if gradient is None else gradient.mul_(upstream) for gradient in gradients)
        return (None,) * 4 + _rounded(scaled, ctx.dtypes)


class TokenLosses(torch.autograd.Function):
    """The losses of single tokens, whose gradient is computed in backward: logits are formed twice."""

    @staticmethod
    def forward(
        ctx: Any,
        source: FromHidden | FromLogits,
        tokens: CountedTokens,
        options: Options,
        *inputs: Tensor | None,
    ) -> Float[Tensor, " token"]:
        """The losses; ``inputs`` are the source's tensors with a gradient, in its order."""
        losses, _ = evaluate(source, tokens, options, weights=None)
        _keep(ctx, source, tokens, options, inputs)
        return losses

    @staticmethod
    def backward(ctx: Any, upstream: Float[Tensor, " token"]) -> tuple[Tensor | None, ...]:
        """The gradient of the tokens' losses, each times its own upstream factor."""
        _refuse_second_derivative()
        source, tokens, _ = _kept(ctx)
        _, gradients = evaluate(source, tokens, ctx.options, weights=upstream)
        return (None,) * 3 + _rounded(gradients, ctx.dtypes)


def _refuse_second_derivative() -> None:
    """Backward records a graph only if its own derivative is wanted, which would be zero here without a word."""
    if torch.is_grad_enabled():
        raise UnsupportedError(
            "received create_graph=True, but the chunked loss has a first derivative only; leave create_graph out, or "
            "use impl='reference'"
        )


def _rounded(gradients: Iterable[Tensor | None], dtypes: tuple[torch.dtype | None, ...]) -> tuple[Tensor | None, ...]:
    """Gradients in the dtypes of their inputs."""
    pairs = zip(gradients, dtypes, strict=True)
    return tuple(None if gradient is None else gradient.to(dtype) for gradient, dtype in pairs)


def _keep(
    ctx: Any,
    source: FromHidden | FromLogits,
    tokens: CountedTokens,
    options: Options,
    inputs: tuple[Tensor | None, ...],
    *weights: Tensor,
) -> None:
    """Keep what backward needs; tensors where autograd frees them after it, and notices a change in place."""
    ctx.options, ctx.source_type = options, type(source)
    ctx.dtypes = tuple(None if each is None else each.dtype for each in inputs)
    ctx.save_for_backward(*vars(source).values(), *vars(tokens).values(), *weights)


def _kept(ctx: Any) -> tuple[FromHidden | FromLogits, CountedTokens, tuple[Tensor, ...]]:
    saved = ctx.saved_tensors
    end_of_source = len(fields(ctx.source_type))
    end_of_tokens = end_of_source + len(fields(CountedTokens))
    tokens = CountedTokens(*saved[end_of_source:end_of_tokens])
    return ctx.source_type(*saved[:end_of_source]), tokens, saved[end_of_tokens:]
