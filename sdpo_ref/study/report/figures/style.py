"""How everything looks: one colour, marker and line for each method, in every figure."""

import zlib
from collections.abc import Mapping
from typing import Any

from sdpo_ref.simulation.method import BLUE, GREEN, PURPLE, VERMILLION, Look
from sdpo_ref.simulation.methods import METHODS

WIDTH = 7.3
"""Of a figure, in inches; at 700 pixels one point is 1.33 pixels."""

INK = "#222222"
FAINT = "#8a8a8a"
GRID = "#e4e4e4"

RC: Mapping[str, object] = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.unicode_minus": True,
    "figure.facecolor": "white",
    "figure.labelsize": 8.5,
    "font.family": "sans-serif",
    # Verdana and DejaVu Sans have nearly the same widths, so text keeps its place on machines that have only one.
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Geneva"],
    "font.size": 8,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "lines.linewidth": 1.3,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "xtick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "xtick.minor.visible": False,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 7.5,
    "ytick.major.size": 2.5,
    "ytick.major.width": 0.6,
}
"""Over matplotlib's defaults and not over the user's settings, so that the same data give the same bytes."""


LOOKS: Mapping[str, Look] = {
    **{arm.name: arm.look for method in METHODS.values() for arm in method.arms},
    # Arms of SDPO, in its colour.
    "constant": Look(VERMILLION, "v", (1.2, 1.2), filled=False),
    "deranged": Look(VERMILLION, "D", (3.0, 1.0, 1.0, 1.0), filled=False),
    "weak reader": Look(VERMILLION, "o", (5.0, 1.5), filled=False),
    "overconfident reader": Look(VERMILLION, "X", (6.0, 2.0), filled=False),
    "constant feedback": Look(VERMILLION, "v", (1.2, 1.2), filled=False),
    "untold teacher": Look(VERMILLION, "s", (3.0, 1.0, 1.0, 1.0), filled=False),
    "told .15": Look(VERMILLION, "s", (4.0, 1.5), filled=False),
    # Teachers.
    "live": Look(VERMILLION, "o"),
    "ema": Look(BLUE, "s"),
    "trust_region": Look(GREEN, "P"),
    "frozen": Look("#4d4d4d", "X"),
    "frozen_difference": Look(PURPLE, "D"),
    # Regimes, the richer the darker.
    "binary": Look("#c9d6e0", "v", (6.0, 2.0)),
    "ordinal": Look("#9fb8cc", "^", (1.2, 1.2)),
    "scalar": Look("#6f93b3", "s", (5.0, 1.5)),
    "rubric": Look("#3a668c", "D", (3.0, 1.0, 1.0, 1.0)),
    "critique": Look("#0b2e4f", "o"),
    # What a reader's loadings are learned in.
    "embedding": Look(VERMILLION, "o"),
    "token": Look(VERMILLION, "o", (2.5, 1.2), filled=False),
    # What a publication printed, beside ours.
    "published": Look(INK, "D", filled=False),
}
"""Label to look. Whatever is not here is a third party's."""

ORDER = tuple(LOOKS)


def look(name: str) -> Look:
    """How a label is drawn; a third party's is brown, with a marker that depends on its name.

    Args:
        name: of a method, an arm, a teacher, a regime or a basis.
    """
    return LOOKS.get(name) or Look("#7a4a1e", "ph*8>"[zlib.crc32(name.encode()) % 5], (4.0, 1.0, 1.0, 1.0, 1.0, 1.0))


def marked_line(its: Look, *, size: float) -> dict[str, Any]:
    """A line with markers, as keywords of matplotlib."""
    line = {"color": its.color, "linestyle": its.line}
    return {**line, "marker": its.marker, "markersize": size, "markerfacecolor": its.face}


def in_order(names: list[str]) -> list[str]:
    """Known names in the order of :data:`LOOKS`, then the others as they came.

    Args:
        names: labels.

    Example:
        >>> in_order(["mine:make", "rloo", "sdpo"])
        ['sdpo', 'rloo', 'mine:make']
    """
    return sorted(names, key=lambda name: ORDER.index(name) if name in LOOKS else len(ORDER))


def label_of(name: str) -> str:
    """A label as it is written in figures.

    Args:
        name: of a label.

    Example:
        >>> label_of("sdpo"), label_of("span_rloo"), label_of("frozen_difference"), label_of("a_b:make")
        ('SDPO', 'span RLOO', 'frozen difference', 'a_b:make')
    """
    return _LABELS.get(name) or (name if ":" in name else name.replace("_", " "))


_LABELS = {arm.name: arm.label for method in METHODS.values() for arm in method.arms} | {
    "ema": "EMA",
}
