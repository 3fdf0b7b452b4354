"""Reward against diversity while the KL penalty grows (F05)."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import names_along, select
from sdpo_ref.study.report.figures.comparisons import is_baseline
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.report.figures.frontier import reward_at_equal_diversity
from sdpo_ref.study.report.figures.panels import finished, grid
from sdpo_ref.study.report.figures.paths import annotate, path, stations
from sdpo_ref.study.report.figures.style import in_order, label_of, look


def _draw(observations: Sequence[Observation]) -> Figure:
    """One line for each method over the weights of the penalty, which are written beside two of them."""
    methods = in_order(names_along(observations, "method"))
    figure, [[axes]] = grid(1, 1, height=4.4)
    for method in reversed(methods):
        own = select(observations, method=method)
        path(axes, own, knob="kl_weight", across="final_distinctness", up="final_reward", look=look(method))
    for method, above in (("sdpo", True), ("rloo", False)):
        found = stations(select(observations, method=method), "kl_weight", "final_distinctness", "final_reward")
        annotate(axes, found, look(method), above=above)
    axes.set_xlabel("distinctness after the last step (chance that two completions differ at a position)")
    axes.set_ylabel("final reward (0 base policy, 1 optimum)")
    return finished(figure, [[axes]], methods)


def _effects(observations: Sequence[Observation]) -> list[Effect]:
    """SDPO's reward over each baseline's at the baseline's own distinctness."""
    own = select(observations, method="sdpo")
    return [
        Effect(
            "scalar",
            f"final reward at equal distinctness: SDPO − {label_of(method)}",
            reward_at_equal_diversity(own, select(observations, method=method)),
            "mean over the stations of the baseline that SDPO's frontier spans",
        )
        for method in filter(is_baseline, in_order(names_along(observations, "method")))
    ]


FIGURE = ReportFigure(
    name="pareto",
    experiment="F05",
    title="Reward against diversity",
    question="What does the KL penalty buy, and whose frontier lies further out?",
    caption=(
        "Each line is one method; the numbers beside SDPO and RLOO are weights of the KL divergence to the base "
        "policy, and the other lines have the same weights in the same order (a number is left out where it would "
        "stand on its neighbour). Up and to the right is better. Scalar feedback, means over seeds with 95 % "
        "intervals both ways. The weight acts on losses of different scale, so compare lines and not equal weights. "
        "Only the weight is turned; a learning rate below the tuned one buys distinctness too, for the baselines "
        "more cheaply than the penalty does (figure diversity), so that the distance of the lines overstates what "
        "SDPO leads by."
    ),
    draw=_draw,
    effects=_effects,
)
