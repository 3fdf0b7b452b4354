"""What is drawn in a panel: estimates with intervals, along a line, as a band, or one below the other."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from sdpo_ref.simulation.method import Look
from sdpo_ref.study.report.figures.style import FAINT, marked_line
from sdpo_ref.study.summary import Estimate, estimate


def sweep(axes: Axes, points: Mapping[float, Estimate | None], look: Look, *, offset: float = 0.0) -> None:
    """Estimates along a number, joined by a line, each with its interval.

    Args:
        axes: to draw in.
        points: place to estimate; places without one are left out.
        look: colour, marker and line.
        offset: by which all places are moved, so that intervals do not hide each other.
    """
    present = {place: found for place, found in points.items() if found is not None}
    if not present:
        return
    places = [place + offset for place in present]
    axes.plot(places, [found.mean for found in present.values()], **marked_line(look, size=4.0))
    for place, found in zip(places, present.values(), strict=True):
        if found.half_width is not None:
            axes.plot([place, place], [found.low, found.high], color=look.color, linewidth=0.9)


def band(axes: Axes, places: Sequence[float], estimates: Sequence[Estimate], look: Look) -> None:
    """A densely measured curve with its interval as a band."""
    every = max(len(places) // 5, 1)
    axes.plot(places, [found.mean for found in estimates], **marked_line(look, size=3.5), markevery=every)
    if any(found.half_width is not None for found in estimates):
        low, high = [found.low for found in estimates], [found.high for found in estimates]
        axes.fill_between(places, low, high, color=look.color, alpha=0.18, linewidth=0)


def row(axes: Axes, height: float, values: Mapping[int, float], look: Look) -> None:
    """The mean of one cell with its interval, and each seed as a small dot below it.

    Args:
        axes: to draw in.
        height: place on the vertical axis; rows are one apart.
        values: seed to value.
        look: colour and marker.
    """
    found = estimate(list(values.values()))
    if found is None:
        return
    axes.plot(
        list(values.values()),
        [height + 0.26] * len(values),
        linestyle="none",
        marker=".",
        markersize=3.5,
        color=look.color,
        alpha=0.6,
        markeredgewidth=0,
    )
    if found.half_width is not None:
        axes.plot([found.low, found.high], [height, height], color=look.color, linewidth=1.6, solid_capstyle="butt")
    axes.plot([found.mean], [height], marker=look.marker, markersize=4.5, color=look.color, markerfacecolor=look.face)


def zero(axes: Axes, *, upright: bool = False, at: float = 0.0) -> None:
    """A thin line at no gain."""
    draw = axes.axvline if upright else axes.axhline
    draw(at, color=FAINT, linewidth=0.8, zorder=0.5)
