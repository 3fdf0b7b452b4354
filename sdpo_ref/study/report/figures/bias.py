"""SDPO's advantage under every systematic bias of the oracle (F08)."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import names_along, numbers_along, select
from sdpo_ref.study.report.figures.comparisons import BEST_BASELINE, Advantage, advantage, advantage_effect, by_regime
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.report.figures.marks import zero
from sdpo_ref.study.report.figures.panels import columns, finished
from sdpo_ref.study.report.figures.style import FAINT, INK, label_of, look
from sdpo_ref.study.summary import Estimate, paired_difference

_UNBIASED = "none"


def _draw(observations: Sequence[Observation]) -> Figure:
    """A bar for each bias and strength, darker with the strength; a panel for each regime."""
    bars = {regime: _cells(here) for regime, here in by_regime(observations)}
    figure, panels = columns([len(cells) + 0.6 for cells in bars.values()], unit=0.19, extra=0.33)
    for axes, (regime, cells) in zip(panels, bars.items(), strict=True):
        for place, ((bias, strength), here) in enumerate(cells.items()):
            found = advantage(here, "final_reward")
            if found is not None:
                _bar(axes, float(place), found.difference, _shade([key for key in cells if key[0] == bias], strength))
                if bias == _UNBIASED:
                    axes.axvline(found.difference.mean, color=FAINT, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0.5)
        zero(axes, upright=True)
        axes.set_title(regime)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_yticks(range(len(cells)), [_row_name(*key) for key in cells])
        axes.set_ylim(len(cells) - 0.3, -0.7)
    figure.supxlabel("final reward: SDPO − best baseline")
    return finished(figure, [panels])


def _cells(observations: Sequence[Observation]) -> dict[tuple[str, float], list[Observation]]:
    """Observations of one regime by bias and strength, in the order of the experiment."""
    return {
        (bias, strength): select(observations, bias=bias, strength=strength)
        for bias in names_along(observations, "bias")
        for strength in numbers_along(select(observations, bias=bias), "strength")
    }


def _row_name(bias: str, strength: float) -> str:
    return "no bias" if bias == _UNBIASED else f"{label_of(bias)} {strength:g}"


def _bar(axes: Axes, place: float, found: Estimate, color: tuple[float, float, float]) -> None:
    axes.barh(place, found.mean, height=0.72, color=color, edgecolor=INK, linewidth=0.4)
    if found.half_width is not None:
        axes.plot([found.low, found.high], [place, place], color=INK, linewidth=1.0)


def _shade(cells: Sequence[tuple[str, float]], strength: float) -> tuple[float, float, float]:
    """SDPO's colour, the weaker the paler; one strength alone is in the middle, and no bias is white."""
    if cells[0][0] == _UNBIASED:
        return 1.0, 1.0, 1.0
    rank = [its for _, its in cells].index(strength)
    share = (rank + 1) / (len(cells) + 1)
    red, green, blue = (1 - share * (1 - part) for part in to_rgb(look("sdpo").color))
    return red, green, blue


def _effects(observations: Sequence[Observation]) -> list[Effect]:
    """Advantage under each bias, and its change from no bias to the strongest positivity."""
    found = []
    for regime, here in by_regime(observations):
        cells = _cells(here)
        for (bias, strength), cell in cells.items():
            setting = f"{regime}, {_row_name(bias, strength)}"
            found.append(advantage_effect(cell, "final_reward", setting=setting, noun="final reward"))
        strongest = max((strength for bias, strength in cells if bias == "positivity"), default=None)
        if strongest is not None and (_UNBIASED, 0.0) in cells:
            growth = _growth(
                *(advantage(cells[key], "final_reward") for key in (("positivity", strongest), (_UNBIASED, 0.0)))
            )
            quantity = f"advantage under positivity {strongest:g} − advantage without bias"
            found.append(Effect(regime, quantity, growth))
    return found


def _growth(later: Advantage | None, earlier: Advantage | None) -> Estimate | None:
    return None if later is None or earlier is None else paired_difference(later.by_seed, earlier.by_seed)


FIGURE = ReportFigure(
    name="bias",
    experiment="F08",
    title="Biases of the oracle",
    question="Does the advantage survive raters who are wrong in a systematic way?",
    caption=(
        "Each bar is SDPO's final reward minus that of the best baseline under one bias at one strength; the dashed "
        "line is the advantage without bias. The reward that is measured is the true one; only the judgements are "
        f"biased. Means over seeds with 95 % intervals. {BEST_BASELINE}"
    ),
    draw=_draw,
    effects=_effects,
)
