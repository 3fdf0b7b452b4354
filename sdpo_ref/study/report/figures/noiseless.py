"""Rewards at each learning rate when ratings have no noise, on a steep scale and on a flat one (R03)."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from matplotlib.figure import Figure

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import names_along, numbers_along, select
from sdpo_ref.study.report.figures.comparisons import advantage_effect, along, by_regime
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.report.figures.marks import sweep
from sdpo_ref.study.report.figures.panels import finished, grid
from sdpo_ref.study.report.figures.style import in_order, label_of, look


def _draw(observations: Sequence[Observation]) -> Figure:
    """A panel for each regime and slope, the learning rate along it."""
    settings, methods = list(_settings(observations)), in_order(names_along(observations, "method"))
    rates = numbers_along(observations, "learning_rate")
    figure, [panels] = grid(1, len(settings), height=3.0)
    for axes, (regime, slope, here) in zip(panels, settings, strict=True):
        for method in reversed(methods):
            sweep(axes, along(select(here, method=method), "learning_rate", "final_reward"), look(method))
        axes.set_title(f"{regime}, slope {slope:g}")
        axes.set_xscale("log")
        axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
        axes.minorticks_off()
    panels[0].set_ylabel("final reward (0 base policy, 1 optimum)")
    figure.supxlabel("learning rate of Adam (nats of a logit)")
    return finished(figure, [panels], methods)


def _effects(observations: Sequence[Observation]) -> list[Effect]:
    """SDPO at each learning rate against the baseline that is best at any."""
    found = []
    for regime, slope, here in _settings(observations):
        baselines = [_with_rate(one) for one in here if one.labels["method"] != "sdpo"]
        for rate in numbers_along(here, "learning_rate"):
            own = select(here, method="sdpo", learning_rate=rate)
            setting = f"{regime}, slope {slope:g}, SDPO at learning rate {rate:g}"
            found.append(advantage_effect([*own, *baselines], "final_reward", setting=setting, noun="final reward"))
    return found


def _settings(observations: Sequence[Observation]) -> Iterator[tuple[str, float, list[Observation]]]:
    """Observations of each regime at each slope, the steep one first."""
    slopes = reversed(numbers_along(observations, "slope"))
    for (regime, here), slope in itertools.product(by_regime(observations), slopes):
        yield regime, slope, select(here, slope=slope)


def _with_rate(seen: Observation) -> Observation:
    """Named after the method and its learning rate, so that each rate is a baseline of its own."""
    method, rate = str(seen.labels["method"]), float(seen.labels["learning_rate"])
    return replace(seen, labels={**seen.labels, "method": f"{label_of(method)} at {rate:g}"})


FIGURE = ReportFigure(
    name="noiseless",
    experiment="R03",
    title="Without noise",
    question="Who is ahead when ratings are exact, and does it hang on the end of the scale?",
    caption=(
        "Ratings have no noise. At slope 1 a good completion's rating lies near the end of the scale, where ratings of "
        "a group differ by less than a text can state; at slope 0.25 it lies inside. Means over seeds with 95 % "
        "intervals. The table compares SDPO at each learning rate with the baseline and the rate that have the highest "
        "mean in that setting; they are chosen on the same seeds, which is conservative against SDPO, and differences "
        "are paired by seed."
    ),
    draw=_draw,
    effects=_effects,
)
