"""The tokens that count, packed one after the other, and how many of them are computed at a time.

What does not count is neither read nor computed. Counted tokens are computed in chunks, whose logits keep to a budget
in bytes, and a chunk in tiles, which stay in the cache.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.types import DistillationBatch, HiddenBatch

DEFAULT_CHUNK_BYTES = 48 * 2**20
"""Budget of the logits of one chunk, both sides together, where none is given."""

DEFAULT_CHUNK_TOKENS = 64
"""Without a given budget a chunk has at least this many tokens.

Each chunk reads the head and adds to the head's gradient once. With few tokens in it that traffic, and not the matrix
products, would take the time; so a large vocabulary raises the default budget.
"""

_TILE_BYTES = 256 * 2**10


@dataclass(frozen=True)
class CountedTokens:
    """The positions of the counted tokens of a batch, and their ids and log-probabilities.

    Attributes:
        rollout_ids: row of each counted token.
        time_ids: column of each.
        token_ids: the sampled token.
        behaviour_log_probs: its log-probability when it was sampled, in nats; ``None`` if not recorded.
    """

    rollout_ids: Int[Tensor, " token"]
    time_ids: Int[Tensor, " token"]
    token_ids: Int[Tensor, " token"]
    behaviour_log_probs: Float[Tensor, " token"] | None

    def __len__(self) -> int:
        """How many tokens count."""
        return self.rollout_ids.shape[0]

    def of(self, values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """A copy of what a padded tensor holds at the counted tokens.

        Args:
            values: with leading axes rollout and time; anything where nothing counts, any strides.
        """
        return values[self.rollout_ids, self.time_ids]

    def part(self, start: int, stop: int) -> "CountedTokens":
        """The tokens from ``start`` to before ``stop``."""
        rows = slice(start, stop)
        behaviour = None if self.behaviour_log_probs is None else self.behaviour_log_probs[rows]
        return CountedTokens(self.rollout_ids[rows], self.time_ids[rows], self.token_ids[rows], behaviour)

    def chunks(self, size: int) -> Iterator["CountedTokens"]:
        """The same tokens in groups of nearly equal length, none longer than ``size``.

        Args:
            size: at least one where any token counts.
        """
        number = -(-len(self) // max(size, 1))
        for chunk in range(number):
            yield self.part(chunk * len(self) // number, (chunk + 1) * len(self) // number)


def counted_tokens(batch: DistillationBatch | HiddenBatch, *, dtype: torch.dtype) -> CountedTokens:
    """The tokens of a batch that count in the loss, row by row.

    Args:
        batch: masks, completions and, where recorded, behaviour log-probabilities.
        dtype: of the behaviour log-probabilities in the result.

    Returns:
        Their positions; as many as ``batch.loss_mask`` has True.
    """
    rollout_ids, time_ids = batch.loss_mask.nonzero(as_tuple=True)
    behaviour = batch.behaviour_log_probs
    return CountedTokens(
        rollout_ids,
        time_ids,
        batch.completions[rollout_ids, time_ids].long(),
        None if behaviour is None else behaviour.detach()[rollout_ids, time_ids].to(dtype),
    )


def tokens_per_chunk(chunk_bytes: int | None, *, vocab: int, dtype: torch.dtype) -> int:
    """How many tokens fit into a budget: each takes one row of logits for the student and one for the teacher.

    Args:
        chunk_bytes: the budget, kept to; ``None`` for :data:`DEFAULT_CHUNK_BYTES`, or as much as
            :data:`DEFAULT_CHUNK_TOKENS` tokens need if that is more.
        vocab: number of tokens of the vocabulary.
        dtype: of the logits as they are computed.

    Returns:
        At least one.

    Raises:
        InvalidInputError: if the budget does not hold the logits of one token.

    Example:
        >>> tokens_per_chunk(1_000_000, vocab=1000, dtype=torch.float32)  # 2 x 4000 bytes each
        125
    """
    token_bytes = max(2 * vocab * dtype.itemsize, 1)
    if chunk_bytes is None:
        return max(DEFAULT_CHUNK_BYTES // token_bytes, DEFAULT_CHUNK_TOKENS)
    if chunk_bytes < token_bytes:
        raise InvalidInputError(
            f"chunk_bytes={chunk_bytes} does not hold one token: its logits for student and teacher, {vocab} each in "
            f"{dtype}, take {token_bytes} bytes; pass at least that, or leave chunk_bytes out"
        )
    return chunk_bytes // token_bytes


def tokens_per_tile(*, vocab: int, dtype: torch.dtype) -> int:
    """How many rows of logits are computed at a time, so that the intermediate results stay in the cache.

    Args:
        vocab: number of tokens of the vocabulary.
        dtype: of the logits.

    Returns:
        At least one.
    """
    return max(_TILE_BYTES // max(vocab * dtype.itemsize, 1), 1)
