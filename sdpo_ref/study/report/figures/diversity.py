"""What learning costs in diversity (F04)."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import by_seed, names_along, numbers_along, select
from sdpo_ref.study.report.figures.comparisons import along, is_baseline
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.report.figures.marks import sweep
from sdpo_ref.study.report.figures.panels import finished, grid
from sdpo_ref.study.report.figures.paths import path
from sdpo_ref.study.report.figures.style import FAINT, in_order, label_of, look
from sdpo_ref.study.summary import estimate, paired_ratio


def _draw(observations: Sequence[Observation]) -> Figure:
    """Distinctness against the learning rate, and against the reward that it buys."""
    methods, rates = in_order(names_along(observations, "method")), numbers_along(observations, "learning_rate")
    figure, [[left, right]] = grid(1, 2, height=3.4, sharex=False)
    for method in reversed(methods):
        own = select(observations, method=method)
        sweep(left, along(own, "learning_rate", "final_distinctness"), look(method))
        path(right, own, knob="learning_rate", across="final_reward", up="final_distinctness", look=look(method))
    starts = [one.outcome.curve.distinctness[0] for one in observations if one.outcome.curve is not None]
    base = estimate(starts)
    for axes in (left, right):
        if base is not None:
            axes.axhline(base.mean, color=FAINT, linewidth=0.8, linestyle=(0, (2, 2)))
            axes.annotate(
                "base policy",
                (1, base.mean),
                xycoords=("axes fraction", "data"),
                xytext=(-2, 2),
                textcoords="offset points",
                ha="right",
                color=FAINT,
                fontsize=7.5,
            )
    left.set_xscale("log")
    left.set_xticks(rates, [f"{rate:g}" for rate in rates])
    left.minorticks_off()
    left.set_xlabel("learning rate of Adam (nats of a logit)")
    left.set_ylabel("distinctness after the last step")
    right.locator_params(axis="x", nbins=6)
    right.set_xlabel("final reward (0 base policy, 1 optimum)")
    return finished(figure, [[left, right]], methods)


def _effects(observations: Sequence[Observation]) -> list[Effect]:
    """Distinctness of SDPO over that of each baseline at equal learning rate."""
    found = []
    for rate in numbers_along(observations, "learning_rate"):
        here = select(observations, learning_rate=rate)
        own = by_seed(select(here, method="sdpo"), "final_distinctness")
        for method in filter(is_baseline, in_order(names_along(here, "method"))):
            others = by_seed(select(here, method=method), "final_distinctness")
            quantity = f"distinctness: SDPO / {label_of(method)}, equal learning rate"
            found.append(Effect(f"learning rate {rate:g}", quantity, paired_ratio(own, others)))
    return found


FIGURE = ReportFigure(
    name="diversity",
    experiment="F04",
    title="Diversity",
    question="How much diversity does each method give up, at equal learning rate and at equal reward?",
    caption=(
        "Distinctness is the chance that two completions differ at a position. Left: against the learning rate, "
        "which is the same number for all methods. Right: the same runs against their final reward, each line going "
        "from the lowest to the highest rate; higher at the same reward is better. Scalar feedback, means with 95 % "
        "intervals. The two panels can have opposite signs, and with the bundled methods they have: at one rate SDPO "
        "is less diverse than a policy gradient (left, which is F04's sentence), at one reward it is more so "
        "(right). A ratio of distinctness depends on the operating point, so the table gives it at every shared "
        "learning rate."
    ),
    draw=_draw,
    effects=_effects,
)
