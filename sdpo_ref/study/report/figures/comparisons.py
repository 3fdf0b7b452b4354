"""Numbers that several figures report: SDPO against the best baseline, setting by setting and along an axis."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import by_seed, names_along, numbers_along, select
from sdpo_ref.study.report.figures.figure import Effect
from sdpo_ref.study.report.figures.style import in_order, label_of
from sdpo_ref.study.settings import SELF_DISTILLING
from sdpo_ref.study.summary import Estimate, differences, estimate


@dataclass(frozen=True)
class Advantage:
    """What one method has over the best baseline of a setting.

    Attributes:
        baseline: the best one.
        by_seed: difference of each seed that both have.
        difference: their mean.
    """

    baseline: str
    by_seed: Mapping[int, float]
    difference: Estimate

    @property
    def wins(self) -> int:
        """Seeds on which the method was ahead."""
        return sum(value > 0 for value in self.by_seed.values())


def is_baseline(method: str) -> bool:
    """Whether a method is not drawn to a teacher; a third party's ``module:factory`` does not count as one.

    Args:
        method: its label.

    Example:
        >>> [is_baseline(name) for name in ("rloo", "gated", "mine:make")]
        [True, False, False]
    """
    return method not in SELF_DISTILLING and ":" not in method


def advantage(observations: Sequence[Observation], metric: str, *, method: str = "sdpo") -> Advantage | None:
    """What a method has over the baseline with the highest mean in this setting.

    The baseline is chosen on the seeds on which it is compared. A maximum of noisy means is too high on average, so the
    difference is too low: the choice is conservative against the method.

    Args:
        observations: of one setting, distinguished by ``method`` alone.
        metric: higher is better.
        method: that is compared.

    Returns:
        The comparison; ``None`` unless the method and a baseline share a seed.
    """
    own = by_seed(select(observations, method=method), metric)
    best: Advantage | None = None
    best_mean = -math.inf
    for name in filter(is_baseline, names_along(observations, "method")):
        if name == method:
            continue
        others = by_seed(select(observations, method=name), metric)
        gaps = differences(own, others)
        difference, mean = estimate(list(gaps.values())), estimate([others[seed] for seed in gaps])
        if difference is not None and mean is not None and mean.mean > best_mean:
            best, best_mean = Advantage(name, gaps, difference), mean.mean
    return best


BEST_BASELINE = (
    "The best baseline is the method that is not drawn to a self-teacher and has the highest mean in that setting; "
    "differences are paired by seed. It is chosen on the same seeds, which is conservative against SDPO."
)
"""Goes into the caption of every figure that compares with it."""


SAME_BASELINES = (
    "Baselines learn from the scalar reward alone, which is the same in scalar and in rubric: there they are the same "
    "runs, and one set of baselines. Only the advantage-weighted one reads feedback, through a teacher."
)
"""Goes into the caption of every figure with a panel for each regime and a baseline in it."""


def by_regime(observations: Sequence[Observation]) -> Iterator[tuple[str, list[Observation]]]:
    """Observations of each regime, the poorest feedback first."""
    for regime in in_order(names_along(observations, "regime")):
        yield regime, select(observations, regime=regime)


def advantage_effect(observations: Sequence[Observation], metric: str, *, setting: str, noun: str) -> Effect:
    """SDPO minus the best baseline, with the number of seeds on which it was ahead.

    Args:
        observations: of one setting.
        metric: higher is better.
        setting: as the table calls it.
        noun: what the metric is, as the table calls it.
    """
    found = advantage(observations, metric)
    if found is None:
        return Effect(setting, f"{noun}: SDPO − best baseline", None)
    ahead = f"ahead in {found.wins} of {len(found.by_seed)} seeds"
    return Effect(setting, f"{noun}: SDPO − {label_of(found.baseline)}", found.difference, ahead)


def advantage_by_regime(observations: Sequence[Observation], metric: str, *, noun: str) -> list[Effect]:
    """SDPO minus the best baseline in each regime.

    Args:
        observations: of one experiment, distinguished by regime and method.
        metric: higher is better.
        noun: what the metric is, as the table calls it.
    """
    return [advantage_effect(here, metric, setting=regime, noun=noun) for regime, here in by_regime(observations)]


def mean_of(observations: Sequence[Observation], metric: str) -> Estimate | None:
    """The mean of one cell over its seeds."""
    return estimate(list(by_seed(observations, metric).values()))


def along(observations: Sequence[Observation], axis: str, metric: str) -> dict[float, Estimate | None]:
    """Number on the axis to the metric there."""
    places = numbers_along(observations, axis)
    return {place: mean_of(select(observations, **{axis: place}), metric) for place in places}


def advantage_along(observations: Sequence[Observation], axis: str, metric: str) -> dict[float, Estimate | None]:
    """Number on the axis to SDPO's advantage over the baseline that is best there.

    Args:
        observations: distinguished by this axis and ``method`` alone.
        axis: of the labels.
        metric: higher is better.
    """
    found = {
        place: advantage(select(observations, **{axis: place}), metric) for place in numbers_along(observations, axis)
    }
    return {place: None if one is None else one.difference for place, one in found.items()}
