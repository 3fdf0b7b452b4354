"""How well each method's per-token signal tells good tokens from bad ones (F03)."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.report.figures.comparisons import BEST_BASELINE, advantage_effect, by_regime
from sdpo_ref.study.report.figures.dot_panels import dot_panels
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.selection import by_seed, select
from sdpo_ref.study.summary import estimate


def draw(observations: Sequence[Observation]) -> Figure:
    """Two lines of panels: mean over the run, and the first rollouts, which all methods share.

    Args:
        observations: of F03.
    """
    metrics = {"credit": "correlation, mean over run", "credit_first": "correlation, first step"}
    return dot_panels(observations, rows="method", metrics=metrics)


def effects(observations: Sequence[Observation]) -> list[Effect]:
    """SDPO's correlation in each regime, and its advantage.

    Args:
        observations: of F03.
    """
    found = []
    for regime, here in by_regime(observations):
        own = by_seed(select(here, method="sdpo"), "credit")
        found.append(Effect(regime, "credit correlation of SDPO", estimate(list(own.values()))))
        found.append(advantage_effect(here, "credit", setting=regime, noun="credit correlation"))
    return found


FIGURE = ReportFigure(
    name="credit",
    experiment="F03",
    title="Credit assignment",
    question="Whose per-token signal tracks what a token was truly worth?",
    caption=(
        "Correlation of the signal that a method gives each sampled token with the true advantage of that token: the "
        "implicit reward for methods with a teacher, the advantage (mostly one number for a whole completion) for the "
        "others. Above: mean over the measured steps, each method on its own rollouts. Below: the first step, where "
        f"all methods judge the same rollouts. Large marks are means with 95 % intervals, small dots seeds. "
        f"{BEST_BASELINE}"
    ),
    draw=draw,
    effects=effects,
)
