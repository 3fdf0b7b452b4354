"""The published self-teacher: the student's logits plus feedback times the true quality (spec/09-published-study, B).

It is told the truth. What a step of the study owes to that, the controls show.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def tilt(
    quality: Float[Tensor, "run time vocab"],
    feedback: Float[Tensor, "run rollout"],
    strength: Float[Tensor, " run"],
    *,
    hints: Float[Tensor, "run rollout time"] | None = None,
    hinted: Bool[Tensor, "run rollout time vocab"] | None = None,
) -> Float[Tensor, "run rollout time vocab"]:
    r"""What the teacher adds to the student's logits.

    .. math::
        \beta f_i\, q(t, v), \qquad\text{with critique}\qquad \beta f_i\, (q(t, v) - h_{it})

    A hint is the same for all tokens of a position, and a softmax does not see it.
    Implements: PUB-010, PUB-011.

    Args:
        quality: q that the teacher is told.
        feedback: f of each rollout.
        strength: β.
        hints: h of a critique; ``None`` for other kinds of feedback.
        hinted: tokens from which the hint is subtracted; ``None`` for all, as published.

    Example:
        >>> quality = torch.tensor([[[1.0, -1.0]]], dtype=torch.float64)
        >>> half, one = torch.tensor([[0.5]], dtype=torch.float64), torch.ones(1, dtype=torch.float64)
        >>> tilt(quality, half, 2 * one).tolist()
        [[[[1.0, -1.0]]]]
    """
    told = quality[:, None]
    if hints is not None:
        told = told - (hints[..., None] if hinted is None else hints[..., None] * hinted)
    return (strength[:, None] * feedback)[..., None, None] * told


def teachers(
    logits: Float[Tensor, "run time vocab"], tilts: Float[Tensor, "run rollout time vocab"]
) -> Float[Tensor, "run rollout time vocab"]:
    """Probabilities of each rollout's teacher.

    Args:
        logits: of the student.
        tilts: of each rollout.

    Example:
        >>> flat = torch.zeros(1, 1, 2, dtype=torch.float64)
        >>> teachers(flat, torch.tensor([[[[0.0, 0.0]]]], dtype=torch.float64)).tolist()
        [[[[0.5, 0.5]]]]
    """
    return torch.softmax(logits[:, None] + tilts, -1)
