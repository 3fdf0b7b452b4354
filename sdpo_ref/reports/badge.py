"""A badge that carries its denominator: the number alone would not say how much was asked."""

import html
import json
from collections.abc import Mapping
from pathlib import Path

from sdpo_ref.reports.document import Document
from sdpo_ref.verify.printable import printable

Badge = Mapping[str, str | int]
"""What shields.io calls an endpoint."""

_COLORS = {"brightgreen": "#2e7d32", "yellow": "#8d6e00", "red": "#b3261e"}
_EXIT_PASSED, _EXIT_FAILED = 0, 1
_LETTER = 6.6
_PADDING = 12


def badge(document: Document) -> Badge:
    """The badge as a shields.io endpoint.

    Green means conformant and nothing else; what is left out, waived or open is in the text.

    Args:
        document: of a run.

    Returns:
        Schema version, label, message and colour.
    """
    verdict, must = document.verdict, document.verdict.counts["MUST"]
    remarks = []
    if verdict.partial:
        remarks.append("partial")
    if must.not_applicable:
        remarks.append(f"{must.not_applicable} n/a")
    waived = sum(it.waiver is not None and it.strength == "MUST" for it in document.requirements)
    if waived:
        remarks.append(f"{waived} waived")
    failed = sum(it.status in {"FAIL", "ERROR"} and it.strength == "MUST" for it in document.requirements)
    if failed:
        remarks.append(f"{failed} failed")
    if verdict.exit_code not in {_EXIT_PASSED, _EXIT_FAILED}:
        remarks.append("undecided")
    passed = verdict.exit_code == _EXIT_PASSED
    return {
        "schemaVersion": 1,
        "label": f"SDPO spec {printable(document.versions.get('spec', '?'))}",
        "message": ", ".join([f"{must.passed}/{must.applicable} MUST", *remarks]),
        "color": "brightgreen" if verdict.conformant and passed else "yellow" if passed else "red",
    }


def badge_text(document: Document, path: Path) -> str:
    """The badge as a file: a picture if its name ends in ``.svg``, else the endpoint's JSON.

    Args:
        document: of a run.
        path: where it will be written.

    Returns:
        The content.
    """
    found = badge(document)
    return _svg(found) if path.suffix == ".svg" else json.dumps(found) + "\n"


def _svg(found: Badge) -> str:
    label, message = str(found["label"]), str(found["message"])
    left, right = (round(len(text) * _LETTER + _PADDING) for text in (label, message))
    title = html.escape(f"{label}: {message}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{title}">'
        f"<title>{title}</title>"
        f'<rect width="{left}" height="20" fill="#444"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{_COLORS[str(found["color"])]}"/>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="{left / 2}" y="14">{html.escape(label)}</text>'
        f'<text x="{left + right / 2}" y="14">{html.escape(message)}</text>'
        "</g></svg>\n"
    )
