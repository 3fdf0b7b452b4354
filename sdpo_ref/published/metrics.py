"""What the published study measures, and the exact expectations beside it (spec/09-published-study, D)."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.published.world import World

Table = Float[Tensor, "run time vocab"]

LAST_STEPS = 20
"""Over which the publication averages the final reward."""

EARLY_STEPS = slice(30, 50)
"""Steps 31 to 50: the publication says that SDPO leaves the baselines within 30 to 50 steps."""

METRICS: Mapping[str, str] = {
    "final_reward": "mean true reward of what was sampled in the last 20 steps, as published",
    "expected_reward": "exact mean reward of the final student; absent where completions are too many to list",
    "credit": "correlation of the update with the true advantages of tokens, mean over positions and the last 20 steps",
    "credit_all": "the same, mean over all steps",
    "credit_of_gradient": "the same as credit for the gradient itself, which the update goes against",
    "final_entropy": "entropy of a position after the last step, mean over positions, in nats",
    "sampled_entropy": "entropy of the tokens' frequencies in the last 20 steps, mean over positions, in nats",
    "entropy_lost": "share of the entropy of the start that is gone after the last step",
    "early_reward": "mean true reward of what was sampled in steps 31 to 50",
    "weight_first": "share of SDPO in the hybrid's first step",
    "weight_last": "share of SDPO in the hybrid, mean over the last 20 steps",
    "weight_gain": "share of SDPO in the hybrid, mean over the last 20 steps, less that of the first step",
    "mean_feedback": "mean feedback that teachers were given, over all steps",
}
"""Metric to what it is. A run has those that exist for it."""

MOST_LISTED = 2**18
"""Completions whose rewards are computed one by one for an exact expectation; the default world has as many."""

_ROUNDING = 1e-14
"""Updates are differences of probabilities: below this they are rounding, whose correlation with anything is noise."""


def credit(update: Table, quality: Table) -> Float[Tensor, " run"]:
    """Correlation of an update of the logits with true advantages, mean over positions.

    An advantage is quality less its expectation at the position, which a correlation over tokens does not see.
    Implements: PUB-021.

    Args:
        update: negative gradient.
        quality: q.

    Returns:
        In [−1, 1]; a position whose update is constant counts as 0.

    Example:
        >>> quality = torch.tensor([[[1.0, 2.0, 4.0]]], dtype=torch.float64)
        >>> round(credit(-2 * quality, quality).item(), 12)
        -1.0
    """
    update = update - update.mean(-1, keepdim=True)
    quality = quality - quality.mean(-1, keepdim=True)
    constant = update.abs().amax(-1) < _ROUNDING
    scale = (update.norm(dim=-1) * quality.norm(dim=-1)).masked_fill(constant, torch.inf)
    found: Tensor = (update * quality).sum(-1) / scale
    return found.mean(-1)


def entropy(student: Table) -> Float[Tensor, " run"]:
    """Entropy of a position, mean over positions, in nats.

    Implements: PUB-022.

    Args:
        student: probabilities.

    Example:
        >>> entropy(torch.full((1, 1, 4), 0.25, dtype=torch.float64)).item()  # ln 4
        1.3862943611198906
    """
    of_tokens: Tensor = torch.special.entr(student)
    return of_tokens.sum(-1).mean(-1)


def distinctness(student: Table) -> Float[Tensor, " run"]:
    """Chance that two completions differ at a position, mean over positions.

    Args:
        student: probabilities.

    Example:
        >>> distinctness(torch.full((1, 1, 4), 0.25, dtype=torch.float64)).item()
        0.75
    """
    return 1 - student.square().sum(-1).mean(-1)


def expected_reward(student: Float[Tensor, "time vocab"], rewards: Float[Tensor, " completion"]) -> float:
    """Exact mean reward of a student.

    Implements: PUB-023.

    Args:
        student: probabilities of one run.
        rewards: of all completions, in the order of :func:`every_completion_reward`.
    """
    chances = torch.ones(1, dtype=student.dtype)
    for at_position in student:
        chances = (chances[:, None] * at_position).flatten()
    return float(chances @ rewards)


def every_completion_reward(world: World) -> Float[Tensor, " completion"] | None:
    """Rewards of all completions of a world, the last position running fastest; ``None`` if there are too many.

    Args:
        world: of one seed.
    """
    time, vocab = world.quality.shape
    if vocab**time > MOST_LISTED:
        return None
    worth = world.worth()
    sums = worth[:1]  # of all beginnings, the last token along the second axis
    for at_position in worth[1:]:
        sums = (sums[:, :, None] + world.neighbours + at_position).view(-1, vocab)
    rewards: Tensor = torch.sigmoid(sums.flatten() / time)
    return rewards
