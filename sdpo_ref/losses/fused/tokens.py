"""The tokens that count, packed in an order of fixed shape, and how many of them are computed at a time.

Counted tokens come first and the others after them, so that no number has to come back from the device.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdpo_ref.errors import InvalidInputError

DEFAULT_CHUNK_BYTES = 2 * 2**30
"""Budget of a chunk's logits: about two thousand tokens at a vocabulary of 128 thousand.

Each chunk reads the head, and reads and writes the float32 sum of the head's gradient. With few tokens in a chunk that
traffic takes longer than the matrix products that it feeds.
"""

_WHOLE_TILES = 128
"""Chunks are rounded up to this many tokens where the budget allows it: matrix products work in tiles."""


@dataclass(frozen=True)
class Tokens:
    """The tokens of a batch, position by position.

    Attributes:
        ids: the sampled token; anything where nothing counts.
        mask: True where a token counts.
        behaviour: log-probability when sampled, or ``None``; anything where nothing counts.
    """

    ids: Int[Tensor, "rollout time"]
    mask: Bool[Tensor, "rollout time"]
    behaviour: Float[Tensor, "rollout time"] | None


@dataclass(frozen=True)
class PackedTokens:
    """Some of the packed tokens, one for each row of a chunk.

    Attributes:
        places: positions in the flattened batch.
        first: packed position of the first of them.
        count: how many tokens of the batch count; packed positions below it do.
        token_ids: the sampled tokens; zero where nothing counts.
        behaviour: their log-probabilities when sampled, or ``None``; zero where nothing counts.
        weights: factor of each row's gradient.
    """

    places: Int[Tensor, " row"]
    first: int
    count: Int[Tensor, ""]
    token_ids: Int[Tensor, " row"]
    behaviour: Float[Tensor, " row"] | None
    weights: Float[Tensor, " row"]

    @property
    def past(self) -> Bool[Tensor, " row"]:
        """True where a row does not count."""
        positions = torch.arange(self.first, self.first + self.places.shape[0], device=self.places.device)
        return positions >= self.count

    def part(self, start: int, stop: int) -> "PackedTokens":
        """The rows from ``start`` to ``stop``."""
        rows = slice(start, stop)
        behaviour = None if self.behaviour is None else self.behaviour[rows]
        return PackedTokens(
            self.places[rows], self.first + start, self.count, self.token_ids[rows], behaviour, self.weights[rows]
        )


def packed_tokens(tokens: Tokens, weights: Float[Tensor, "rollout time"]) -> PackedTokens:
    """Every position of a batch, counted tokens first and otherwise in order.

    Args:
        tokens: of a batch.
        weights: factor of each token's gradient.

    Returns:
        As many rows as positions, whatever the mask; the count stays on the device.

    Example:
        >>> mask = torch.tensor([[False, True], [True, False]])
        >>> packed_tokens(Tokens(torch.tensor([[9, 8], [7, 6]]), mask, None), mask.float()).token_ids
        tensor([8, 7, 0, 0])
    """
    flat, behaviour = tokens.mask.reshape(-1), tokens.behaviour
    places = torch.argsort((~flat).to(torch.uint8), stable=True)
    counted = flat[places]
    return PackedTokens(
        places,
        0,
        flat.sum(),
        torch.where(counted, tokens.ids.reshape(-1)[places].long(), 0),
        None if behaviour is None else torch.where(counted, behaviour.reshape(-1)[places].float(), 0.0),
        torch.where(counted, weights.reshape(-1)[places], 0.0),
    )


def tokens_per_chunk(rows: int, *, vocab: int, chunk_bytes: int | None) -> int:
    """How many tokens are computed at a time: what the budget holds, in chunks of nearly equal size.

    Args:
        rows: tokens in all.
        vocab: number of tokens of the vocabulary.
        chunk_bytes: budget for the logits of a chunk, both sides, in float32; ``None`` for
            :data:`DEFAULT_CHUNK_BYTES`.

    Returns:
        At least one; the last chunk may be smaller.

    Raises:
        InvalidInputError: if the budget does not hold one token.

    Example:
        >>> tokens_per_chunk(1000, vocab=100, chunk_bytes=600 * 800)  # two chunks, of 512 and 488
        512
    """
    token_bytes = max(2 * vocab * torch.float32.itemsize, 1)
    most = (DEFAULT_CHUNK_BYTES if chunk_bytes is None else chunk_bytes) // token_bytes
    if most < 1:
        raise InvalidInputError(
            f"chunk_bytes={chunk_bytes} does not hold one token: its logits for student and teacher, {vocab} each in "
            f"float32, take {token_bytes} bytes; pass at least that, or leave chunk_bytes out"
        )
    even = -(-rows // max(-(-rows // most), 1))
    return max(min(-(-even // _WHOLE_TILES) * _WHOLE_TILES, most), 1)
