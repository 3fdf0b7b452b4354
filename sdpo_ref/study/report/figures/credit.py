"""How well each method's per-token signal separates good tokens from bad ones (F03)."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import by_seed, select
from sdpo_ref.study.report.figures.comparisons import BEST_BASELINE, advantage_effect, by_regime
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.report.figures.panels import dot_panels
from sdpo_ref.study.summary import estimate


def draw(observations: Sequence[Observation]) -> Figure:
    """Two lines of panels: the first rollouts, which all methods share, and the mean over the run.

    Args:
        observations: of F03.
    """
    metrics = {"credit_first": "r, first step", "credit": "r, mean over the run"}
    return dot_panels(observations, rows="method", metrics=metrics, from_zero=True)


def effects(observations: Sequence[Observation]) -> list[Effect]:
    """SDPO's correlation in each regime, and its advantage.

    Args:
        observations: of F03.
    """
    found = []
    for regime, here in by_regime(observations):
        for metric, noun in (("credit_first", "credit, first step"), ("credit", "credit, mean over run")):
            own = by_seed(select(here, method="sdpo"), metric)
            found.append(Effect(regime, f"{noun}: SDPO", estimate(list(own.values()))))
            found.append(advantage_effect(here, metric, setting=regime, noun=noun))
    return found


FIGURE = ReportFigure(
    name="credit",
    experiment="F03",
    title="Credit assignment",
    question="Whose per-token signal tracks what a token was truly worth?",
    caption=(
        "Correlation r of the signal that a method gives each sampled token with that token's true advantage: the "
        "implicit reward for methods with a teacher, the advantage (mostly one number for a whole completion) for the "
        "others. Above: the first step, where all methods judge the same rollouts. Below: mean over the run, "
        "each method on its own rollouts; it falls as a method succeeds, because a good policy samples tokens that "
        f"hardly differ in worth. Large marks are means with 95 % intervals, small dots seeds. {BEST_BASELINE}"
    ),
    draw=draw,
    effects=effects,
)
