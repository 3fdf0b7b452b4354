"""How much single seeds scatter, and SDPO minus each method seed by seed (F11)."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import by_seed, names_along, select
from sdpo_ref.study.report.figures.comparisons import by_regime
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.report.figures.marks import row, zero
from sdpo_ref.study.report.figures.panels import finished, grid
from sdpo_ref.study.report.figures.style import in_order, label_of, look, marked_line
from sdpo_ref.study.summary import differences, estimate, standard_deviation

_APART = 0.09
"""Distance between the marks of two methods at a seed, in seeds."""


def _draw(observations: Sequence[Observation]) -> Figure:
    """Above the final reward of each seed, below paired differences, a column for each regime."""
    regimes, methods = list(by_regime(observations)), in_order(names_along(observations, "method"))
    others = [method for method in methods if method != "sdpo"]
    figure, panels = grid(2, len(regimes), height=5.2, sharex="row", sharey="row")
    for (above, below), (regime, here) in zip(zip(*panels, strict=True), regimes, strict=True):
        values = {method: by_seed(select(here, method=method), "final_reward") for method in methods}
        for place, method in enumerate(methods):
            shift = _APART * (place - (len(methods) - 1) / 2)
            seeds, rewards = [seed + shift for seed in values[method]], list(values[method].values())
            above.plot(seeds, rewards, **{**marked_line(look(method), size=4.0), "linestyle": "none"})
        for place, method in enumerate(others):
            row(below, float(place), differences(values.get("sdpo", {}), values[method]), look(method))
        zero(below, upright=True)
        below.grid(visible=False, axis="y")
        above.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        above.set_xlabel("seed")
        below.set_xlabel("SDPO − method")
        above.set_title(regime)
    panels[0][0].set_ylabel("final reward")
    panels[1][0].set_yticks(range(len(others)), [label_of(method) for method in others])
    panels[1][0].set_ylim(len(others) - 0.4, -0.5)
    return finished(figure, panels, methods)


def _effects(observations: Sequence[Observation]) -> list[Effect]:
    """SDPO's mean in each regime, with every method's standard deviation and the count of ended runs as a note."""
    found = []
    for regime, here in by_regime(observations):
        rewards = {
            method: list(by_seed(select(here, method=method), "final_reward").values())
            for method in in_order(names_along(here, "method"))
        }
        spreads = {method: standard_deviation(values) for method, values in rewards.items()}
        listed = ", ".join(f"{label_of(name)} {spread:.3f}" for name, spread in spreads.items() if spread is not None)
        ended = sum(one.outcome.error is not None for one in here)
        note = f"standard deviations over seeds: {listed or 'need two seeds'}; {ended} of {len(here)} runs ended early"
        found.append(Effect(regime, "final reward: SDPO", estimate(rewards.get("sdpo", [])), note))
    return found


FIGURE = ReportFigure(
    name="seeds",
    experiment="F11",
    title="Seeds",
    question="Does the order of the methods hold in single seeds?",
    caption=(
        "A seed decides world, corpus, oracle and run, and is the same for all methods. Above: final reward of each "
        "seed, the methods side by side. Below: SDPO minus each method, seed by seed (small dots), with mean and 95 "
        "% interval; right of the line SDPO is ahead. About reward: a run that keeps its reward may still lose "
        "nearly all of its entropy (F12)."
    ),
    draw=_draw,
    effects=_effects,
)
