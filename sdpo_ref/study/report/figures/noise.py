"""Rewards and SDPO's advantage while human inconsistency grows (F06)."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import names_along, numbers_along, select
from sdpo_ref.study.report.figures.comparisons import BEST_BASELINE, advantage_along, advantage_effect, along, by_regime
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.report.figures.marks import sweep, zero
from sdpo_ref.study.report.figures.panels import finish, grid, legend
from sdpo_ref.study.report.figures.style import in_order, look
from sdpo_ref.study.summary import Estimate


def draw(observations: Sequence[Observation]) -> Figure:
    """Above the rewards, below the advantage, a column for each regime.

    Args:
        observations: of F06.
    """
    regimes, methods = list(by_regime(observations)), in_order(names_along(observations, "method"))
    figure, panels = grid(2, len(regimes), height=4.6, sharey="row")
    for (above, below), (regime, here) in zip(zip(*panels, strict=True), regimes, strict=True):
        for method in reversed(methods):
            sweep(above, _percent(along(select(here, method=method), "noise", "final_reward")), look(method))
        sweep(below, _percent(advantage_along(here, "noise", "final_reward")), look("sdpo"))
        zero(below)
        above.set_title(regime)
    panels[0][0].set_ylabel("final reward")
    panels[1][0].set_ylabel("SDPO − best baseline")
    figure.supxlabel("noise of each rating (standard deviation, % of the scale)")
    finish(panels)
    legend(figure, methods)
    return figure


def _percent(points: dict[float, Estimate | None]) -> dict[float, Estimate | None]:
    return {100 * place: value for place, value in points.items()}


def effects(observations: Sequence[Observation]) -> list[Effect]:
    """Advantage at each level of noise in each regime.

    Args:
        observations: of F06.
    """
    return [
        advantage_effect(
            select(here, noise=noise), "final_reward", setting=f"{regime}, noise {noise:.0%}", noun="final reward"
        )
        for regime, here in by_regime(observations)
        for noise in numbers_along(here, "noise")
    ]


FIGURE = ReportFigure(
    name="noise",
    experiment="F06",
    title="Noise",
    question="Does the advantage survive when raters are less and less consistent?",
    caption=(
        "Noise sits on every rating of the oracle. Above: final reward (0 base policy, 1 optimum). Below: SDPO minus "
        f"the best baseline; above the line SDPO is ahead. Means over seeds with 95 % intervals. {BEST_BASELINE}"
    ),
    draw=draw,
    effects=effects,
)
