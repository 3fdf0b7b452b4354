"""Autograd functions: what forward saves for backward.

The loss of a batch computes its gradient in forward, when the logits are there. Backward returns that gradient once,
scaled in place by the upstream factor: nothing else holds it, and a copy would be a second gradient of the head. If a
graph is differentiated again, the gradient is computed again from the inputs, which are therefore saved too. The losses
of single tokens always do that, because their upstream factors are not known in forward.

Gradients stay in the dtype of the arithmetic until they are scaled, and are rounded once: a loss scale that keeps
float16 from underflow is applied before the rounding.
"""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import UnsupportedError
from sdpo_ref.losses.chunked.evaluate import Plan, evaluate
from sdpo_ref.losses.chunked.sources import HiddenSource, LogitsSource
from sdpo_ref.losses.chunked.tokens import CountedTokens


class WeightedLoss(torch.autograd.Function):
    """The weighted sum of the tokens' losses, with its gradient computed in forward."""

    @staticmethod
    def forward(
        ctx: Any,
        source: HiddenSource | LogitsSource,
        tokens: CountedTokens,
        plan: Plan,
        weights: Float[Tensor, " token"],
        *inputs: Tensor | None,
    ) -> Float[Tensor, ""]:
        """The loss; ``inputs`` are the source's tensors with a gradient, in its order."""
        losses, ctx.gradients = evaluate(source, tokens, plan, weights=weights)
        _keep(ctx, source, tokens, plan, inputs, weights)
        return (losses * weights).sum()

    @staticmethod
    def backward(ctx: Any, upstream: Float[Tensor, ""]) -> tuple[Tensor | None, ...]:
        """The gradient of forward, or the same computed again, times the upstream factor."""
        _refuse_second_derivative()
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            source, tokens, (weights,) = _kept(ctx)
            _, gradients = evaluate(source, tokens, ctx.plan, weights=weights)
        scaled = (None if gradient is None else gradient.mul_(upstream) for gradient in gradients)
        return (None,) * 4 + _rounded(scaled, ctx.dtypes)


class TokenLosses(torch.autograd.Function):
    """The losses of single tokens, whose gradient is computed in backward: logits are formed twice."""

    @staticmethod
    def forward(
        ctx: Any,
        source: HiddenSource | LogitsSource,
        tokens: CountedTokens,
        plan: Plan,
        *inputs: Tensor | None,
    ) -> Float[Tensor, " token"]:
        """The losses; ``inputs`` are the source's tensors with a gradient, in its order."""
        losses, _ = evaluate(source, tokens, plan, weights=None)
        _keep(ctx, source, tokens, plan, inputs)
        return losses

    @staticmethod
    def backward(ctx: Any, upstream: Float[Tensor, " token"]) -> tuple[Tensor | None, ...]:
        """The gradient of the tokens' losses, each times its own upstream factor."""
        _refuse_second_derivative()
        source, tokens, _ = _kept(ctx)
        _, gradients = evaluate(source, tokens, ctx.plan, weights=upstream)
        return (None,) * 3 + _rounded(gradients, ctx.dtypes)


def _refuse_second_derivative() -> None:
    """Backward records a graph only if its own derivative is wanted, which would be zero here in silence."""
    if torch.is_grad_enabled():
        raise UnsupportedError(
            "received create_graph=True, but impl='chunked' (taken by 'auto' for hidden states and large logits) has "
            "a first derivative only; leave create_graph out, or use impl='reference'"
        )


def _rounded(gradients: Iterable[Tensor | None], dtypes: tuple[torch.dtype | None, ...]) -> tuple[Tensor | None, ...]:
    """Gradients in the dtypes of their inputs."""
    pairs = zip(gradients, dtypes, strict=True)
    return tuple(None if gradient is None else gradient.to(dtype) for gradient, dtype in pairs)


def _keep(
    ctx: Any,
    source: HiddenSource | LogitsSource,
    tokens: CountedTokens,
    plan: Plan,
    inputs: tuple[Tensor | None, ...],
    *weights: Tensor,
) -> None:
    """Save what backward needs; tensors so that autograd frees them afterwards, and notices a change in place."""
    ctx.plan, ctx.source_type = plan, type(source)
    ctx.dtypes = tuple(None if each is None else each.dtype for each in inputs)
    ctx.save_for_backward(*vars(source).values(), *vars(tokens).values(), *weights)


def _kept(ctx: Any) -> tuple[HiddenSource | LogitsSource, CountedTokens, tuple[Tensor, ...]]:
    saved = ctx.saved_tensors
    end_of_source = len(fields(ctx.source_type))
    end_of_tokens = end_of_source + len(fields(CountedTokens))
    tokens = CountedTokens(*saved[end_of_source:end_of_tokens])
    return ctx.source_type(*saved[:end_of_source]), tokens, saved[end_of_tokens:]
