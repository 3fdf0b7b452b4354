"""One group of completions, token by token: what each regime credits, beside the truth (F03)."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import select
from sdpo_ref.study.outcome import CreditMap
from sdpo_ref.study.report.figures.comparisons import by_regime
from sdpo_ref.study.report.figures.figure import ReportFigure, no_effects
from sdpo_ref.study.report.figures.panels import finished, grid
from sdpo_ref.study.report.figures.style import INK

_Matrix = npt.NDArray[np.float64]
_BOUND = 2.5
_COLORS = LinearSegmentedColormap.from_list("credit", ["#1f4e79", "#8fb3d1", "#ffffff", "#f2b277", "#c75000"])


def _draw(observations: Sequence[Observation]) -> Figure:
    """The truth, then what is credited, each standardised; a box marks the truly best quarter in all of them."""
    maps = list(_panels(observations))
    rows = (len(maps) + 1) // 2
    tall = max((len(shown.tokens) for _, shown, _ in maps), default=1)
    figure, panels = grid(rows, min(len(maps), 2), height=0.6 + rows * (0.35 + 0.21 * tall))
    flat = [axes for line in panels for axes in line]
    colored = None
    for axes, (title, shown, values) in zip(flat, maps, strict=False):
        axes.set_title(title)
        colored = _draw_map(axes, shown, values)
    for axes in flat[len(maps) :]:
        axes.remove()
    if colored is not None:
        bar = figure.colorbar(colored, ax=flat[: len(maps)], location="bottom", shrink=0.6, aspect=45, pad=0.03)
        bar.set_label("standard deviations from the mean of the map")
        bar.outline.set_visible(False)
        if bar.solids is not None:
            bar.solids.set(rasterized=False, edgecolor="face")
    for axes in flat[max(len(maps) - 2, 0) : len(maps)]:
        axes.set_xlabel("position in the completion")
    figure.supylabel("completion of the group")
    return finished(figure, [flat[: len(maps)]])


def _panels(observations: Sequence[Observation]) -> Iterator[tuple[str, CreditMap, tuple[tuple[float, ...], ...]]]:
    """Title, map and the values to colour; a truth that several regimes share stands there once."""
    shown: tuple[object, object] | None = None
    for regime, here in by_regime(observations):
        own = _first_map(select(here, method="sdpo"))
        if own is None:
            continue
        if (own.tokens, own.truth) != shown:
            shown = (own.tokens, own.truth)
            yield "truth: advantage of each token", own, own.truth
            broadcast = _first_map(select(here, method="rloo"))
            if broadcast is not None and broadcast.tokens == own.tokens:
                yield f"RLOO, {regime}: r = {_correlation(broadcast):.2f}", broadcast, broadcast.credit
        yield f"SDPO, {regime}: r = {_correlation(own):.2f}", own, own.credit


def _first_map(observations: Sequence[Observation]) -> CreditMap | None:
    """Of the lowest seed that has one."""
    for one in sorted(observations, key=lambda one: one.seed):
        if one.outcome.credit_map is not None and one.outcome.credit_map.tokens:
            return one.outcome.credit_map
    return None


def _draw_map(axes: Axes, shown: CreditMap, values: tuple[tuple[float, ...], ...]) -> QuadMesh:
    standardized = _standardized(_matrix(values))
    truth = _matrix(shown.truth)
    best = truth >= np.nanquantile(truth, 0.75)
    rows, columns = standardized.shape
    cells = axes.pcolormesh(standardized, cmap=_COLORS, vmin=-_BOUND, vmax=_BOUND, edgecolors="white", linewidth=0.4)
    axes.set_ylim(rows, 0)
    for row, tokens in enumerate(shown.tokens):
        for column, token in enumerate(tokens):
            value = standardized[row, column]
            axes.text(
                column + 0.5,
                row + 0.5,
                str(token),
                ha="center",
                va="center",
                fontsize=7,
                color="white" if value < -1.6 else INK,
                fontweight="bold" if value > 0 else "normal",
            )
            if best[row, column]:
                axes.add_patch(
                    Rectangle((column + 0.06, row + 0.08), 0.88, 0.84, fill=False, edgecolor=INK, linewidth=1.0)
                )
    axes.grid(visible=False)
    axes.set_xticks([place + 0.5 for place in range(columns)], [str(place + 1) for place in range(columns)])
    axes.set_yticks([place + 0.5 for place in range(rows)], [str(place + 1) for place in range(rows)])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return cells


def _matrix(rows: tuple[tuple[float, ...], ...]) -> _Matrix:
    """Rows below each other; NaN where one is shorter than the longest."""
    longest = max(len(row) for row in rows)
    return np.array([[*row, *[math.nan] * (longest - len(row))] for row in rows], dtype=np.float64)


def _standardized(values: _Matrix) -> _Matrix:
    """Zero mean and unit standard deviation; all zero for values that are equal."""
    centered: _Matrix = values - np.nanmean(values)
    spread = float(np.nanstd(values))
    return centered / spread if spread > 0 else centered


def _correlation(shown: CreditMap) -> float:
    product = _standardized(_matrix(shown.credit)) * _standardized(_matrix(shown.truth))
    return float(np.nanmean(product))


FIGURE = ReportFigure(
    name="credit_maps",
    experiment="F03",
    title="Credit maps",
    question="Which tokens of one and the same group of completions does each signal single out?",
    caption=(
        "The first prompt's completions of the first step, of the lowest seed. A cell is a token, with its id. "
        "Orange (id in bold) is above the mean of the map, blue below it. Boxes mark the truly best quarter of the "
        "tokens, in every map the same ones. A signal that assigns credit is orange inside the boxes; one that is "
        "broadcast has one colour for each row. r is the correlation with the truth in this map alone. One example, "
        "no estimate."
    ),
    draw=_draw,
    effects=no_effects,
)
