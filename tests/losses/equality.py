"""One criterion by which an optimised loss is held equal to the reference, value and every gradient by name.

The truth is the reference in float64 on the very numbers that the variant receives, rounded as they are. In a dtype
with rounding the variant may err as much as the reference in that dtype does, which is plain torch, plus a slack that
is stated below: ``|variant - truth| <= |plain - truth| + slack``, as relative L2 errors. In float64 the slack is all.
"""

import importlib.util
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sdpo_ref import losses
from sdpo_ref.losses import reference
from sdpo_ref.losses.dispatch import Impl
from sdpo_ref.types import DistillationBatch, Head, HiddenBatch

Batch = DistillationBatch | HiddenBatch
Answers = Mapping[str, Tensor]
"""The loss under ``value``, and each gradient under the name of its input."""


@dataclass(frozen=True)
class Variant:
    """An optimised implementation under test.

    Attributes:
        name: as a caller writes it in ``impl``.
        dtypes: what it takes.
        roundings: to half precision on the way to a gradient. The chunked loss rounds the result; the fused one also
            the gradient of the logits, which the matrix units take as a factor (decision 0020).
    """

    name: Impl
    dtypes: tuple[torch.dtype, ...]
    roundings: int

    def sdpo_loss(self, batch: Batch, **options: Any) -> Tensor:
        """The loss by this implementation."""
        return losses.sdpo_loss(batch, impl=self.name, **options)

    def sdpo_token_losses(self, batch: Batch, **options: Any) -> Tensor:
        """The losses of single tokens by this implementation."""
        return losses.sdpo_token_losses(batch, impl=self.name, **options)

    def __str__(self) -> str:
        return self.name


def _variants() -> list[Variant]:
    found = [Variant("chunked", (torch.float64, torch.float32, torch.bfloat16, torch.float16), roundings=1)]
    if os.environ.get("TRITON_INTERPRET") == "1" and importlib.util.find_spec("triton") is not None:
        found.append(Variant("fused", (torch.float32, torch.bfloat16, torch.float16), roundings=2))
    return found


VARIANTS = _variants()
"""Every variant that runs here: chunked always, fused where Triton's interpreter replaces a GPU."""


def marks(variant: Variant) -> list[pytest.MarkDecorator]:
    """What the fused variant has in common with the others is slow, for it runs in the interpreter."""
    return [pytest.mark.slow] if variant.name == "fused" else []


EACH = [pytest.param(variant, marks=marks(variant)) for variant in VARIANTS]
"""Every variant as a parameter."""

SLACK: Mapping[torch.dtype, tuple[float, float]] = {
    torch.float64: (1e-12, 1e-12),
    torch.float32: (1e-6, 2e-6),
    torch.bfloat16: (1e-6, 2.0**-8),
    torch.float16: (1e-6, 2.0**-11),
}
"""For value and gradients of one rounding. Sums are in float32 for every dtype below."""


def in_float64(batch: Batch) -> Batch:
    """The same numbers in float64; one shared head stays one.

    Args:
        batch: in any dtype.
    """
    heads: dict[int, Head] = {}

    def double(value: object) -> object:
        if isinstance(value, Head):
            bias = None if value.bias is None else value.bias.double()
            return heads.setdefault(id(value), Head(value.weight.double(), bias))
        return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value

    changes: dict[str, Any] = {field.name: double(getattr(batch, field.name)) for field in fields(batch)}
    return replace(batch, **changes)


def with_gradients(batch: Batch) -> tuple[Batch, dict[str, Tensor]]:
    """The same batch with its student's side asking for gradients, and those inputs by name.

    Args:
        batch: strides and sharing are kept.
    """
    if isinstance(batch, DistillationBatch):
        logits = batch.student_logits.detach().requires_grad_()
        return replace(batch, student_logits=logits), {"student_logits": logits}
    inputs = {
        "student_hidden": batch.student_hidden.detach().requires_grad_(),
        "student_head.weight": batch.student_head.weight.detach().requires_grad_(),
    }
    if batch.student_head.bias is not None:
        inputs["student_head.bias"] = batch.student_head.bias.detach().requires_grad_()
    head = Head(inputs["student_head.weight"], inputs.get("student_head.bias"))
    teacher_head = head if batch.teacher_head is batch.student_head else batch.teacher_head
    return (
        replace(batch, student_hidden=inputs["student_hidden"], student_head=head, teacher_head=teacher_head),
        inputs,
    )


def answers(loss: Callable[..., Tensor], batch: Batch, *, upstream: float = 1.0, **options: Any) -> Answers:
    """The loss of a batch and its gradients.

    Args:
        loss: ``sdpo_loss`` of the reference or a variant.
        batch: without gradients.
        upstream: factor of the gradients.
        options: of the loss.
    """
    batch, inputs = with_gradients(batch)
    value = loss(batch, **options)
    gradients = torch.autograd.grad(value, list(inputs.values()), torch.full_like(value, upstream))
    return {"value": value.detach(), **dict(zip(inputs, gradients, strict=True))}


def plain(batch: Batch, **options: Any) -> Tensor:
    """The reference; on materialised logits where the batch is of hidden states."""
    return reference.sdpo_loss(materialized(batch), **options)


def materialized(batch: Batch) -> DistillationBatch:
    """The batch as logits.

    Args:
        batch: of either kind.
    """
    return batch if isinstance(batch, DistillationBatch) else batch.project()


def errors(found: Answers, truth: Answers) -> dict[str, float]:
    """Relative L2 error of each answer; absolute where the truth is zero, infinite where only one is NaN.

    Args:
        found: from a variant, or from plain torch.
        truth: in float64.
    """
    return {name: _error(found[name].double(), truth[name].double()) for name in truth}


def _error(found: Tensor, truth: Tensor) -> float:
    if torch.equal(found, truth):
        return 0.0
    scale = float(truth.norm()) or 1.0
    error = float((found - truth).norm()) / scale
    return error if error == error else torch.inf  # noqa: PLR0124 -- NaN


def assert_equal_to_reference(
    variant: Variant, batch: Batch, *, chunk_bytes: int | None = None, **options: Any
) -> None:
    """The criterion.

    Args:
        variant: under test.
        batch: in one of its dtypes.
        chunk_bytes: budget, or ``None`` for the variant's own.
        options: of the loss.
    """
    dtype = (batch.student_logits if isinstance(batch, DistillationBatch) else batch.student_hidden).dtype
    budget = {} if chunk_bytes is None else {"chunk_bytes": chunk_bytes}
    truth = answers(plain, in_float64(batch), upstream=-3.0, **options)
    found = answers(variant.sdpo_loss, batch, upstream=-3.0, **options, **budget)
    allowed = dict.fromkeys(truth, 0.0)
    if dtype is not torch.float64:
        allowed = errors(answers(plain, batch, upstream=-3.0, **options), truth)
    value_slack, gradient_slack = SLACK[dtype]
    if dtype.itemsize == 2:
        gradient_slack *= variant.roundings
    for name, error in errors(found, truth).items():
        slack = value_slack if name == "value" else gradient_slack
        assert error <= allowed[name] + slack, (
            f"{name}: error {error:.2e}, plain torch {allowed[name]:.2e} + {slack:.0e}"
        )
        if name != "value":
            inputs = with_gradients(batch)[1]
            assert found[name].dtype == inputs[name].dtype
            assert found[name].shape == inputs[name].shape
