"""A loss in the style of fused kernels: forward and backward by hand, reverse KL on the whole vocabulary."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from sdpo_ref.types import DistillationBatch, Support

_SLIPS = ("", "no_heat", "deaf", "entropy", "transposed", "clipped", "half")


class _ReverseKl(torch.autograd.Function):
    """sum of w p (log p - log q), whose gradient by the logits is w p (log p - log q - KL) / temperature."""

    @staticmethod
    def forward(context: Any, *given: Any) -> Tensor:
        """Both at once, as kernels do."""
        logits, teacher, weights, heat, slip = given
        scaled = logits.detach().double() / heat
        ours = scaled - scaled.logsumexp(-1, keepdim=True)
        theirs = teacher.detach().double() / heat
        theirs = theirs - theirs.logsumexp(-1, keepdim=True)
        difference, p = ours - theirs, ours.exp()
        kl = (p * difference).sum(-1, keepdim=True)
        centred = difference if slip == "entropy" else difference - kl
        gradient = weights[..., None] * p * centred / (1.0 if slip == "no_heat" else heat)
        if slip == "clipped":
            gradient = gradient.clamp(-0.01, 0.01)
        context.save_for_backward(gradient.to(logits.dtype) / (2 if slip == "half" else 1))
        context.deaf = slip == "deaf"
        value: Tensor = (weights * kl[..., 0]).sum()
        return value

    @staticmethod
    def backward(context: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient is there already."""
        (gradient,) = context.saved_tensors
        return gradient if context.deaf else gradient * upstream[0], None, None, None, None


def handmade(slip: str = "") -> object:
    """An implementation.

    Args:
        slip: one of ``_SLIPS``.
    """
    if slip not in _SLIPS:
        raise ValueError(slip)

    def loss(
        batch: DistillationBatch, *, alpha: float, support: Support, temperature: float, ratio_cap: float | None
    ) -> Tensor:
        if alpha != 1.0 or support.kind != "full" or ratio_cap is not None:
            if not 0 <= alpha <= 1:
                raise ValueError(alpha)
            raise NotImplementedError("reverse KL only")
        if not temperature > 0:
            raise ValueError(temperature)
        counts = batch.loss_mask
        weights = counts.double() / counts.sum().clamp(min=1)
        student, teacher = (
            side.masked_fill(~counts[..., None], 0.0) for side in (batch.student_logits, batch.teacher_logits)
        )
        value: Tensor = _ReverseKl.apply(student, teacher, weights, temperature, slip)  # type: ignore[no-untyped-call]
        return value

    return SimpleNamespace(loss=loss, capabilities={"loss", "loss.temperature"})
