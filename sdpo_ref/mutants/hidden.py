"""Defects of the loss from hidden states (spec/04-loss, I)."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from sdpo_ref.mutants.mutant import GOOD, Chapter
from sdpo_ref.mutants.variation import Options
from sdpo_ref.types import DistillationBatch, Head, HiddenBatch

chapter = Chapter()


def hidden(change: Callable[[HiddenBatch, Options], Tensor]) -> Callable[..., Tensor]:
    """A loss from hidden states that is ``change(batch, options)``."""

    def part(batch: HiddenBatch, **options: Any) -> Tensor:
        return change(batch, options)

    return part


def good(batch: HiddenBatch, options: Options) -> Tensor:
    """The right loss."""
    return GOOD.hidden_loss(batch, **options)


def zero(batch: HiddenBatch, options: Options) -> Tensor:
    """Always zero, on the graph."""
    good(batch, options)  # what is refused is refused
    states = batch.student_hidden
    return (torch.where(states.isfinite(), states, 0.0) * 0.0).sum()


def from_logits(batch: HiddenBatch, options: Options, student: Tensor, teacher: Tensor) -> Tensor:
    """The right loss of logits."""
    masks = batch.completions, batch.completion_mask, batch.self_distillation_mask
    return GOOD.loss(DistillationBatch(student, teacher, *masks, batch.behaviour_log_probs), **options)


def clean(batch: HiddenBatch, states: Tensor) -> Tensor:
    """Hidden states, zero where nothing counts."""
    return torch.where(batch.loss_mask[..., None], states, 0.0)


def teacher_attached(batch: HiddenBatch, options: Options) -> Tensor:
    """The teacher's hidden states are detached, and its head is not: a product of both sides' logits shows it."""
    student = batch.student_head.logits(clean(batch, batch.student_hidden))
    teacher = batch.teacher_head.logits(clean(batch, batch.teacher_hidden).detach())
    leak = (teacher - teacher.detach()).sum()  # zero in value
    return from_logits(batch, options, student, teacher.detach()) + leak


def detached_head(batch: HiddenBatch, options: Options) -> Tensor:
    """The head is taken for frozen."""
    bias = None if batch.student_head.bias is None else batch.student_head.bias.detach()
    return good(replace(batch, student_head=Head(batch.student_head.weight.detach(), bias)), options)


def without_bias(batch: HiddenBatch, options: Options) -> Tensor:
    """Heads are matrices."""
    student_head, teacher_head = Head(batch.student_head.weight), Head(batch.teacher_head.weight)
    return good(replace(batch, student_head=student_head, teacher_head=teacher_head), options)


def bias_untrained(batch: HiddenBatch, options: Options) -> Tensor:
    """The bias is in the logits, and has no gradient."""
    head = batch.student_head
    bias = None if head.bias is None else head.bias.detach()
    return good(replace(batch, student_head=Head(head.weight, bias)), options)


def students_head_for_both(batch: HiddenBatch, options: Options) -> Tensor:
    """One head for both sides, where the widths allow it."""
    if batch.student_head.weight.shape != batch.teacher_head.weight.shape:
        return good(batch, options)
    return good(replace(batch, teacher_head=batch.student_head), options)


class FirstChunk(torch.autograd.Function):
    """The head's weight, whose gradient is that of the first 1,024 tokens."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor) -> Tensor:
        """Logits."""
        ctx.save_for_backward(states, weight)
        return states @ weight.T

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor]:
        """The weight's gradient is kept from the first chunk."""
        states, weight = ctx.saved_tensors
        rows, slope = states.reshape(-1, states.shape[-1]), slopes[0].reshape(-1, weight.shape[0])
        return slopes[0] @ weight, slope[:1_024].T @ rows[:1_024]


