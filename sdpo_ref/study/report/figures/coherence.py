"""Rewards and SDPO's advantage when neighbouring tokens must fit each other (R02)."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import names_along, numbers_along, select
from sdpo_ref.study.report.figures.comparisons import BEST_BASELINE, advantage_along, advantage_effect, along
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.report.figures.marks import sweep, zero
from sdpo_ref.study.report.figures.panels import finished, grid
from sdpo_ref.study.report.figures.style import in_order, look


def _draw(observations: Sequence[Observation]) -> Figure:
    """Left the rewards, right the advantage."""
    methods = in_order(names_along(observations, "method"))
    figure, [[left, right]] = grid(1, 2, height=3.1, sharey=False)
    for method in reversed(methods):
        sweep(left, along(select(observations, method=method), "coherence", "final_reward"), look(method))
    sweep(right, advantage_along(observations, "coherence", "final_reward"), look("sdpo"))
    zero(right)
    right.set_xticks(numbers_along(observations, "coherence"))
    left.set_ylabel("final reward (0 base policy, 1 optimum)")
    right.set_ylabel("final reward: SDPO − best baseline")
    figure.supxlabel("weight of the coherence term in the latent score")
    return finished(figure, [[left, right]], methods)


def _effects(observations: Sequence[Observation]) -> list[Effect]:
    """Advantage at each weight."""
    return [
        advantage_effect(
            select(observations, coherence=weight), "final_reward", setting=f"coherence {weight:g}", noun="final reward"
        )
        for weight in numbers_along(observations, "coherence")
    ]


FIGURE = ReportFigure(
    name="coherence",
    experiment="R02",
    title="Coherence",
    question="Does the advantage hold when the true score is no sum over tokens?",
    caption=(
        "The coherence term rewards pairs of neighbouring tokens, which the reader does not model. Left: final reward. "
        f"Right: SDPO minus the best baseline. Means over seeds with 95 % intervals. {BEST_BASELINE}"
    ),
    draw=_draw,
    effects=_effects,
)
