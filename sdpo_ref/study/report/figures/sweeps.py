"""Estimates along a numeric label: of one metric of one method, and of SDPO's advantage."""

from collections.abc import Sequence

from sdpo_ref.study.advantage import advantage
from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.selection import by_seed, numbers_along, select
from sdpo_ref.study.summary import Estimate, estimate


def along(observations: Sequence[Observation], axis: str, metric: str) -> dict[float, Estimate | None]:
    """Number on the axis to the metric there.

    Args:
        observations: told apart by this axis and nothing else.
        axis: of the labels.
        metric: name.
    """
    return {
        place: estimate(list(by_seed(select(observations, **{axis: place}), metric).values()))
        for place in numbers_along(observations, axis)
    }


def advantage_along(observations: Sequence[Observation], axis: str, metric: str) -> dict[float, Estimate | None]:
    """Number on the axis to SDPO's advantage over the baseline that is best there.

    Args:
        observations: told apart by this axis and ``method`` and nothing else.
        axis: of the labels.
        metric: higher is better.
    """
    found = {
        place: advantage(select(observations, **{axis: place}), metric) for place in numbers_along(observations, axis)
    }
    return {place: None if one is None else one.difference for place, one in found.items()}
