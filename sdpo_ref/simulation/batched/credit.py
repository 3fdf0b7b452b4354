"""How well the methods' signals tell good tokens from bad ones: ``sdpo_ref.simulation.measure`` with a run axis."""

import torch
from jaxtyping import Float
from torch import Tensor


def credit_correlations(
    signal: Float[Tensor, "run prompt time rollout"], true_advantages: Float[Tensor, "run prompt time rollout"]
) -> list[float]:
    """Correlation of a per-token signal with the true advantage, for each run.

    Implements: SIM-122.

    Args:
        signal: of each token.
        true_advantages: A* of each token.

    Returns:
        Between -1 and 1; 0 for a signal that is the same everywhere.
    """
    given, actual = signal.flatten(1), true_advantages.flatten(1)
    given, actual = given - given.mean(-1, keepdim=True), actual - actual.mean(-1, keepdim=True)
    scale = (given.square().sum(-1) * actual.square().sum(-1)).sqrt()
    found = (given * actual).sum(-1) / torch.where(scale > 0, scale, 1.0)
    numbers: list[float] = torch.where(scale > 0, found, 0.0).tolist()
    return numbers


def credit_precisions(
    signal: Float[Tensor, "run prompt time rollout"],
    true_advantages: Float[Tensor, "run prompt time rollout"],
    *,
    share: float,
) -> list[float]:
    """How many of the tokens that a signal puts first are truly among the best, for each run.

    Implements: SIM-134.

    Args:
        signal: of each token.
        true_advantages: A* of each token.
        share: of the tokens that is picked by either, in (0, 1].

    Returns:
        Between 0 and 1.
    """
    given, actual = signal.flatten(1), true_advantages.flatten(1)
    count = max(round(share * given.shape[-1]), 1)
    both = _chances_among_best(given, count) * _chances_among_best(actual, count)
    numbers: list[float] = (both.sum(-1) / count).tolist()
    return numbers


def _chances_among_best(values: Float[Tensor, "run token"], count: int) -> Float[Tensor, "run token"]:
    """Probability of each value to be among the highest so many, if equal ones are drawn by lot."""
    limit = values.topk(count).values[:, -1:]
    above, equal = values > limit, values == limit
    left = (count - above.sum(-1, keepdim=True)).double()
    return above + equal * (left / equal.sum(-1, keepdim=True).clamp_min(1))
