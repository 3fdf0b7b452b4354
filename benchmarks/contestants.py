"""What is compared on one batch: our variants, plain torch, and the bare matrix products, which are the lower bound."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.inputs import clear
from sdpo_ref import FULL, HiddenBatch, Support, sdpo_loss

Loss = Callable[[HiddenBatch], Tensor]
"""A scalar with a gradient into the student's hidden states, and into the head if it is trained."""

FOUR_PRODUCTS = "four bare matrix products (G4)"
PLAIN_TORCH = "plain torch"


@dataclass(frozen=True)
class Contestant:
    """Something that can be run on a batch.

    Attributes:
        name: shown in tables.
        step: does the whole work once; gradients stay behind on the batch.
        note: what to know when comparing.
        exact: whether it computes the loss that the others compute, so that it can be checked.
    """

    name: str
    step: Callable[[HiddenBatch], Tensor]
    note: str = ""
    exact: bool = True


def of_loss(name: str, loss: Loss, *, note: str = "", exact: bool = True) -> Contestant:
    """A contestant that computes a loss and its gradients.

    Args:
        name: shown in tables.
        loss: of a batch.
        note: what to know when comparing.
        exact: whether it is the full-vocabulary loss that the others compute.

    Returns:
        A contestant whose step returns the loss, detached.
    """

    def step(batch: HiddenBatch) -> Tensor:
        clear(batch)
        value = loss(batch)
        value.backward()  # type: ignore[no-untyped-call]
        return value.detach()

    return Contestant(name, step, note, exact)


def plain_torch(*, alpha: float) -> Loss:
    """The loss as one writes it first, a function of both sides' logits: two log-softmaxes, ``kl_div``, autograd.

    Args:
        alpha: as for the reference.

    Returns:
        The loss, with log-softmaxes in float32 at least; right up to rounding where every token counts.
    """

    def loss(batch: HiddenBatch) -> Tensor:
        logits = batch.project()  # alive while the loss is computed, as a model's output is
        return _of_logits(logits.student_logits, logits.teacher_logits, alpha).sum() / batch.completions.numel()

    return loss


def _of_logits(student_logits: Tensor, teacher_logits: Tensor, alpha: float) -> Tensor:
    student, teacher = _log_softmax(student_logits), _log_softmax(teacher_logits)
    if alpha == 1.0:
        return functional.kl_div(teacher, student, reduction="none", log_target=True)
    if alpha == 0.0:
        return functional.kl_div(student, teacher, reduction="none", log_target=True)
    mixture = torch.logaddexp(student + math.log1p(-alpha), teacher + math.log(alpha))
    of_student = functional.kl_div(mixture, student, reduction="none", log_target=True)
    of_teacher = functional.kl_div(mixture, teacher, reduction="none", log_target=True)
    return (1.0 - alpha) * of_student + alpha * of_teacher


def _log_softmax(logits: Tensor) -> Tensor:
    return logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))


def reference(*, alpha: float, support: Support = FULL) -> Loss:
    """The reference on materialised logits."""
    return lambda batch: sdpo_loss(batch, alpha=alpha, support=support, impl="reference")


def chunked(*, alpha: float, support: Support = FULL) -> Loss:
    """The chunked variant, with the chunks that it takes by itself."""
    return lambda batch: sdpo_loss(batch, alpha=alpha, support=support, impl="chunked")


def fused(*, alpha: float, support: Support = FULL, counted_tokens: int | None = None) -> Loss:
    """The fused variant with its default chunks; with the number of counted tokens, if that is known."""
    return lambda batch: sdpo_loss(batch, alpha=alpha, support=support, counted_tokens=counted_tokens, impl="fused")


def compiled_plain_torch(*, alpha: float) -> Loss:
    """``torch.compile`` of :func:`plain_torch`, which is all that many people would do."""

    @torch.compile
    def of_hidden(student: Tensor, teacher: Tensor, weight: Tensor) -> Tensor:
        with torch.no_grad():
            teacher_logits = functional.linear(teacher, weight)
        return _of_logits(functional.linear(student, weight), teacher_logits, alpha).sum()

    def loss(batch: HiddenBatch) -> Tensor:
        summed: Tensor = of_hidden(batch.student_hidden, batch.teacher_hidden, batch.student_head.weight)
        return summed / batch.completions.numel()

    return loss


def four_products(batch: HiddenBatch) -> Contestant:
    """The four matrix products that the gradient of a trained head needs, and nothing else: G4.

    Args:
        batch: for whose sizes and dtype the products are made.

    Returns:
        A contestant that writes into memory that was taken beforehand.
    """
    student, teacher = batch.student_hidden.detach().flatten(0, 1), batch.teacher_hidden.flatten(0, 1)
    weight = batch.student_head.weight.detach()
    logits = torch.empty(student.shape[0], weight.shape[0], dtype=student.dtype, device=student.device)
    to_hidden, to_weight = torch.empty_like(student), torch.empty_like(weight)

    def step(_batch: HiddenBatch) -> Tensor:
        torch.mm(teacher, weight.T, out=logits)
        torch.mm(student, weight.T, out=logits)
        torch.mm(logits, weight, out=to_hidden)
        torch.mm(logits.T, student, out=to_weight)
        return to_hidden[0, 0]

    return Contestant(FOUR_PRODUCTS, step, note="student's and teacher's logits, two gradients; no loss", exact=False)
