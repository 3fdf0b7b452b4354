"""Numbers that several figures report: SDPO against the best baseline, setting by setting."""

from collections.abc import Iterator, Sequence

from sdpo_ref.study.advantage import advantage
from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.report.figures.figure import Effect
from sdpo_ref.study.report.figures.style import in_order, spoken
from sdpo_ref.study.selection import names_along, select

BEST_BASELINE = (
    "The best baseline is the method without a self-teacher that has the highest mean in that setting; differences are "
    "paired by seed. It is chosen on the same seeds, which is conservative against SDPO."
)
"""Goes into the caption of every figure that compares with it."""


def by_regime(observations: Sequence[Observation]) -> Iterator[tuple[str, list[Observation]]]:
    """Observations of each regime, the poorest feedback first.

    Args:
        observations: of one experiment.
    """
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
    return Effect(setting, f"{noun}: SDPO − {spoken(found.baseline)}", found.difference, ahead)


def advantage_by_regime(observations: Sequence[Observation], metric: str, *, noun: str) -> list[Effect]:
    """SDPO minus the best baseline in each regime.

    Args:
        observations: of one experiment, told apart by regime and method.
        metric: higher is better.
        noun: what the metric is, as the table calls it.
    """
    return [advantage_effect(here, metric, setting=regime, noun=noun) for regime, here in by_regime(observations)]
