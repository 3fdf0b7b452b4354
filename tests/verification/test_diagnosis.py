"""Wrong answers, or failed checks, are matched with the known defects; too little of either names nothing."""

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.verification.diagnosis.causes import Seen
from sdpo_ref.verification.diagnosis.diagnosis import Diagnosis, diagnose, likeness_of_answers, ranking
from sdpo_ref.verification.diagnosis.kill_matrix import KillMatrix, Row, read_kill_matrix
from sdpo_ref.verification.diagnosis.known_answers import Deviation, Deviations, KnownAnswers, read_known_answers
from sdpo_ref.verification.diagnosis.probe_calls import probes_of
from sdpo_ref.verification.report import CheckResult, Failure
from sdpo_ref.verification.status import Status

FILED = read_kill_matrix()
KNOWN = read_known_answers()
CALLS = [name for name, (part, _) in probes_of().items() if part == "loss"][:8]


def row(name: str, *checks: str, defect: str = "") -> Row:
    """A defect that fails these checks."""
    return Row(name, name, "f", defect or name, f"defect {name}", "e", (), (), frozenset(checks), None)


PARTS = {"d1": "divergence", "d2": "divergence", "d3": "divergence", "l1": "loss", "l2": "loss"}
MATRIX = KillMatrix((row("M1", "d1", "d2"), row("M2", "d2", "d3", "l1"), row("M3", "l1", "l2")), PARTS, {}, ())


def wrong(*numbers: float | None) -> dict[str, Deviation]:
    """Answers that are off by these numbers; ``None`` for a right one."""
    return {
        name: Deviation("", (float(number), 1.0))
        for name, number in zip(CALLS, numbers, strict=False)
        if number is not None
    }


def known(**defects: Deviations) -> KnownAnswers:
    """Known defects with their wrong answers."""
    return KnownAnswers({}, {}, defects)


def failed(*names: str, looks_like: str = "") -> dict[str, CheckResult]:
    """Failed checks."""
    failure = Failure(got="1 nat", looks_like=looks_like)
    return {name: CheckResult(id=name, status=Status.FAIL, reason="", seconds=0.0, failure=failure) for name in names}


def diagnosis(
    failing: dict[str, CheckResult],
    *,
    matrix: KillMatrix = MATRIX,
    answers: Deviations | None = None,
    defects: KnownAnswers | None = None,
    is_missing: Collection[str] = (),
) -> Diagnosis | None:
    """Of a run in which all checks of the matrix ran."""
    ran = {check for it in matrix.rows for check in it.checks} | failing.keys()
    found = answers or {}
    return diagnose(
        Seen(failing, {}, {}, "float64", len(found)),
        matrix,
        defects,
        wrong=found,
        compared=CALLS,
        ran=ran,
        is_missing=is_missing,
    )


def test_the_same_wrong_answers_are_the_same_defect() -> None:
    """Whatever checks fail."""
    found = diagnosis(failed("l1"), answers=wrong(1, 2, 3), defects=known(M1=wrong(1, 2, 3), M3=wrong(3, 2, 1)))
    assert found is not None
    assert found.sentence == "looks like M1, defect M1 (3 of 3 wrong answers are the same)"
    assert found.basis == "answers"


@pytest.mark.parametrize(("theirs", "named"), [((1, 2, 9, 9), True), ((1, 9, 9, 9), False)])
def test_nothing_is_named_below_one_half(theirs: tuple[float, ...], named: bool) -> None:  # noqa: FBT001
    """Two of four wrong answers are enough, one is not, although the same checks fail."""
    found = diagnosis(failed("l1", "l2"), answers=wrong(1, 2, 3, 4), defects=known(M3=wrong(*theirs)))
    assert (found is not None) == named
    if found is not None:
        assert found.sentence == "nearest known defect: M3, defect M3 (2 of 4 wrong answers are the same)"


def test_equally_near_defects_are_all_named() -> None:
    """One that is there twice once."""
    rows = (row("M1"), row("M2", defect="M1"), row("M3"), row("M4"), row("M5"))
    matrix = KillMatrix(rows, PARTS, {}, ())
    same = {it.id: wrong(1, 2) for it in rows}
    found = diagnosis(failed("l1"), matrix=matrix, answers=wrong(1, 2), defects=known(**same))
    assert found is not None
    assert [it.id for it in found.others] == ["M3", "M4", "M5"]
    assert found.sentence.endswith("; or, exactly as near: M3, defect M3; M4, defect M4; 1 more")


