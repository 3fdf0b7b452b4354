"""The tokens that count, packed one after the other: what does not count is neither read nor computed."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.types import DistillationBatch, HiddenBatch


@dataclass(frozen=True)
class CountedTokens:
    """Where the counted tokens of a batch stand, and what is known of each.

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
    """The tokens of a batch that take part in the loss, row by row.

    Args:
        batch: masks, completions and, where recorded, behaviour log-probabilities.
        dtype: of the behaviour log-probabilities in the result.

    Returns:
        Their places; as many as ``batch.loss_mask`` has True.
    """
    rollout_ids, time_ids = batch.loss_mask.nonzero(as_tuple=True)
    behaviour = batch.behaviour_log_probs
    return CountedTokens(
        rollout_ids,
        time_ids,
        batch.completions[rollout_ids, time_ids].long(),
        None if behaviour is None else behaviour.detach()[rollout_ids, time_ids].to(dtype),
    )
