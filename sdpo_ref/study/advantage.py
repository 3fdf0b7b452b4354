"""SDPO against the best of its baselines, seed by seed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.selection import by_seed, names_along, select
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
    """Whether a method learns from the scalar alone; a third party's ``module:factory`` does not count as one.

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
        observations: of one setting, told apart by ``method`` and nothing else.
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
        theirs = by_seed(select(observations, method=name), metric)
        gaps = differences(own, theirs)
        difference, mean = estimate(list(gaps.values())), estimate([theirs[seed] for seed in gaps])
        if difference is not None and mean is not None and mean.mean > best_mean:
            best, best_mean = Advantage(name, gaps, difference), mean.mean
    return best