def test_numbers_that_checks_recognise_have_a_vote() -> None:
    """If most of the checks that recognise anything recognise one defect, and it fails the same checks."""
    failing = {**failed("l1", "l2", looks_like="M3 a sign lost"), **failed("d2", looks_like="M2 or M1")}
    found = diagnosis(failing, answers=wrong(1, 2), defects=known(M1=wrong(3, 4)))
    assert found is not None
    assert found.sentence == "looks like M3, defect M3 (whose numbers 2 of 3 failed checks recognise)"
    alone = diagnosis(failed("l1", looks_like="M3 a sign lost"), answers=wrong(1, 2), defects=known())
    assert alone is None


def test_the_same_checks_are_said_to_be_all_that_is_known() -> None:
    """Where no answer is wrong that could be compared."""
    found = diagnosis(failed("d1", "d2"), defects=known())
    assert found is not None
    assert found.sentence == "fails the same checks as M1, defect M1 (2 of 2), which is all that is known"


def test_answers_contradict_failed_checks() -> None:
    """A defect that would have answered otherwise is not named, whatever it fails."""
    assert diagnosis(failed("d1", "d2"), answers=wrong(5), defects=known(M1=wrong(6))) is None
    assert diagnosis(failed("d1", "d2"), defects=known(M1=wrong(6))) is None


def test_what_missing_checks_would_tell_apart_is_not_named() -> None:
    """A partial run names a defect only if all its checks ran."""
    assert diagnosis(failed("d1", "d2"), is_missing=["l2"]) is not None
    assert diagnosis(failed("d1", "d2"), is_missing=["d2"]) is None


def test_many_defects_that_fail_the_same_checks_are_none() -> None:
    """Four names say nothing."""
    matrix = KillMatrix(tuple(row(f"M{number}", "d1") for number in range(4)), PARTS, {}, ())
    assert diagnosis(failed("d1"), matrix=matrix) is None
    few = diagnosis(failed("d1"), matrix=KillMatrix(matrix.rows[:3], PARTS, {}, ()))
    assert few is not None
    assert len(few.others) == 2


def test_what_is_not_offered_is_said_beside_a_defect() -> None:
    """And takes no part in the comparison of checks."""
    message = "declared but not offered: loss does not offer this: reverse only; offer it"
    refused = {
        name: check.model_copy(update={"failure": Failure(message=message)})
        for name, check in failed("x1", "x2", "x3").items()
    }
    found = diagnosis({**refused, **failed("d1", "d2")})
    assert found is not None
    assert found.sentence == (
        "3 of 5 failed checks ask for something that raises NotImplementedError "
        "(loss does not offer this: reverse only); offer it, "
        "or leave it out of `capabilities`. Beside that it fails the same checks as M1, defect M1 (2 of 2), "
        "which is all that is known"
    )
    alone = diagnosis({**refused, **failed("l1")})
    assert alone is not None
    assert (alone.basis, alone.row) == ("cause", None)


def test_nothing_failed() -> None:
    """Without a failure there is no defect."""
    assert diagnosis({}) is None


def test_compared_where_both_are_wrong() -> None:
    """A defect of the divergence that shows in the loss as well is still the divergence's."""
    divergence = [name for name, (part, _) in probes_of().items() if part == "divergence"][:2]
    both = {**wrong(1, 2), **{name: Deviation("", (1.0,)) for name in divergence}}
    likeness, agreeing, together = likeness_of_answers(wrong(1, 2), both)
    assert likeness == pytest.approx(0.95 + 0.05 * 2 / 4)
    assert (agreeing, together) == (2, 2)


@given(st.sampled_from(FILED.rows))
def test_known_defect_is_like_itself(filed: Row) -> None:
    """The answers of a mutant are matched with likeness one, by it or by one that gives the same."""
    answers = KNOWN.wrong.get(filed.id)
    if not answers:
        return
    found = diagnose(
        Seen({}, {}, {}, "float64", len(answers)),
        FILED,
        KNOWN,
        wrong=answers,
        compared=KNOWN.right,
        ran=(),
        is_missing=(),
    )
    assert found is not None
    assert found.likeness == pytest.approx(1.0)
    assert found.row is not None
    assert filed.defect in {it.defect for it in (found.row, *found.others)}


@given(st.sets(st.sampled_from(sorted(PARTS))), st.floats(0, 1))
def test_ranking_is_sorted_and_bounded(failing: set[str], near: float) -> None:
    """Likeness lies between what was asked for and one, and never rises."""
    likeness = [found.likeness for found in ranking(failing, MATRIX.rows, PARTS, near=near)]
    assert likeness == sorted(likeness, reverse=True)
    assert all(near <= value <= 1 + 1e-12 for value in likeness)
