"""How many tokens are computed at a time: a byte budget for a chunk's logits, and tiles that stay in the cache."""

import torch

from sdpo_ref.errors import InvalidInputError

DEFAULT_CHUNK_BYTES = 48 * 2**20
"""Budget of the logits of one chunk, both sides together, where none is given."""

DEFAULT_CHUNK_TOKENS = 64
"""Without a budget of one's own a chunk has at least this many tokens.

Each chunk reads the head and adds to the head's gradient once. With few tokens in it that traffic, and not the matrix
products, would take the time; so a large vocabulary raises the default budget.
"""

_TILE_BYTES = 256 * 2**10


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
    """How many rows of logits the arithmetic takes at a time, so that what it makes of them stays in the cache.

    Args:
        vocab: number of tokens of the vocabulary.
        dtype: of the logits.

    Returns:
        At least one.
    """
    return max(_TILE_BYTES // max(vocab * dtype.itemsize, 1), 1)
