r"""Hidden states and heads as the source of chunks: logits are projected, and their gradient is pulled back.

With :math:`h` the student's hidden states of a chunk, :math:`W, b` its head, :math:`G` the gradient with respect to its
logits and :math:`s` the scale of each token, as a column:

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

from sdpo_ref.losses.chunked.tokens import CountedTokens

_UPCAST_BYTES = 16 * 2**20
"""How much of a head in half precision is held in float32 at a time."""


@dataclass(frozen=True)
class FromHidden:
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
        """Pull a chunk's gradient back to hidden states and head.

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
            pulled = _pull_back(block, self.weight).mul_(scale[:, None])
            hidden[tokens.rollout_ids, tokens.time_ids] = pulled
        if weight is not None:
            scaled = tokens.of(self.student).to(block.dtype).mul_(scale[:, None])
            torch.addmm(weight, block.T, scaled, beta=keep, out=weight)
        if bias is not None:
            torch.addmv(bias, block.T, scale, beta=keep, out=bias)


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


def _pull_back(
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
