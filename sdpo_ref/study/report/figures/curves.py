"""Learning curves of every method in every regime (F02)."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import names_along, select
from sdpo_ref.study.report.figures.comparisons import BEST_BASELINE, SAME_BASELINES, advantage_by_regime
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.report.figures.marks import band, zero
from sdpo_ref.study.report.figures.panels import finished, grid
from sdpo_ref.study.report.figures.style import in_order, look
from sdpo_ref.study.summary import Estimate, estimate


def _draw(observations: Sequence[Observation]) -> Figure:
    """Reward against the step, a panel for each regime, all on the same axes."""
    regimes, methods = in_order(names_along(observations, "regime")), in_order(names_along(observations, "method"))
    rows = (len(regimes) + 1) // 2
    figure, panels = grid(rows, min(len(regimes), 2), height=0.6 + 2.35 * rows)
    flat = [axes for line in panels for axes in line]
    for axes, regime in zip(flat, regimes, strict=False):
        for method in reversed(methods):
            points = mean_curve(select(observations, regime=regime, method=method))
            if points:
                band(axes, [float(step) for step in points], list(points.values()), look(method))
        zero(axes)
        axes.set_title(regime)
    for axes in flat[len(regimes) :]:
        axes.remove()
    figure.supxlabel("step")
    figure.supylabel("normalised reward (0 base policy, 1 optimum)")
    return finished(figure, [flat[: len(regimes)]], methods)


def mean_curve(observations: Sequence[Observation]) -> dict[int, Estimate]:
    """Step to mean reward over the seeds that were measured there.

    Args:
        observations: of one cell; runs that ended early are left out.
    """
    rewards: dict[int, list[float]] = {}
    for one in observations:
        if one.outcome.curve is not None and one.outcome.error is None:
            for step, reward in zip(one.outcome.curve.step, one.outcome.curve.reward, strict=True):
                rewards.setdefault(step, []).append(reward)
    found = {step: estimate(values) for step, values in sorted(rewards.items())}
    return {step: mean for step, mean in found.items() if mean is not None}


def _effects(observations: Sequence[Observation]) -> list[Effect]:
    """Advantage in area under the curve."""
    return advantage_by_regime(observations, "area", noun="area under the curve")


FIGURE = ReportFigure(
    name="curves",
    experiment="F02",
    title="Learning curves",
    question="Who learns fast, and who stays ahead?",
    caption=(
        "Exact normalised reward of the policy: 0 is the base policy, 1 the optimum of the world. Lines are means "
        "over seeds, bands 95 % intervals. The same rollouts and judgements for each method, paired by seed; every "
        "method at its own learning rate, tuned for the reward after the last step. The bundled SDFT is ahead of "
        "SDPO in scalar for about the first 60 steps, the hybrids from 50 to 80; neither learns from the scalar "
        f"alone, and F02 compares with those that do. {SAME_BASELINES} {BEST_BASELINE}"
    ),
    draw=_draw,
    effects=_effects,
)
