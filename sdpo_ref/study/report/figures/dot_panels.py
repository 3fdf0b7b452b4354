"""Panels of rows: one row for each method, teacher or arm, one panel for each regime and metric."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.report.figures.marks import row, zero
from sdpo_ref.study.report.figures.panels import finish, grid
from sdpo_ref.study.report.figures.style import in_order, look, spoken
from sdpo_ref.study.selection import by_seed, names_along, select


def dot_panels(
    observations: Sequence[Observation], *, rows: str, metrics: Mapping[str, str], from_zero: bool
) -> Figure:
    """A figure with a column for each regime, a line of panels for each metric and a row for each label.

    Args:
        observations: of one experiment, told apart by ``regime`` and the label of the rows.
        rows: axis whose values stand below each other.
        metrics: name to the title of its axis.
        from_zero: whether the axes reach to zero; marks that lie far from it are easier to tell apart without.
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
        line[0].set_yticks(range(len(names)), [spoken(name) for name in names])
        line[0].set_ylim(len(names) - 0.4, -0.5)
    finish(panels)
    return figure
