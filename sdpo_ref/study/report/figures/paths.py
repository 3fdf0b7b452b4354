"""One method's way through two metrics while a knob is turned."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.report.figures.style import Look
from sdpo_ref.study.selection import by_seed, numbers_along, select
from sdpo_ref.study.summary import Estimate, estimate


def stations(
    observations: Sequence[Observation], knob: str, across: str, up: str
) -> dict[float, tuple[Estimate, Estimate]]:
    """Setting of the knob to the two estimates there, ascending.

    Args:
        observations: of one method.
        knob: axis of the labels.
        across: metric.
        up: metric.
    """
    found = {}
    for value in numbers_along(observations, knob):
        here = select(observations, **{knob: value})
        first, second = (estimate(list(by_seed(here, metric).values())) for metric in (across, up))
        if first is not None and second is not None:
            found[value] = (first, second)
    return found


def path(
    axes: Axes,
    observations: Sequence[Observation],
    *,
    knob: str,
    across: str,
    up: str,
    look: Look,
    tell: Sequence[float] = (),
) -> None:
    """The stations joined by a line, with intervals both ways.

    Args:
        axes: to draw in.
        observations: of one method.
        knob: axis of the labels.
        across: metric on the horizontal axis.
        up: metric on the vertical axis.
        look: colour, marker and line.
        tell: settings of the knob that are written beside their station.
    """
    found = stations(observations, knob, across, up)
    if not found:
        return
    for first, second in found.values():
        axes.plot([first.low, first.high], [second.mean] * 2, color=look.color, linewidth=0.8)
        axes.plot([first.mean] * 2, [second.low, second.high], color=look.color, linewidth=0.8)
    axes.plot(
        [first.mean for first, _ in found.values()],
        [second.mean for _, second in found.values()],
        color=look.color,
        linestyle=look.line,
        marker=look.marker,
        markersize=4.5,
        markerfacecolor=look.face,
    )
    for value in tell:
        if value in found:
            place = (found[value][0].mean, found[value][1].mean)
            axes.annotate(f"{value:g}", place, xytext=(4, 4), textcoords="offset points", fontsize=7, color=look.color)
