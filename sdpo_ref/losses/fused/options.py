"""The options of the loss that concern single tokens."""

from dataclasses import dataclass

from sdpo_ref.types import Support, TopKFrom


@dataclass(frozen=True)
class Options:
    """As :func:`sdpo_ref.losses.reference.sdpo_loss` has them.

    Attributes:
        alpha: interpolation coefficient in ``[0, 1]``.
        support: which tokens of the vocabulary are compared.
        top_k_from: whose most likely tokens make a top-k support.
        temperature: divides the logits of both sides.
        ratio_cap: upper bound of the importance ratio; ``None`` for no ratio.
    """

    alpha: float
    support: Support
    top_k_from: TopKFrom
    temperature: float
    ratio_cap: float | None
