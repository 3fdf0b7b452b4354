"""Causes that are no defect of SDPO's are recognised before any defect is."""

import pytest

from sdpo_ref.verification.diagnosis.answers import NOT_FINITE, RAISED, Answer
from sdpo_ref.verification.diagnosis.causes import Seen, cause_of
from sdpo_ref.verification.diagnosis.probe_calls import probes_of
from sdpo_ref.verification.report import CheckResult, Failure
from sdpo_ref.verification.status import Status

NAMES = [name for name, (part, _) in probes_of().items() if part == "loss"][:10]
RIGHT = {name: Answer("", (1.0,)) for name in NAMES}


def seen(message: str, *, wrong: int, right: int = 0, answers: str = "", precision: str = "float64") -> Seen:
    """A run in which checks end with a message, and others with a number; every answer begins with words."""
    failing = {
        f"t::{number}": CheckResult(
            id=f"t::{number}",
            status=Status.ERROR,
            reason="",
            seconds=0.0,
            failure=Failure(message=message) if number < wrong else Failure(got="1 nat"),
        )
        for number in range(wrong + right)
    }
    given = {name: Answer(answers, () if answers else (1.0,)) for name in NAMES}
    return Seen(failing, given, RIGHT, precision, 0 if not answers else len(given))


@pytest.mark.parametrize(
    ("message", "answers", "words"),
    [
        ("it did not return within 60 s; if it is only slow, raise --time-limit", "", "got no answer"),
        ("the process ended with exit code 3; something", "", "nothing else can be told"),
        ("loss raised ValueError: expected 3 dimensions, got 2", RAISED, "loss refuses nearly every call: 3 of 4"),
        ("", f"{NOT_FINITE} in 0", "nearly every answer of loss is NaN or infinite"),
        ("declared but not offered: loss does not offer this: reverse KL only; offer it", "", "NotImplementedError"),
    ],
)
def test_each_has_a_plain_sentence(message: str, answers: str, words: str) -> None:
    """If more than half of the failed checks show it."""
    found = cause_of(seen(message, wrong=3, right=1, answers=answers))
    assert found is not None
    assert words in found.sentence


@pytest.mark.parametrize(
    "message",
    [
        "it did not return within 60 s",
        "declared but not offered: x; y",
        "loss raised ValueError: k above the vocabulary",
    ],
)
def test_a_few_checks_show_nothing(message: str) -> None:
    """Half of them, or an error in the failed checks alone, is what a defect may do as well."""
    assert cause_of(seen(message, wrong=2, right=2)) is None
    assert cause_of(seen("loss raised ValueError: k above the vocabulary", wrong=3)) is None


def test_float32_is_named_where_all_answers_are_right_in_it() -> None:
    """Checks fail because of rounding alone."""
    found = cause_of(seen("", wrong=3, precision="float32"))
    assert found is not None
    assert "right within the rounding of float32" in found.sentence
    assert cause_of(seen("", wrong=3)) is None


def test_without_answers_nothing_is_said_about_them() -> None:
    """A program that was not asked is not said to answer NaN."""
    run = seen("", wrong=3, answers=f"{NOT_FINITE} in 0")
    assert cause_of(Seen(run.failing, {}, RIGHT, "float64", 0)) is None
