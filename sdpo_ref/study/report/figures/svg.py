"""A figure as SVG: the same bytes for the same data, and ids of its own so that several can stand in one page."""

import io
import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

import matplotlib.style

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.report.figures.figure import ReportFigure
from sdpo_ref.study.report.figures.style import RC

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
ET.register_namespace("", _SVG)
ET.register_namespace("xlink", _XLINK)


def svg(figure: ReportFigure, observations: Sequence[Observation]) -> str:
    """One figure as an ``<svg>`` element without declaration, to be saved or put into a page.

    Text stays text, so that it can be searched, read aloud and scaled; the fonts are named and not embedded.

    Args:
        figure: what to draw.
        observations: of its experiment, at least one of them finished.

    Returns:
        SVG 1.1, with a title and a description for those who cannot see it.
    """
    buffer = io.StringIO()
    with matplotlib.style.context(["default", {**RC, "svg.hashsalt": figure.name}]):
        figure.draw(observations).savefig(
            buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    root = ET.fromstring(buffer.getvalue())  # noqa: S314  # written three lines above
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    for element in root.iter():
        for name, value in element.attrib.items():
            element.set(name, _own(name, value, figure.name))
    _describe(root, figure)
    return ET.tostring(root, encoding="unicode")


def _own(name: str, value: str, prefix: str) -> str:
    """An attribute with the figure's name before every id that it gives or uses."""
    if name == "id":
        return f"{prefix}-{value}"
    if name == f"{{{_XLINK}}}href" and value.startswith("#"):
        return f"#{prefix}-{value[1:]}"
    return re.sub(r"url\(#", f"url(#{prefix}-", value)


def _describe(root: ET.Element, figure: ReportFigure) -> None:
    root.set("role", "img")
    root.set("aria-labelledby", f"{figure.name}-title {figure.name}-description")
    title = ET.Element(f"{{{_SVG}}}title", {"id": f"{figure.name}-title"})
    title.text = figure.title
    description = ET.Element(f"{{{_SVG}}}desc", {"id": f"{figure.name}-description"})
    description.text = f"{figure.question} {figure.caption}"
    root.insert(0, title)
    root.insert(1, description)
