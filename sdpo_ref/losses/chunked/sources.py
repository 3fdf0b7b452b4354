r"""Where the logits of a chunk come from, and where their gradient goes to: hidden states and heads, or logits.

From a batch of logits a chunk is a copy of its rows: the gradient is as large as the logits, the arithmetic is not.
From hidden states, with :math:`h` the student's hidden states of a chunk, :math:`W, b` its head, :math:`G` the gradient
with respect to its logits and :math:`s` the scale of each token, as a column:

.. math::
    z = h W^\top + b, \qquad \partial h = s \odot (G W), \qquad
    \partial W \mathrel{+}= G^\top (s \odot h), \qquad \partial b \mathrel{+}= G^\top s

The scale goes to the side of width hidden, which is far smaller than the vocabulary. The first chunk writes
:math:`\partial W`, the others add to it inside the matrix product.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.losses.chunked.tokens import CountedTokens, tokens_per_tile
from sdpo_ref.types import DistillationBatch, HiddenBatch

_UPCAST_BYTES = 16 * 2**20
"""How much of a head in half precision is held in float32 at a time."""


@dataclass(frozen=True)
class HiddenSource:
    """Hidden states of both sides and their heads.

    Attributes:
        student: the student's hidden states; gradient.
        weight: the student's head; gradient.
        bias: of the student's head, or ``None``; gradient.
        teacher: the teacher's hidden states.
        teacher_weight: the teacher's head; ``None`` if it is the student's, weight and bias.
        teacher_bias: of a head of the teacher's own, or ``None``.
    """

    student: Float[Tensor, "rollout time hidden"]
    weight: Float[Tensor, "vocab hidden"]
    bias: Float[Tensor, " vocab"] | None
    teacher: Float[Tensor, "rollout time teacher_hidden"]
    teacher_weight: Float[Tensor, "vocab teacher_hidden"] | None
    teacher_bias: Float[Tensor, " vocab"] | None

    @property
    def vocab(self) -> int:
        """Number of tokens of the vocabulary."""
        return self.weight.shape[0]

    def logits(
        self, tokens: CountedTokens, *, out: Float[Tensor, "both vocab"]
    ) -> tuple[Float[Tensor, "token vocab"], Float[Tensor, "token vocab"]]:
        """Logits of student and teacher; a shared head is read once for both.

        Args:
            tokens: of the chunk.
            out: room for both, in the dtype of the arithmetic.

        Returns:
            The two halves of ``out``.
        """
        student, teacher = tokens.of(self.student).to(out.dtype), tokens.of(self.teacher).to(out.dtype)
        halves = out[: len(tokens)], out[len(tokens) :]
        if self.teacher_weight is None:
            _project(torch.cat([student, teacher]), self.weight, self.bias, out=out)
        else:
            _project(student, self.weight, self.bias, out=halves[0])
            _project(teacher, self.teacher_weight, self.teacher_bias, out=halves[1])
        return halves

    def gradients(
        self, needed: tuple[bool, ...], *, dtype: torch.dtype, empty: bool
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Where gradients are added up; nothing for what needs none.

        Args:
            needed: whether hidden states, weight and bias want one.
            dtype: of the sums.
            empty: whether no chunk will come, so that the head's gradient must be zero from the start.
        """
        hidden, weight, bias = needed
        start = torch.zeros if empty else torch.empty
        device = self.student.device
        return (
            torch.zeros(self.student.shape, dtype=dtype, device=device) if hidden else None,
            start(self.weight.shape, dtype=dtype, device=device) if weight else None,
            start(self.vocab, dtype=dtype, device=device) if bias else None,
        )

    def accumulate(
        self,
        gradients: tuple[Tensor | None, ...],
        tokens: CountedTokens,
        block: Float[Tensor, "token vocab"],
        scale: Float[Tensor, " token"],
        *,
        first: bool,
    ) -> None:
        """Add a chunk's gradient with respect to hidden states and head.

        Args:
            gradients: from :meth:`gradients`.
            tokens: of the chunk.
            block: gradient of each token's loss with respect to its logits.
            scale: factor of each token.
            first: whether the head's gradient is written instead of added to.
        """
        hidden, weight, bias = gradients
        keep = 0.0 if first else 1.0
        if hidden is not None:
            of_hidden = _times_head(block, self.weight).mul_(scale[:, None])
            hidden[tokens.rollout_ids, tokens.time_ids] = of_hidden
        if weight is not None:
            scaled = tokens.of(self.student).to(block.dtype).mul_(scale[:, None])
            torch.addmm(weight, block.T, scaled, beta=keep, out=weight)
        if bias is not None:
            torch.addmv(bias, block.T, scale, beta=keep, out=bias)


