"""A value that a program returned together with its gradient, put on torch's graph."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


class _Known(torch.autograd.Function):
    """Passes the value on, and answers a backward pass with the gradient that is known already."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(student, gradient)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        student, gradient = ctx.saved_tensors
        outer = upstream.reshape(upstream.shape + (1,) * (gradient.ndim - upstream.ndim))
        return outer * _Numbers.apply(student, gradient), None, None  # type: ignore[no-untyped-call]  # torch's own


class _Numbers(torch.autograd.Function):
    """The gradient; how it depends on the student is unknown here."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, gradient: Tensor) -> Tensor:
        del ctx, student
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        del ctx, upstream
        raise RuntimeError(
            "the JSON-lines program returned its gradient as numbers, which cannot be differentiated again; take first "
            "derivatives only"
        )


def attached(
    value: Float[Tensor, "*value"], gradient: Float[Tensor, "*student"], student: Float[Tensor, "*student"]
) -> Float[Tensor, "*value"]:
    """The value, with its gradient with respect to the student.

    It can be differentiated once; a second derivative raises ``RuntimeError``, because the program gave numbers.

    Args:
        value: one number, or one for each leading index of the student.
        gradient: derivative of each number with respect to the student's entries behind it. A constant.
        student: what was differentiated. Gradient flows.

    Returns:
        The value, on the student's graph.

    Example:
        >>> student = torch.tensor([[1.0, 2.0]], requires_grad=True)
        >>> attached(torch.tensor([5.0]), torch.tensor([[3.0, 4.0]]), student).sum().backward()
        >>> student.grad
        tensor([[3., 4.]])
    """
    on_graph: Tensor = _Known.apply(student, value, gradient)  # type: ignore[no-untyped-call]  # torch's own
    return on_graph