def first_chunk(batch: HiddenBatch, options: Options) -> Tensor:
    """The head's gradient is written and not added up: one chunk's is left."""
    head = batch.student_head
    student = FirstChunk.apply(clean(batch, batch.student_hidden), head.weight)  # type: ignore[no-untyped-call]
    student = student if head.bias is None else student + head.bias
    with torch.no_grad():
        teacher = batch.teacher_head.logits(clean(batch, batch.teacher_hidden))
    return from_logits(batch, options, student, teacher)


def zero_times_nan(batch: HiddenBatch, options: Options) -> Tensor:
    """Masked after the projection: the logits have no gradient there, and the head has NaN."""
    student = batch.student_head.logits(batch.student_hidden)
    with torch.no_grad():
        teacher = batch.teacher_head.logits(clean(batch, batch.teacher_hidden))
    return from_logits(batch, options, student, teacher)


def half_cross_entropy(batch: HiddenBatch, options: Options) -> Tensor:
    """A kernel's own defaults: half of it is a cross-entropy with the sampled tokens."""
    logits = batch.student_head.logits(clean(batch, batch.student_hidden))
    ids = torch.where(batch.loss_mask, batch.completions, 0)
    picked = logits.log_softmax(-1).gather(-1, ids[..., None]).squeeze(-1)
    hard = -torch.where(batch.loss_mask, picked, 0.0).sum() / batch.loss_mask.sum().clamp_min(1)
    return 0.5 * good(batch, options) + 0.5 * hard


def zero_alone() -> SimpleNamespace:
    """Nothing but a loss from hidden states that is always zero."""
    return SimpleNamespace(profile="paper", hidden_loss=hidden(zero))


chapter.family("from hidden states")
chapter.enter(
    "M661 hidden_always_zero: LOSS-130 LOSS-131",
    "from hidden states the loss is zero, whatever they are",
    "nothing is learned",
    hidden_loss=hidden(zero),
)
chapter.enter(
    "M662 teacher_head_attached: LOSS-132",
    "the teacher's hidden states are detached, its head is not",
    "a shared head is trained to move the teacher",
    hidden_loss=hidden(teacher_attached),
)
chapter.enter(
    "M663 head_detached: LOSS-131",
    "the gradient stops before the student's head",
    "the head is not trained, while everything under it is",
    hidden_loss=hidden(detached_head),
)
chapter.enter(
    "M664 bias_left_out: LOSS-130",
    "the heads' biases are left out",
    "other distributions are compared than the model's",
    hidden_loss=hidden(without_bias),
)
chapter.enter(
    "M665 bias_not_trained: LOSS-131",
    "the bias of the student's head has no gradient",
    "the bias stays where it is",
    hidden_loss=hidden(bias_untrained),
)
chapter.enter(
    "M666 head_of_first_chunk: LOSS-131",
    "the head's gradient is that of the first 1,024 tokens",
    "the head is trained by the beginning of a batch",
    hidden_loss=hidden(first_chunk),
)
chapter.enter(
    "M667 head_nan_from_padding: LOSS-133",
    "padding is masked after the projection: zero times NaN reaches the head's gradient",
    "garbage in one row of padding destroys the head",
    hidden_loss=hidden(zero_times_nan),
)
chapter.enter(
    "M668 half_cross_entropy: LOSS-130 LOSS-131",
    "half of the loss is a cross-entropy with the sampled tokens",
    "the student imitates itself",
    hidden_loss=hidden(half_cross_entropy),
    seen_in="huggingface/trl#5731",
)
chapter.enter(
    "M669 teacher_through_student_head: LOSS-130",
    "the teacher's hidden states go through the student's head",
    "the teacher is another one as soon as the head has moved",
    hidden_loss=hidden(students_head_for_both),
)
chapter.enter(
    "M670 hidden_alone_always_zero: LOSS-103 LOSS-112 LOSS-130 LOSS-131",
    "all that is offered is a loss from hidden states, and it is zero",
    "as M661",
    zero_alone,
    same_as="M661",
)
