"""One method's way through two metrics while a knob is turned."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from sdpo_ref.simulation.method import Look
from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import numbers_along, select
from sdpo_ref.study.report.figures.comparisons import mean_of
from sdpo_ref.study.report.figures.style import marked_line
from sdpo_ref.study.summary import Estimate

_CROWDED = 0.045
"""Distance between two stations, in widths of the panel, below which one number is left out."""


def stations(
    observations: Sequence[Observation], knob: str, across: str, up: str
) -> dict[float, tuple[Estimate, Estimate]]:
    """Setting of the knob to the two estimates there, ascending."""
    found = {}
    for value in numbers_along(observations, knob):
        here = select(observations, **{knob: value})
        first, second = mean_of(here, across), mean_of(here, up)
        if first is not None and second is not None:
            found[value] = (first, second)
    return found


def path(axes: Axes, observations: Sequence[Observation], *, knob: str, across: str, up: str, look: Look) -> None:
    """The stations joined by a line, with intervals both ways."""
    found = stations(observations, knob, across, up)
    if not found:
        return
    for first, second in found.values():
        axes.plot([first.low, first.high], [second.mean] * 2, color=look.color, linewidth=0.8)
        axes.plot([first.mean] * 2, [second.low, second.high], color=look.color, linewidth=0.8)
    means = [first.mean for first, _ in found.values()], [second.mean for _, second in found.values()]
    axes.plot(*means, **marked_line(look, size=4.5))


def annotate(axes: Axes, found: Mapping[float, tuple[Estimate, Estimate]], look: Look, *, above: bool) -> None:
    """The setting of the knob beside each station, but for one that would stand on the one before.

    Args:
        axes: in which all paths are drawn already.
        found: stations.
        look: colour.
        above: whether the numbers stand above the path, to the right, or below it, to the left.
    """
    last: tuple[float, float] | None = None
    for value, (first, second) in found.items():
        across, up = axes.transLimits.transform((first.mean, second.mean))
        if last is not None and math.hypot(across - last[0], up - last[1]) < _CROWDED:
            continue
        last = (across, up)
        axes.annotate(
            f"{value:g}",
            (first.mean, second.mean),
            xytext=(5, 4) if above else (-5, -4),
            textcoords="offset points",
            ha="left" if above else "right",
            va="bottom" if above else "top",
            fontsize=7.5,
            color=look.color,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6},
        )
