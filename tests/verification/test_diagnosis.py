"""A set of failed checks is matched with the known defects."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.verification.diagnosis.diagnosis import diagnose, ranking
from sdpo_ref.verification.diagnosis.kill_matrix import KillMatrix, Row, read_kill_matrix

FILED = read_kill_matrix()


def row(name: str, *checks: str) -> Row:
    """A defect that fails these checks."""
    return Row(name, name, "f", name, f"defect {name}", "e", (), (), frozenset(checks), None)


PARTS = {"d1": "divergence", "d2": "divergence", "d3": "divergence", "l1": "loss", "l2": "loss"}
SMALL = KillMatrix((row("M1", "d1", "d2"), row("M2", "d2", "d3", "l1"), row("M3", "l1", "l2")), PARTS, {}, ())


def test_nothing_failed() -> None:
    """Without a failure there is no defect."""
    assert diagnose([], SMALL) is None


def test_nothing_is_near() -> None:
    """Failures that no defect has, or one in many that one has, are not named."""
    assert diagnose(["x1", "x2"], SMALL) is None
    assert diagnose(["d1", *(f"x{number}" for number in range(9))], KillMatrix((row("M1", "d1"),), {}, {}, ())) is None


def test_nearest_is_named() -> None:
    """The defect with the same failures, in words."""
    found = diagnose(["d1", "d2"], SMALL)
    assert found is not None
    assert found.sentence == "looks like M1, defect M1 (2 of 2 failed checks agree)"
    assert found.likeness == pytest.approx(1.0)


def test_compared_where_both_fail() -> None:
    """A defect of the divergence that shows in the loss as well is still the divergence's."""
    found = diagnose(["d1", "d2", "l9"], KillMatrix(SMALL.rows, {**PARTS, "l9": "loss"}, {}, ()))
    assert found is not None
    assert found.row.id == "M1"
    assert (found.agreeing, found.together) == (2, 3)


SAME = ("d1", "d2")
TIED = KillMatrix(
    (
        Row("M1", "one", "f", "M1", "a sign lost", "it diverges", (), (), frozenset({"d1", "d2"}), None),
        Row("M2", "two", "f", "M1", "a sign lost elsewhere", "it diverges", (), (), frozenset({"d1", "d2"}), None),
        *(
            Row(f"M{n}", f"m{n}", "f", f"M{n}", f"defect {n}", "it diverges later", (), (), frozenset(SAME), None)
            for n in range(3, 7)
        ),
        Row("M001", "far", "f", "M001", "another", "it forgets", (), (), frozenset({"x"}), None),
    ),
    PARTS,
    {},
    (),
)


def test_what_is_equally_near_is_named() -> None:
    """Three defects by name, the others by number, and a defect that is there twice once."""
    found = diagnose(["d1", "d2"], TIED)
    assert found is not None
    assert [row.id for row in found.others] == ["M3", "M4", "M5", "M6"]
    assert found.sentence == (
        "looks like M1, a sign lost (2 of 2 failed checks agree); "
        "or, exactly as near: M3, defect 3; M4, defect 4; 2 more"
    )


def test_what_the_checks_recognise_decides_between_equals() -> None:
    """Of equally near mutants the one whose id the failed checks cite most is named; others' ids do not count."""
    found = diagnose(["d1", "d2"], TIED, recognised=["M4 a sign lost", "M9 or M4 again", "M1 once, not M44", ""])
    assert found is not None
    assert (found.row.id, found.others) == ("M4", ())


def test_a_defect_is_recognised_in_every_mutant_of_it() -> None:
    """What cites the first mutant with a defect counts for the others with the same one."""
    second = KillMatrix(TIED.rows[1:], PARTS, {}, ())
    found = diagnose(
        ["d1", "d2"],
        replace(second, rows=(*second.rows, replace(TIED.rows[0], checks=frozenset()))),
        recognised=["M1 a sign lost"],
    )
    assert found is not None
    assert (found.row.id, found.others) == ("M2", ())


def test_near_is_not_the_same() -> None:
    """With some checks that do not agree the words are weaker."""
    found = diagnose(["d1", "d2", "d3"], SMALL, near=0.5)
    assert found is not None
    assert found.sentence == "nearest known defect: M1, defect M1 (2 of 3 failed checks agree)"


def test_other_inputs_are_near() -> None:
    """The same checks with other inputs make a defect near, and less near than the same inputs do."""
    ids = KillMatrix((row("M1", "t::a[1]", "t::b[1]"), row("M2", "t::a[2]")), {}, {}, ())
    found = diagnose(["t::a[3]", "t::b[2]"], ids)
    assert found is not None
    assert found.likeness == pytest.approx(0.9)
    assert found.sentence == "nearest known defect: M1, defect M1 (which fails the same checks with other inputs)"
    same = diagnose(["t::a[2]"], ids)
    assert same is not None
    assert same.row.id == "M2"
    assert same.likeness == pytest.approx(1.0)


def test_what_did_not_run_is_left_aside() -> None:
    """An implementation without a divergence is compared on its loss alone."""
    without = diagnose(["l1"], SMALL, ran=["l1", "l2"])
    assert without is not None
    assert without.row.id == "M2"
    assert without.likeness == pytest.approx(1.0)


@given(st.sampled_from(FILED.rows))
def test_known_defect_is_like_itself(known: Row) -> None:
    """The failures of a mutant are matched with likeness one, by it or by one that fails the same."""
    found = diagnose(known.checks, FILED)
    assert found is not None
    assert found.likeness == pytest.approx(1.0)
    assert found.row.checks == known.checks


@given(st.sets(st.sampled_from(sorted(PARTS))), st.floats(0, 1))
def test_ranking_is_sorted_and_bounded(failing: set[str], near: float) -> None:
    """Likeness lies between what was asked for and one, and never rises."""
    likeness = [found.likeness for found in ranking(failing, SMALL.rows, PARTS, near=near)]
    assert likeness == sorted(likeness, reverse=True)
    assert all(near <= value <= 1 + 1e-12 for value in likeness)
