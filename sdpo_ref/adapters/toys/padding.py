"""Token ids of different lengths as one tensor, padded by TRL as its trainers pad them."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from sdpo_ref.types import Prompts

PaddedIds = tuple[Int[Tensor, "rollout _"], Int[Tensor, "rollout _"]]
"""Token ids and attention mask."""

Side = Literal["left", "right"]
"""Where padding goes."""


def pad_rows(rows: Sequence[Int[Tensor, " _"]], side: Side, *, padding_id: int = 0) -> PaddedIds:
    """Rows of token ids, padded by TRL's ``pad``, and the mask that tells them from the padding."""
    from trl.trainer.utils import pad

    ids = pad(list(rows), padding_value=padding_id, padding_side=side)
    mask = pad([torch.ones_like(row) for row in rows], padding_side=side)
    return ids, mask


def pad_anew(prompts: Prompts, side: Side) -> PaddedIds:
    """Prompts that may be padded on either side, padded on the side that a trainer chooses."""
    return pad_rows([ids[mask] for ids, mask in zip(prompts.token_ids, prompts.mask, strict=True)], side)


def single_token_prompts(completions: Int[Tensor, "rollout time"]) -> PaddedIds:
    """A prompt of one token in front of each completion, for models that do not read it."""
    ids = torch.zeros_like(completions[:, :1])
    return ids, torch.ones_like(ids)
