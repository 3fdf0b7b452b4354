"""What is attended in a completion, beside what counts: two masks that differ where tools wrote (decision 0050)."""

import torch
from jaxtyping import Bool
from torch import Tensor

from sdpo_ref.errors import InvalidInputError


def up_to_the_last(completion_mask: Bool[Tensor, "rollout time"]) -> Bool[Tensor, "rollout time"]:
    """True up to the last token that counts: what is attended in a completion, if nothing else is said.

    Completions are padded on the right, so that what stands before a token that counts is no padding: where the mask of
    what counts has a hole, a tool wrote. What stands behind the last token that counts, nothing that counts is
    conditioned on.
    Implements: POLICY-007.

    Args:
        completion_mask: True where a token counts.

    Returns:
        The mask with its holes filled; the same where it has none.

    Example:
        >>> up_to_the_last(torch.tensor([[True, False, True, False]]))
        tensor([[ True,  True,  True, False]])
    """
    return completion_mask.long().flip(-1).cumsum(-1).flip(-1) > 0


def require_attended(
    completion_mask: Bool[Tensor, "rollout time"], attended_mask: Bool[Tensor, "rollout time"] | None
) -> None:
    """Refuse a mask of what is attended that contradicts what counts.

    Args:
        completion_mask: True where a token counts.
        attended_mask: True where a token stands, sampled or written by a tool; ``None`` passes.

    Raises:
        InvalidInputError: if it is no mask of the completions, leaves out a token that counts, or has a hole.
    """
    if attended_mask is None:
        return
    if attended_mask.shape != completion_mask.shape or attended_mask.dtype != torch.bool:
        raise InvalidInputError(
            f"attended_mask has shape {tuple(attended_mask.shape)} and dtype {attended_mask.dtype}, allowed are those "
            f"of completion_mask, {tuple(completion_mask.shape)} and bool; align it to the completion tokens"
        )
    left_out = completion_mask & ~attended_mask
    if bool(left_out.any()):
        raise InvalidInputError(
            f"attended_mask is False at {int(left_out.sum())} tokens that count, allowed is True at all of them; "
            "whatever was sampled is attended"
        )
    if bool((attended_mask[:, 1:] & ~attended_mask[:, :-1]).any()):
        raise InvalidInputError(
            "attended_mask has a hole, allowed is padding behind a completion only; what a tool wrote is attended, and "
            "completion_mask is False there"
        )
