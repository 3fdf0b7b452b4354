"""Published numbers beside ours: the marks for them, rows of cells with them, and their table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sdpo_ref.simulation.method import Look
from sdpo_ref.study.experiment import Label, Observation
from sdpo_ref.study.observations import by_seed, select
from sdpo_ref.study.report.figures.figure import Effect
from sdpo_ref.study.report.figures.marks import row, zero
from sdpo_ref.study.report.figures.panels import finished, grid
from sdpo_ref.study.report.figures.style import INK
from sdpo_ref.study.report.outside import Published

NOUNS: Mapping[str, str] = {
    "final_reward": "final reward",
    "final_entropy": "entropy (nats)",
    "credit": "credit",
    "credit_of_gradient": "credit of the gradient",
    "weight_first": "weight, first step",
    "weight_last": "weight, last 20 steps",
}
"""Metric to the title of its axis."""

READ = (
    "Filled marks are our means over seeds with 95 % intervals, small dots single seeds; hollow diamonds are the "
    "published numbers, mostly of one seed, so look whether they lie among the dots."
)
"""Goes into captions of figures with rows and published numbers."""


@dataclass(frozen=True)
class Cell:
    """A row: one cell of an experiment.

    Attributes:
        name: beside the row.
        labels: that single out the cell.
        look: of its marks.
    """

    name: str
    labels: Mapping[str, Label]
    look: Look


@dataclass(frozen=True)
class Column:
    """A panel of rows.

    Attributes:
        title: of its axis.
        values: of a cell, seed to value; empty for a row that has none here.
        published: numbers about a cell.
        line: where a thin line stands.
    """

    title: str
    values: Callable[[Cell], Mapping[int, float]]
    published: Callable[[Cell], Sequence[Published]] = lambda _cell: ()
    line: float | None = None


def diamond(axes: Axes, across: float, up: float) -> None:
    """The mark of a published number.

    Args:
        axes: to draw in.
        across: its place.
        up: its place.
    """
    axes.plot(
        [across],
        [up],
        linestyle="none",
        marker="D",
        markersize=4.6,
        markeredgecolor=INK,
        markerfacecolor="none",
        markeredgewidth=1.0,
        zorder=5,
    )


def diamonds(axes: Axes, numbers: Sequence[Published], axis: str) -> None:
    """Published numbers along a labelled axis.

    Args:
        axes: to draw in.
        numbers: whose cells have a place on the axis.
        axis: name of the label.
    """
    for one in numbers:
        diamond(axes, float(one.cell[axis]), one.middle)


def numbers(published: Sequence[Published], experiment: str, metric: str, kind: str = "value") -> list[Published]:
    """The published numbers of one kind about one metric of an experiment, spreads over seeds left out.

    Args:
        published: all.
        experiment: that they belong to.
        metric: that they are of.
        kind: as in :attr:`Published.kind`.
    """
    of = [one for one in published if (one.experiment, one.metric, one.kind) == (experiment, metric, kind)]
    return [one for one in of if one.statistic == "mean"]


def column(
    observations: Sequence[Observation],
    metric: str,
    published: Sequence[Published] = (),
    *,
    title: str | None = None,
    line: float | None = None,
) -> Column:
    """A panel with one metric of each cell, and what is published about that cell.

    Args:
        observations: of one experiment.
        metric: on the axis.
        published: numbers of this metric.
        title: of the axis; by default the metric's.
        line: where a thin line stands.
    """
    return Column(
        NOUNS[metric] if title is None else title,
        lambda cell: by_seed(select(observations, **cell.labels), metric),
        lambda cell: [one for one in published if one.cell.items() <= cell.labels.items()],
        line,
    )


def rows(cells: Sequence[Cell], panels: Sequence[Column], *, gaps: Sequence[int] = (), unit: float = 0.2) -> Figure:
    """A figure with a row for each cell and a panel for each column, on one vertical axis.

    Args:
        cells: from top to bottom.
        panels: from left to right.
        gaps: before which rows there is a space.
        unit: height of a row, in inches.
    """
    places = [float(number + 0.5 * sum(gap <= number for gap in gaps)) for number in range(len(cells))]
    figure, [drawn] = grid(1, len(panels), height=1.0 + unit * (places[-1] + 1.2), sharex=False)
    marked = False
    for axes, panel in zip(drawn, panels, strict=True):
        for place, cell in zip(places, cells, strict=True):
            row(axes, place, panel.values(cell), cell.look)
            for one in panel.published(cell):
                diamond(axes, one.middle, place)
                marked = True
        if panel.line is not None:
            zero(axes, upright=True, at=panel.line)
        axes.set_xlabel(panel.title)
        axes.grid(visible=False, axis="y")
        axes.locator_params(axis="x", nbins=5)
    drawn[0].set_yticks(places, [cell.name for cell in cells])
    drawn[0].set_ylim(places[-1] + 0.6, -0.6)
    return finished(figure, [drawn], ["published"] if marked else None)


def published_effects(
    observations: Sequence[Observation], published: Sequence[Published], experiment: str
) -> list[Effect]:
    """Our number beside every published one, with what became of that.

    Args:
        observations: of the experiment.
        published: numbers of all experiments.
        experiment: whose numbers are asked for.
    """
    return [
        Effect(
            f"{one.table} {one.name}",
            NOUNS[one.metric] if one.statistic == "mean" else f"{NOUNS[one.metric]}, standard deviation over seeds",
            one.ours(observations),
            f"published {one.words}" + (f": {one.verdict}" if one.verdict else ""),
        )
        for one in published
        if one.experiment == experiment
    ]
