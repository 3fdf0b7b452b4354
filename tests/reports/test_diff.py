"""What changed between two reports."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.reports.diff import Change, difference
from sdpo_ref.verify.status import Status
from tests.reports.documents import document, requirement

STATUS = st.sampled_from([str(status) for status in Status])


@pytest.mark.parametrize(
    ("before", "after", "worse", "better"),
    [
        ("PASS", "FAIL", True, False),
        ("PASS", "N/A", True, False),
        ("PASS", "", True, False),
        ("PASS", "INCONCLUSIVE", True, False),
        ("PASS", "XFAIL", True, False),
        ("N/A", "FAIL", True, False),
        ("", "FAIL", True, False),
        ("FAIL", "PASS", False, True),
        ("FAIL", "ERROR", False, False),
        ("N/A", "PASS", False, True),
        ("FAIL", "N/A", False, False),
    ],
)
def test_worse_and_better(before: str, after: str, *, worse: bool, better: bool) -> None:
    """A pass that is gone for whatever reason is worse: a skipped check hides as much as a failed one."""
    change = Change("LOSS-003", "MUST", before, after)
    assert (change.is_worse, change.is_better) == (worse, better)


@given(STATUS, STATUS)
def test_what_gets_worse_does_not_get_better(before: str, after: str) -> None:
    """In neither direction."""
    change = Change("LOSS-003", "MUST", before, after)
    assert not (change.is_worse and change.is_better)


def test_everything_that_changed_is_told_once() -> None:
    """Statuses with their direction, then versions and capabilities."""
    old = document(requirement("LOSS-001"), requirement("LOSS-002", "FAIL"), requirement("LOSS-003"))
    implementation = old.implementation.model_dump() | {"capabilities": ["divergence", "step"]}
    new = document(
        requirement("LOSS-001", "FAIL"),
        requirement("LOSS-002"),
        requirement("LOSS-004", "N/A"),
        implementation=implementation,
        versions={"suite": "0.2.0", "spec": "0.2"},
    )
    found = difference(old, new)
    assert found.must_got_worse
    assert found.lines() == [
        "worse: LOSS-001 MUST: PASS -> FAIL",
        "worse: LOSS-003 MUST: PASS -> not asked",
        "better: LOSS-002 MUST: FAIL -> PASS",
        "other: LOSS-004 MUST: not asked -> N/A",
        "suite: 0.1.0 -> 0.2.0",
        "no longer offered: loss",
        "newly offered: step",
    ]


def test_a_should_that_got_worse_does_not_decide() -> None:
    """It is told all the same."""
    old, new = (document(requirement(status=status, strength="SHOULD")) for status in ("PASS", "FAIL"))
    assert not difference(old, new).must_got_worse
    assert difference(old, new).lines() == ["worse: LOSS-003 SHOULD: PASS -> FAIL"]
    assert difference(old, old).lines() == ["no difference"]
