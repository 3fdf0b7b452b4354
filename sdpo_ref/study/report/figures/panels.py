"""Grids of panels with one legend, and panels of rows: one row for each method, teacher or arm."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import by_seed, names_along, select
from sdpo_ref.study.report.figures.marks import row, zero
from sdpo_ref.study.report.figures.style import FAINT, WIDTH, in_order, label_of, look, marked_line

Sharing = bool | Literal["none", "all", "row", "col"]
"""Which panels have an axis in common, as matplotlib's ``subplots`` takes it."""

_NO_LINE: Mapping[str, dict[str, Any]] = {"published": {"linestyle": "none"}}
"""Label to what its entry in a legend has in place of a line."""

Grid = list[list[Axes]]
"""Panels by row and column."""


def grid(
    rows: int, columns: int, *, height: float, sharex: Sharing = True, sharey: Sharing = True
) -> tuple[Figure, Grid]:
    """A figure of the report's width with equal panels.

    Args:
        rows: of panels.
        columns: of panels.
        height: of the figure, in inches.
        sharex: as matplotlib's ``subplots`` takes it.
        sharey: likewise.
    """
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.04)  # type: ignore[union-attr, call-arg]
    made = figure.subplots(max(rows, 1), max(columns, 1), squeeze=False, sharex=sharex, sharey=sharey)
    return figure, [list(row) for row in np.asarray(made)]


def columns(heights: Sequence[float], *, unit: float, extra: float) -> tuple[Figure, list[Axes]]:
    """A figure of the report's width with panels below each other on one horizontal axis.

    Args:
        heights: of the panels, in rows of text.
        unit: height of a row, in inches.
        extra: what a title takes, in inches.
    """
    figure = Figure(figsize=(WIDTH, 0.5 + sum(height * unit + extra for height in heights)), layout="constrained")
    made = figure.subplots(len(heights), 1, squeeze=False, sharex=True, height_ratios=list(heights))
    return figure, [axes for line in made for axes in line]


def finished(figure: Figure, panels: Grid, names: Sequence[str] | None = None) -> Figure:
    """The figure with a note in each panel that has no data, and one legend above all panels.

    Args:
        figure: whose panels are drawn.
        panels: of the figure.
        names: labels that are drawn somewhere in it, for the legend; without them there is none.
    """
    for axes in (one for line in panels for one in line):
        if not axes.has_data():
            axes.text(0.5, 0.5, "no finished runs", transform=axes.transAxes, ha="center", va="center", color=FAINT)
    if names is not None:
        ordered = in_order(list(names))
        handles = [Line2D([], [], **(marked_line(look(name), size=4.5) | _NO_LINE.get(name, {}))) for name in ordered]
        labels = [label_of(name) for name in ordered]
        figure.legend(handles, labels, loc="outside upper center", ncols=min(5, max(len(labels), 1)))
    return figure


def dot_panels(
    observations: Sequence[Observation], *, rows: str, metrics: Mapping[str, str], from_zero: bool
) -> Figure:
    """A figure with a column for each regime, a line of panels for each metric and a row for each label.

    Args:
        observations: of one experiment, distinguished by ``regime`` and the label of the rows.
        rows: axis whose values stand below each other.
        metrics: name to the title of its axis.
        from_zero: whether the axes reach to zero; marks that lie far from it are easier to distinguish without.
    """
    regimes, names = in_order(names_along(observations, "regime")), in_order(names_along(observations, rows))
    height = len(metrics) * (0.7 + 0.21 * len(names))
    figure, panels = grid(len(metrics), len(regimes), height=height, sharex="row")
    for line, (metric, title) in zip(panels, metrics.items(), strict=True):
        for axes, regime in zip(line, regimes, strict=True):
            here = select(observations, regime=regime)
            for place, name in enumerate(names):
                row(axes, float(place), by_seed(select(here, **{rows: name}), metric), look(name))
            if from_zero:
                zero(axes, upright=True)
            axes.set_xlabel(title)
            axes.grid(visible=False, axis="y")
            if line is panels[0]:
                axes.set_title(regime)
        line[0].set_yticks(range(len(names)), [label_of(name) for name in names])
        line[0].set_ylim(len(names) - 0.4, -0.5)
    return finished(figure, panels)
