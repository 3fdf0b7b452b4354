"""Two frontiers of reward and diversity, compared where they can be compared."""

from collections.abc import Sequence
from itertools import pairwise

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import by_seed, numbers_along, select
from sdpo_ref.study.summary import Estimate, estimate

_Station = tuple[float, float]
"""Distinctness and reward."""


def reward_at_equal_diversity(own: Sequence[Observation], of_other: Sequence[Observation]) -> Estimate | None:
    """Own reward minus the other's at each distinctness of the other's that the own frontier spans, mean over seeds.

    Args:
        own: observations of one method, distinguished by ``kl_weight``.
        of_other: likewise.

    Returns:
        In the unit of the reward; ``None`` if the frontiers of no seed overlap.
    """
    mine, others = _frontiers(own), _frontiers(of_other)
    means = []
    for seed in sorted(mine.keys() & others.keys()):
        gaps = [
            at - reward for distinctness, reward in others[seed] if (at := height(mine[seed], distinctness)) is not None
        ]
        if gaps:
            means.append(sum(gaps) / len(gaps))
    return estimate(means)


def height(frontier: Sequence[_Station], place: float) -> float | None:
    """The highest reward of a piecewise linear frontier at a distinctness.

    Args:
        frontier: stations in the order of the knob.
        place: distinctness.

    Returns:
        The reward; ``None`` where no two neighbouring stations have the place between them.

    Example:
        >>> height([(0.25, 1.0), (0.75, 0.0)], 0.5), height([(0.25, 1.0), (0.75, 0.0)], 0.8)
        (0.5, None)
    """
    found = []
    for (left, low), (right, high) in pairwise(frontier):
        if min(left, right) <= place <= max(left, right):
            share = (place - left) / (right - left) if right != left else 0.0
            found.append(low + share * (high - low) if right != left else max(low, high))
    return max(found, default=None)


def _frontiers(observations: Sequence[Observation]) -> dict[int, list[_Station]]:
    """Seed to its stations, in the order of the KL weights."""
    frontiers: dict[int, list[_Station]] = {}
    for weight in numbers_along(observations, "kl_weight"):
        here = select(observations, kl_weight=weight)
        distinctness, reward = by_seed(here, "final_distinctness"), by_seed(here, "final_reward")
        for seed in distinctness.keys() & reward.keys():
            frontiers.setdefault(seed, []).append((distinctness[seed], reward[seed]))
    return frontiers
