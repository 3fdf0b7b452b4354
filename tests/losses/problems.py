"""Batches that are awkward on purpose, from hidden states and from logits."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sdpo_ref.simulation.world import random_stream
from sdpo_ref.types import DistillationBatch, Head, HiddenBatch


@dataclass(frozen=True)
class Shape:
    """Sizes of a problem.

    Attributes:
        rollout: rows.
        time: columns.
        vocab: tokens of the vocabulary.
        hidden: width of the student's hidden states.
        teacher_hidden: width of the teacher's, if its head is not the student's.
        bias: whether heads have one.
    """

    rollout: int = 3
    time: int = 5
    vocab: int = 13
    hidden: int = 4
    teacher_hidden: int | None = None
    bias: bool = False


def hidden_batch(shape: Shape, *, seed: int = 0, gap: float = 1.0, dtype: torch.dtype = torch.float64) -> HiddenBatch:
    """Hidden states whose logits have a spread of about 2, ragged rows, NaN where nothing counts.

    Args:
        shape: sizes.
        seed: of the numbers.
        gap: how far the teacher's hidden states are from the student's; only with a shared head.
        dtype: numbers are rounded to it.

    Returns:
        A batch without gradients; row 1, if there is one, has no teacher, and row 0 ends early.
    """
    stream = random_stream(seed, "tests.losses.problems")

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=stream, dtype=torch.float64).to(dtype)

    def head(width: int) -> Head:
        weight = (2.0 * torch.randn(shape.vocab, width, generator=stream, dtype=torch.float64) / width**0.5).to(dtype)
        return Head(weight, normal(shape.vocab) if shape.bias else None)

    student_head = head(shape.hidden)
    student = normal(shape.rollout, shape.time, shape.hidden)
    if shape.teacher_hidden is None:
        teacher_head, teacher = student_head, student + gap * normal(*student.shape)
    else:
        teacher_head = head(shape.teacher_hidden)
        teacher = normal(shape.rollout, shape.time, shape.teacher_hidden)
    mask = torch.ones(shape.rollout, shape.time, dtype=torch.bool)
    mask[:1, (shape.time + 1) // 2 :] = False
    usable = torch.ones(shape.rollout, dtype=torch.bool)
    usable[1:2] = False
    completions = torch.randint(shape.vocab, (shape.rollout, shape.time), generator=stream)
    batch = HiddenBatch(student, student_head, teacher, teacher_head, completions, mask, usable)
    logits = torch.nan_to_num(student_head.logits(student).double())
    chosen = logits.log_softmax(-1).gather(-1, completions[..., None]).squeeze(-1)
    shift = torch.randn(shape.rollout, shape.time, generator=stream, dtype=torch.float64)
    counts = batch.loss_mask[..., None]
    return replace(
        batch,
        student_hidden=torch.where(counts, student, torch.nan),
        teacher_hidden=torch.where(counts, teacher, torch.nan),
        completions=torch.where(mask, completions, -7),
        behaviour_log_probs=torch.where(batch.loss_mask, (chosen + shift).to(dtype), torch.nan),
    )


def logit_batch(
    shape: Shape, *, seed: int = 0, gap: float = 1.0, dtype: torch.dtype = torch.float64
) -> DistillationBatch:
    """The same as logits, rounded to the dtype.

    Args:
        shape: sizes.
        seed: of the numbers.
        gap: as in :func:`hidden_batch`.
        dtype: numbers are rounded to it.
    """
    batch = hidden_batch(shape, seed=seed, gap=gap).project()
    assert batch.behaviour_log_probs is not None
    return replace(
        batch,
        student_logits=batch.student_logits.to(dtype),
        teacher_logits=batch.teacher_logits.to(dtype),
        behaviour_log_probs=batch.behaviour_log_probs.to(dtype),
    )


def token_weights(batch: DistillationBatch | HiddenBatch, *, seed: int = 0) -> Tensor:
    """Weights of tokens between 0 and 2, NaN where nothing counts.

    Args:
        batch: for its shape and mask.
        seed: of the numbers.
    """
    weights = 2.0 * torch.rand(batch.completions.shape, generator=random_stream(seed, "tests.losses.weights"))
    return torch.where(batch.loss_mask, weights.double(), torch.nan)
