"""A batch of logits as the source of chunks: the gradient is as large as the logits, the arithmetic is not."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.losses.chunked.chunks import tokens_per_tile
from sdpo_ref.losses.chunked.tokens import CountedTokens


@dataclass(frozen=True)
class FromLogits:
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
