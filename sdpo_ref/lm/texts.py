"""What completions say."""

from collections.abc import Callable, Sequence

from sdpo_ref.types import Rollouts

Decode = Callable[[Sequence[int]], str]
"""From the token ids of a completion to its text, as ``TransformersPolicy.decode``."""


def completion_texts(rollouts: Rollouts, decode: Decode) -> list[str]:
    """What each completion says; tokens that do not count are left out.

    Args:
        rollouts: what was sampled.
        decode: text of token ids.
    """
    rows = zip(rollouts.completions, rollouts.completion_mask, strict=True)
    return [decode(ids[mask].tolist()) for ids, mask in rows]