@dataclass(frozen=True)
class LogitsSource:
    """Logits that the caller has materialised.

    Attributes:
        student: the student's logits; the one input with a gradient.
        teacher: the teacher's.
    """

    student: Float[Tensor, "rollout time vocab"]
    teacher: Float[Tensor, "rollout time vocab"]

    @property
    def vocab(self) -> int:
        """Number of tokens of the vocabulary."""
        return self.student.shape[-1]

    def logits(
        self, tokens: CountedTokens, *, out: Float[Tensor, "both vocab"]
    ) -> tuple[Float[Tensor, "token vocab"], Float[Tensor, "token vocab"]]:
        """Copies of student's and teacher's rows, a few at a time: only ``out`` is as large as the chunk.

        Args:
            tokens: of the chunk.
            out: room for both, in the dtype of the arithmetic.

        Returns:
            The two halves of ``out``.
        """
        halves = out[: len(tokens)], out[len(tokens) :]
        size = tokens_per_tile(vocab=self.vocab, dtype=out.dtype)
        for start in range(0, len(tokens), size):
            rows = tokens.part(start, start + size)
            halves[0][start : start + size] = rows.of(self.student)
            halves[1][start : start + size] = rows.of(self.teacher)
        return halves

    def gradients(
        self, needed: tuple[bool, ...], *, dtype: torch.dtype, empty: bool
    ) -> tuple[Float[Tensor, "rollout time vocab"] | None, ...]:
        """Where gradients are added up: zero at every token, since those that do not count keep it."""
        del empty
        return (torch.zeros(self.student.shape, dtype=dtype, device=self.student.device) if needed[0] else None,)

    def accumulate(
        self,
        gradients: tuple[Tensor | None, ...],
        tokens: CountedTokens,
        block: Float[Tensor, "token vocab"],
        scale: Float[Tensor, " token"],
        *,
        first: bool,
    ) -> None:
        """Write a chunk's gradient to its rows, each times its scale.

        Args:
            gradients: from :meth:`gradients`.
            tokens: of the chunk.
            block: gradient of each token's loss with respect to its logits; overwritten.
            scale: factor of each token.
            first: whether nothing was accumulated before; each row is written once, so it does not matter here.
        """
        del first
        (student,) = gradients
        if student is not None:
            student[tokens.rollout_ids, tokens.time_ids] = block.mul_(scale[:, None])


def source_of(batch: DistillationBatch | HiddenBatch) -> HiddenSource | LogitsSource:
    """Where a batch's logits come from; the teacher's side is cut off from any graph (LOSS-060).

    Args:
        batch: logits, or hidden states and heads. A teacher's head that is the student's is read once for both.
    """
    if isinstance(batch, DistillationBatch):
        return LogitsSource(batch.student_logits, batch.teacher_logits.detach())
    head, teacher_head = batch.student_head, batch.teacher_head
    is_shared = teacher_head.weight is head.weight and teacher_head.bias is head.bias
    has_own_bias = not is_shared and teacher_head.bias is not None
    return HiddenSource(
        batch.student_hidden,
        head.weight,
        head.bias,
        batch.teacher_hidden.detach(),
        None if is_shared else teacher_head.weight.detach(),
        teacher_head.bias.detach() if has_own_bias and teacher_head.bias is not None else None,
    )


def _project(
    hidden: Float[Tensor, "token hidden"],
    weight: Float[Tensor, "vocab hidden"],
    bias: Float[Tensor, " vocab"] | None,
    *,
    out: Float[Tensor, "token vocab"],
) -> None:
    for columns, part in _parts(weight, hidden.dtype):
        if bias is None:
            torch.mm(hidden, part.T, out=out[:, columns])
        else:
            torch.addmm(bias[columns].to(hidden.dtype), hidden, part.T, out=out[:, columns])


def _times_head(
    block: Float[Tensor, "token vocab"], weight: Float[Tensor, "vocab hidden"]
) -> Float[Tensor, "token hidden"]:
    result = torch.zeros(block.shape[0], weight.shape[1], dtype=block.dtype, device=block.device)
    for columns, part in _parts(weight, block.dtype):
        torch.addmm(result, block[:, columns], part, out=result)
    return result


def _parts(weight: Float[Tensor, "vocab hidden"], dtype: torch.dtype) -> Iterator[tuple[slice, Tensor]]:
    """The head in the dtype of the arithmetic: whole if it is stored so, else one part of the vocabulary at a time."""
    vocab, width = weight.shape
    size = vocab if weight.dtype == dtype else max(_UPCAST_BYTES // max(width * dtype.itemsize, 1), 1)
    for start in range(0, vocab, max(size, 1)):
        columns = slice(start, start + size)
        yield columns, weight[columns].to(dtype)
