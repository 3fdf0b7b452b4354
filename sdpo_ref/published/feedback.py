"""From the true reward to what the teacher is given: noise, bias, kind of feedback (spec/09-published-study, A).

Data flows one way: true reward -> rating (noise, then bias) -> feedback.
"""

from jaxtyping import Float
from torch import Tensor

from sdpo_ref.published.settings import BiasName, FeedbackName

Ratings = Float[Tensor, "run rollout"]


def rating(
    reward: Ratings,
    noise: Ratings,
    bias: BiasName,
    *,
    length: Ratings,
    first: Ratings,
) -> Ratings:
    """The reward as it is rated: noise is added before anything else.

    Implements: PUB-003, PUB-007, PUB-008, PUB-009.

    Args:
        reward: true reward.
        noise: that is added, in units of the reward.
        bias: of the evaluator.
        length: share of the positions that count as filled.
        first: quality of the first token.

    Example:
        >>> import torch
        >>> half = torch.tensor([[0.5]], dtype=torch.float64)
        >>> rating(half, 0 * half, "positivity", length=half, first=half).item()  # .3 + .7 * .5
        0.6499999999999999
    """
    noisy = reward + noise
    match bias:
        case "none":
            return noisy
        case "length":
            return noisy + 0.15 * (length - 0.5)
        case "positivity":
            return 0.3 + 0.7 * noisy
        case "anchoring":
            return 0.6 * noisy + 0.4 * first


def feedback_of(rated: Ratings, kind: FeedbackName) -> Ratings:
    """The rating as feedback says it; a critique has the rating itself, and hints beside it.

    Implements: PUB-004, PUB-005, PUB-006.

    Args:
        rated: ratings.
        kind: of the feedback.

    Returns:
        Binary in {0, 1}, ordinal in {0, 1/4, 1/2, 3/4, 1}, otherwise the rating.

    Example:
        >>> import torch
        >>> rated = torch.tensor([[-0.1, 0.5, 0.79, 1.2]], dtype=torch.float64)
        >>> feedback_of(rated, "binary").tolist(), feedback_of(rated, "ordinal").tolist()
        ([[0.0, 0.0, 1.0, 1.0]], [[0.0, 0.5, 0.75, 1.0]])
    """
    match kind:
        case "binary":
            return (rated > 0.5).to(rated)
        case "ordinal":
            return (5 * rated).floor().clamp(0, 4) / 4
        case "continuous" | "critique":
            return rated
