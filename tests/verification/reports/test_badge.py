"""The badge has its denominator and its limits, and is green for what is conformant only."""

import json
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.verification.reports.badge import badge_as_json, badge_as_svg
from sdpo_ref.verification.status import Status
from tests.verification.reports.examples import claim, document, fields, requirement

WAIVER = {"id": "A-005", "reason": "known", "link": "https://example.org", "expires": "2027-01-31"}


def verdict(exit_code: int, *, conformant: bool = False, partial: bool = False) -> dict[str, Any]:
    """A document's verdict."""
    changes = {"exit_code": exit_code, "conformant": conformant, "partial": partial}
    return {**fields()["verdict"], **changes}


PASS, FAIL, NA = requirement("A-001"), requirement("A-002", Status.FAIL), requirement("A-003", Status.NA)
OPEN, WAIVED = requirement("A-004", Status.NOT_RUN), requirement("A-005", Status.XFAIL, waiver=WAIVER)
SHOULD = requirement("A-006", Status.FAIL, strength="SHOULD")
SMOKE = {"profile": "smoke", "legend": [], "verdicts": [claim()]}


@pytest.mark.parametrize(
    ("found", "changes", "message", "color"),
    [
        ([PASS, SHOULD], {"verdict": verdict(0, conformant=True)}, "1/1 MUST", "brightgreen"),
        ([PASS, NA], {"verdict": verdict(0, conformant=True)}, "1/1 MUST, 1 not offered", "brightgreen"),
        ([PASS, FAIL, OPEN], {"verdict": verdict(1)}, "1/3 MUST, 1 failed, 1 not decided", "red"),
        ([PASS], {"verdict": verdict(0, partial=True)}, "partial run, 1/1 MUST", "lightgrey"),
        ([PASS], {"verdict": verdict(0), "claims": SMOKE}, "partial run, 1/1 MUST", "lightgrey"),
        ([PASS, WAIVED], {"verdict": verdict(0)}, "1/2 MUST, 1 waived", "yellow"),
        ([PASS, WAIVED], {"verdict": verdict(0, conformant=True)}, "1/2 MUST, 1 waived", "yellow"),
        ([PASS, WAIVED], {"verdict": verdict(0, partial=True)}, "partial run, 1/2 MUST, 1 waived", "yellow"),
        ([PASS, OPEN], {"verdict": verdict(3)}, "inconclusive, 1/2 MUST, 1 not decided", "yellow"),
        ([PASS], {"verdict": verdict(4)}, "invalid run, 1/1 MUST", "lightgrey"),
        ([OPEN], {"verdict": verdict(5)}, "incomplete, 0/1 MUST, 1 not decided", "lightgrey"),
        ([PASS], {"verdict": verdict(2)}, "1/1 MUST", "red"),
    ],
)
def test_what_it_says(found: list[dict[str, Any]], changes: dict[str, Any], message: str, color: str) -> None:
    """A SHOULD does not count, and what is not offered is not in the denominator."""
    badge = json.loads(badge_as_json(document(*found, **changes)))
    assert badge == {"schemaVersion": 1, "label": "SDPO spec 0.2", "message": message, "color": color}


@given(statuses=st.lists(st.sampled_from(Status), min_size=1, max_size=4), waived=st.booleans())
def test_green_is_for_what_passes(statuses: list[Status], *, waived: bool) -> None:
    """Green exactly if every MUST that applies passes without a waiver, though the verdict says that all is well."""
    found = [requirement(f"A-00{at}", it, waiver=WAIVER if waived else None) for at, it in enumerate(statuses)]
    badge = json.loads(badge_as_json(document(*found, verdict=verdict(0, conformant=True))))
    good = {Status.NA} if waived else {Status.PASS, Status.NA}
    assert (badge["color"] == "brightgreen") is good.issuperset(statuses)
    applicable = len(statuses) - statuses.count(Status.NA)
    assert f"{statuses.count(Status.PASS)}/{applicable} MUST" in badge["message"]


@given(exit_code=st.integers(0, 5), conformant=st.booleans())
def test_green_is_for_what_conforms(exit_code: int, *, conformant: bool) -> None:
    """Never for another verdict, though every requirement in the document passes."""
    badge = json.loads(badge_as_json(document(PASS, verdict=verdict(exit_code, conformant=conformant))))
    assert (badge["color"] == "brightgreen") is (conformant and exit_code == 0)


def test_the_picture_needs_nothing_else() -> None:
    """It is SVG with the same text, also for screen readers, and has no address."""
    shown = badge_as_svg(document(PASS, verdict=verdict(0, conformant=True)))
    root = ET.fromstring(shown)  # noqa: S314 - written by ourselves
    assert root.get("aria-label") == "SDPO spec 0.2: 1/1 MUST"
    assert [it.text for it in root if it.tag.endswith("text")] == ["SDPO spec 0.2", "1/1 MUST"]
    assert shown.count("http") == 1
