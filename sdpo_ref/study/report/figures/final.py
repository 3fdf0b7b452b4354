"""Final reward of every method in every regime (F01)."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.report.figures.comparisons import BEST_BASELINE, advantage_by_regime
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.report.figures.panels import dot_panels


def draw(observations: Sequence[Observation]) -> Figure:
    """A row for each method, a panel for each regime.

    Args:
        observations: of F01.
    """
    return dot_panels(observations, rows="method", metrics={"final_reward": "final reward"}, from_zero=False)


def effects(observations: Sequence[Observation]) -> list[Effect]:
    """Advantage in final reward.

    Args:
        observations: of F01.
    """
    return advantage_by_regime(observations, "final_reward", noun="final reward")


FIGURE = ReportFigure(
    name="final",
    experiment="F01",
    title="Final reward",
    question="Which method ends highest in which regime of feedback?",
    caption=(
        "Normalised reward after the last step: 0 is the base policy, 1 the optimum. Large marks are means with 95 % "
        f"intervals, the small dots below them single seeds; the axis does not begin at 0. {BEST_BASELINE} What these "
        "margins are made of is the question of F13."
    ),
    draw=draw,
    effects=effects,
)
