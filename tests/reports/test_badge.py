"""A badge: green only for conformant, with all that it leaves out in its text."""

import json
from pathlib import Path
from typing import Any

import pytest

from sdpo_ref.reports.badge import badge, badge_text
from tests.reports.documents import document, requirement

WAIVED = requirement(status="XFAIL", waiver={"reason": "r", "link": "https://a.b", "expires": "2027-01-31"})


def verdict(**changed: Any) -> dict[str, Any]:
    """That of a document in which one MUST passes, with changes."""
    found: dict[str, Any] = json.loads(document(requirement()).verdict.model_dump_json())
    return found | changed


def test_conformant_is_green_with_its_denominator() -> None:
    """All that applies passes."""
    assert badge(document(requirement(), requirement("LOSS-004"))) == {
        "schemaVersion": 1,
        "label": "SDPO spec 0.2",
        "message": "2/2 MUST",
        "color": "brightgreen",
    }


@pytest.mark.parametrize(
    ("found", "message", "color"),
    [
        (document(requirement(status="FAIL"), requirement("LOSS-004")), "1/2 MUST, 1 failed", "red"),
        (document(requirement(), requirement("LOSS-004", "N/A")), "1/1 MUST, 1 n/a", "brightgreen"),
        (document(requirement(), verdict=verdict(conformant=False, partial=True)), "1/1 MUST, partial", "yellow"),
        (document(WAIVED, verdict=verdict(conformant=False)), "1/1 MUST, 1 waived", "yellow"),
        (document(requirement(), verdict=verdict(conformant=False, exit_code=3)), "1/1 MUST, undecided", "red"),
        (document(requirement(), verdict=verdict(conformant=False, exit_code=5)), "1/1 MUST, undecided", "red"),
    ],
)
def test_what_is_left_out_is_said(found: Any, message: str, color: str) -> None:
    """And nothing of it is green, unless the implementation simply offers less."""
    assert (badge(found)["message"], badge(found)["color"]) == (message, color)


def test_the_name_decides_the_form() -> None:
    """A picture, or what shields.io reads."""
    one = document(requirement())
    assert badge_text(one, Path("badge.svg")).startswith("<svg")
    assert json.loads(badge_text(one, Path("badge.json"))) == badge(one)
