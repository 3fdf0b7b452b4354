"""Batches of random hidden states, spread as a language model's logits are."""

from dataclasses import dataclass

import torch

from sdpo_ref.types import Head, HiddenBatch

SPREAD = 3.0
"""Standard deviation of the logits: with constant ones rounding would not show, and some kernels run faster."""

ROW = 256
"""Tokens of a completion, where the number of tokens is a multiple of it."""


@dataclass(frozen=True)
class Shape:
    """Of a problem.

    Attributes:
        tokens: N, of all completions together.
        hidden: H.
        vocab: V.
    """

    tokens: int
    hidden: int
    vocab: int

    def __str__(self) -> str:
        return f"N={self.tokens}, H={self.hidden}, V={self.vocab}"


def hidden_batch(
    shape: Shape,
    *,
    dtype: torch.dtype,
    device: str = "cpu",
    gap: float = 0.5,
    masked: float = 0.0,
    head_trained: bool = True,
    seed: int = 0,
) -> HiddenBatch:
    """A student and its self-teacher, which is the same model in another context: one head, neighbouring states.

    Args:
        shape: of the problem.
        dtype: of hidden states and head.
        device: where they lie.
        gap: distance of the teacher's hidden states from the student's, in standard deviations; the KL divergence
            grows with its square.
        masked: share of the tokens that do not count.
        head_trained: whether the head asks for a gradient.
        seed: of the random numbers.

    Returns:
        A batch whose hidden states, and head if it is trained, ask for gradients.

    Example:
        >>> hidden_batch(Shape(tokens=6, hidden=4, vocab=10), dtype=torch.float32).student_hidden.shape
        torch.Size([1, 6, 4])
    """
    generator = torch.Generator(device).manual_seed(seed)  # of the device: a head has up to 6e8 numbers
    time = ROW if shape.tokens % ROW == 0 else shape.tokens
    rows = (shape.tokens // time, time)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float32, device=device)

    student = normal(*rows, shape.hidden)
    teacher = (student + gap * normal(*rows, shape.hidden)) / (1.0 + gap**2) ** 0.5
    weight = normal(shape.vocab, shape.hidden) * (SPREAD / shape.hidden**0.5)
    head = Head(weight.to(dtype).requires_grad_(head_trained))
    return HiddenBatch(
        student_hidden=student.to(dtype).requires_grad_(),
        student_head=head,
        teacher_hidden=teacher.to(dtype),
        teacher_head=head,
        completions=torch.randint(shape.vocab, rows, generator=generator, device=device),
        completion_mask=torch.rand(rows, generator=generator, device=device) >= masked,
        self_distillation_mask=torch.ones(rows[0], dtype=torch.bool, device=device),
    )


def leaves(batch: HiddenBatch) -> dict[str, torch.Tensor]:
    """What may receive a gradient, by name."""
    found = {"student_hidden": batch.student_hidden, "student_head.weight": batch.student_head.weight}
    return {name: leaf for name, leaf in found.items() if leaf.requires_grad}


def clear(batch: HiddenBatch) -> None:
    """Forget all gradients, so that none is added to and their memory is free."""
    for leaf in leaves(batch).values():
        leaf.grad = None


def in_float64(batch: HiddenBatch) -> HiddenBatch:
    """The same numbers in float64: on them the reference gives the truth.

    Args:
        batch: in any dtype.

    Returns:
        A copy with gradients of its own.
    """
    head = Head(batch.student_head.weight.detach().double().requires_grad_(batch.student_head.weight.requires_grad))
    return HiddenBatch(
        student_hidden=batch.student_hidden.detach().double().requires_grad_(),
        student_head=head,
        teacher_hidden=batch.teacher_hidden.double(),
        teacher_head=head,
        completions=batch.completions,
        completion_mask=batch.completion_mask,
        self_distillation_mask=batch.self_distillation_mask,
    )
