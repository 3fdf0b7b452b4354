"""How everything looks: one colour, marker and line for each method, in every figure."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True)
class Look:
    """How one thing is drawn.

    Attributes:
        color: of Okabe and Ito's palette, or a grey.
        marker: tells it apart without colour.
        dashes: on and off lengths in line widths; empty for a solid line.
        filled: whether its markers are.
    """

    color: str
    marker: str
    dashes: tuple[float, ...] = ()
    filled: bool = True

    @property
    def face(self) -> str:
        """Fill of its markers."""
        return self.color if self.filled else "white"

    @property
    def line(self) -> Literal["-"] | tuple[float, tuple[float, ...]]:
        """Its line style, as matplotlib takes it."""
        return (0.0, self.dashes) if self.dashes else "-"


_VERMILLION, _PURPLE, _ORANGE, _BLUE, _SKY, _GREEN = "#D55E00", "#CC79A7", "#E69F00", "#0072B2", "#56B4E9", "#009E73"

LOOKS: Mapping[str, Look] = {
    "sdpo": Look(_VERMILLION, "o"),
    "hybrid": Look(_PURPLE, "s", (5.0, 1.5)),
    "gated": Look("#000000", "D", (3.0, 1.0, 1.0, 1.0)),
    "sdft": Look(_ORANGE, "^", (1.2, 1.2)),
    "reinforce": Look(_SKY, "v", (5.0, 1.5)),
    "rloo": Look(_BLUE, "s"),
    "span_rloo": Look(_BLUE, "s", (2.5, 1.2), filled=False),
    "grpo": Look(_GREEN, "P", (3.0, 1.0, 1.0, 1.0)),
    "ppo": Look("#4d4d4d", "X", (1.2, 1.2)),
    "dpo": Look("#8c8c8c", "d", (6.0, 2.0)),
    # Arms of SDPO, in its colour.
    "constant": Look(_VERMILLION, "v", (1.2, 1.2), filled=False),
    "deranged": Look(_VERMILLION, "D", (3.0, 1.0, 1.0, 1.0), filled=False),
    "weak reader": Look(_VERMILLION, "o", (5.0, 1.5), filled=False),
    "overconfident reader": Look(_VERMILLION, "X", (6.0, 2.0), filled=False),
    # Teachers.
    "live": Look(_VERMILLION, "o"),
    "ema": Look(_BLUE, "s"),
    "trust_region": Look(_GREEN, "P"),
    "frozen": Look("#4d4d4d", "X"),
    "frozen_difference": Look(_PURPLE, "D"),
    # Regimes, the richer the darker.
    "ordinal": Look("#9fb8cc", "^", (1.2, 1.2)),
    "scalar": Look("#6f93b3", "s", (5.0, 1.5)),
    "rubric": Look("#3a668c", "D", (3.0, 1.0, 1.0, 1.0)),
    "critique": Look("#0b2e4f", "o"),
    # What a reader's loadings are learned in.
    "embedding": Look(_VERMILLION, "o"),
    "token": Look(_VERMILLION, "o", (2.5, 1.2), filled=False),
}
"""Label to look. Whatever is not here is a third party's."""

ORDER = tuple(LOOKS)


def look(name: str) -> Look:
    """How a label is drawn; a third party's is brown, with a marker that depends on its name.

    Args:
        name: of a method, an arm, a teacher, a regime or a basis.
    """
    return LOOKS.get(name) or Look("#7a4a1e", "ph*8>"[zlib.crc32(name.encode()) % 5], (4.0, 1.0, 1.0, 1.0, 1.0, 1.0))


def in_order(names: list[str]) -> list[str]:
    """Known names in the order of :data:`LOOKS`, then the others as they came.

    Args:
        names: labels.

    Example:
        >>> in_order(["mine:make", "rloo", "sdpo"])
        ['sdpo', 'rloo', 'mine:make']
    """
    return sorted(names, key=lambda name: ORDER.index(name) if name in LOOKS else len(ORDER))


def spoken(name: str) -> str:
    """A label as people write it.

    Args:
        name: of a label.

    Example:
        >>> spoken("sdpo"), spoken("span_rloo"), spoken("frozen_difference"), spoken("a_b:make")
        ('SDPO', 'span RLOO', 'frozen difference', 'a_b:make')
    """
    if ":" in name:
        return name
    return " ".join(word.upper() if word in _ACRONYMS else word for word in name.split("_"))


_ACRONYMS = {"sdpo", "sdft", "rloo", "grpo", "ppo", "dpo", "reinforce", "ema"}
