"""What is listed as changed, and what counts as worse."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.verification.reports.diff import Kind, difference
from sdpo_ref.verification.status import Status
from tests.verification.reports.examples import document, everything, fields, read, requirement

MADE = fields()["implementation"]


@pytest.mark.parametrize(
    ("before", "now", "kind", "worse"),
    [
        (Status.PASS, Status.FAIL, Kind.FAILING, True),
        (Status.PASS, Status.ERROR, Kind.FAILING, True),
        (Status.PASS, Status.NOT_RUN, Kind.UNDECIDED, True),
        (Status.PASS, Status.INVALID, Kind.UNDECIDED, True),
        (Status.PASS, Status.NA, Kind.GONE, True),
        (Status.PASS, Status.XFAIL, Kind.FAILING, False),
        (Status.FAIL, Status.PASS, Kind.PASSING, False),
        (Status.NOT_RUN, Status.FAIL, Kind.FAILING, False),
        (Status.NA, Status.FAIL, Kind.APPLIES, False),
        (Status.NA, Status.PASS, Kind.APPLIES, False),
        (Status.FAIL, Status.ERROR, Kind.OTHER, False),
        (Status.FAIL, Status.XFAIL, Kind.OTHER, False),
        (Status.XFAIL, Status.XPASS, Kind.PASSING, False),
        (Status.FAIL, Status.NOT_RUN, Kind.UNDECIDED, False),
    ],
)
def test_what_became_of_a_requirement(before: Status, now: Status, kind: Kind, *, worse: bool) -> None:
    """A MUST that passed and does not any more is worse, whatever it is instead, unless it is waived."""
    found = difference(document(requirement("A-001", before)), document(requirement("A-001", now)))
    assert [change.kind for change in found.changes] == [kind]
    assert found.is_worse is worse
    assert f"{kind}: A-001 MUST, {before} -> {now}" in found.lines()


def test_a_should_is_never_worse() -> None:
    """It is shown."""
    old, new = (document(requirement("A-001", it, strength="SHOULD")) for it in (Status.PASS, Status.FAIL))
    assert not difference(old, new).is_worse
    assert difference(old, new).changes


def test_a_report_does_not_differ_from_itself() -> None:
    """Whatever it holds."""
    found = difference(read(everything()), read(everything()))
    sentence = "a sentence"
    assert found.lines() == [f"before: {sentence}", f"now:    {sentence}", "no requirement changed its status"]


@given(before=st.sampled_from(Status), now=st.sampled_from(Status))
def test_every_change_of_status_is_shown(before: Status, now: Status) -> None:
    """Exactly once, in either direction; it is not worse both ways."""
    old, new = document(requirement("A-001", before)), document(requirement("A-001", now))
    assert len(difference(old, new).changes) == len(difference(new, old).changes) == (before is not now)
    assert not (difference(old, new).is_worse and difference(new, old).is_worse)


def test_what_only_one_run_selected_is_not_compared() -> None:
    """A requirement of another specification is new or removed; one that was left out is neither."""
    old = document(requirement("A-001"), requirement("A-002"), requirement("A-003"), not_selected={"A-004": "MUST"})
    changed = (requirement("A-001", Status.FAIL), requirement("A-004", Status.FAIL), requirement("A-005"))
    new = document(*changed, not_selected={"A-002": "MUST"})
    found = difference(old, new)
    assert (found.added, found.removed) == (("A-005",), ("A-003",))
    assert (found.only_before, found.only_now) == (("A-002",), ("A-004",))
    assert [change.requirement.id for change in found.changes] == ["A-001"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"versions": {**fields()["versions"], "spec": "0.3"}}, "version of spec: 0.2 -> 0.3"),
        ({"versions": {"suite": "0.1.0", "spec": "0.2", "python": "3.12.0"}}, "version of torch: 2.13.0 -> none"),
        (
            {"implementation": {**MADE, "spec": "b:make"}},
            "implementation: my_sdpo:make -> b:make",
        ),
        ({"implementation": {**MADE, "capabilities": ["loss"]}}, "now offered: loss"),
        (
            {"implementation": {**MADE, "profile": {"aggregation": "token_mean"}}},
            "profile: aggregation: row_mean -> token_mean",
        ),
        ({"requirements": [requirement(sentence="Reworded.")]}, "reworded: LOSS-001"),
    ],
)
def test_what_was_verified_with_what(changes: dict[str, Any], line: str) -> None:
    """Versions, declarations and sentences explain why something changed."""
    assert line in difference(document(), document(**changes)).lines()
