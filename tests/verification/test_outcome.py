"""Which status and which fields follow from the exception that ended a check."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.errors import FlakyFailure

from sdpo_ref.errors import IntegrityError
from sdpo_ref.verification.checks.mismatch import ImplementationRaisedError, Mismatch, NotOfferedError
from sdpo_ref.verification.isolation.outcome import classify
from sdpo_ref.verification.status import Status


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (Mismatch("1 nat", "2 nats"), Status.FAIL, ""),
        (ImplementationRaisedError("loss", "ValueError('x')", "tb"), Status.ERROR, "loss raised ValueError('x')"),
        (NotOfferedError("loss", "later"), Status.FAIL, "declared but not offered"),
        (IntegrityError("hash"), Status.INVALID, "hash"),
        (AssertionError("no"), Status.FAIL, "no"),
        (TypeError("our own"), Status.INVALID, "the check itself broke: TypeError: our own"),
        (SystemExit(3), Status.ERROR, "SystemExit(3)"),
    ],
)
def test_each_kind_of_exception_has_its_status(error: BaseException, status: Status, words: str) -> None:
    """The implementation's faults are FAIL or ERROR, the suite's own are INVALID."""
    found, failure = classify(error)
    assert found is status
    assert words in failure.message


def test_all_fields_of_a_mismatch_arrive() -> None:
    """Expected, got, tolerance, given and the likely defect are kept apart for the report."""
    _, failure = classify(Mismatch("1 nat", "2 nats", "exact", "x = 1", "a sign lost"))
    assert (failure.expected, failure.got, failure.tolerance) == ("1 nat", "2 nats", "exact")
    assert (failure.given, failure.looks_like) == ("x = 1", "a sign lost")


def test_a_group_of_exceptions_is_opened() -> None:
    """In a nested group, a broken control outweighs what it controls, and a raise outweighs a wrong result."""
    wrong, raised = Mismatch("1", "2"), ImplementationRaisedError("loss", "ValueError", "tb")
    assert classify(ExceptionGroup("g", [wrong, ExceptionGroup("h", [raised])]))[0] is Status.ERROR
    assert classify(ExceptionGroup("g", [raised, IntegrityError("hash")]))[0] is Status.INVALID


def test_a_result_that_changes_between_calls_is_a_failure() -> None:
    """What Hypothesis calls flaky is an implementation that is not deterministic, and is said to be so."""
    status, failure = classify(FlakyFailure("flaky", [Mismatch("1", "2")]))
    assert status is Status.FAIL
    assert "changes between two calls" in failure.looks_like


def test_a_traceback_is_the_users_own() -> None:
    """Our own frames and the marks under the code are left out; the error's last line stays."""
    text = (
        'Traceback (most recent call last):\n  File "/x/sdpo_ref/verification/checks/subject.py", line 1, in _call\n'
        '    result = function()\n             ^^^^^^^^^^\n  File "/here/my_sdpo.py", line 2, in loss\n'
        "    return 1 / 0\n           ~~^~~\nZeroDivisionError: division by zero\n"
    )
    _, failure = classify(ImplementationRaisedError("loss", "ZeroDivisionError", text))
    assert failure.traceback.splitlines() == [
        "Traceback (most recent call last):",
        '  File "/here/my_sdpo.py", line 2, in loss',
        "    return 1 / 0",
        "ZeroDivisionError: division by zero",
    ]


def test_the_smallest_example_is_taken_from_the_notes() -> None:
    """A check that names no input gets the one that Hypothesis found."""

    @given(number=st.integers())
    def check(number: int) -> None:
        if number >= 10:
            raise Mismatch("less than 10", "more")

    with pytest.raises(Mismatch) as caught:
        check()
    assert "number=10" in classify(caught.value)[1].given
