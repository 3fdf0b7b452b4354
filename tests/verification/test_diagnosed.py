"""A run's failures become a diagnosis in the report, in print and in JSON."""

import json
from dataclasses import replace

import pytest

from sdpo_ref.verification.diagnosis.diagnosed import diagnosed
from sdpo_ref.verification.diagnosis.kill_matrix import KillMatrix, Row
from sdpo_ref.verification.engine import Suite
from sdpo_ref.verification.report import Report
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.catalogue import Catalogue, Strength
from tests.verification.test_judge import catalogue, requirement
from tests.verification.test_waivers import TWO, report_of

BOTH = {"LOSS-001": Status.FAIL, "LOSS-003": Status.FAIL}


def row(id_: str, caught_by: str, *requirements: str) -> Row:
    """A defect that fails the checks of these requirements."""
    checks = frozenset(f"t.py::{name}" for name in requirements)
    return Row(id_, f"name_{id_}", "f", id_, f"defect {id_}", f"effect of {id_}", (caught_by,), (), checks, None)


MATRIX = KillMatrix((row("M1", "LOSS-003", "LOSS-001", "LOSS-003"), row("M2", "LOSS-003", "LOSS-003")), {}, {}, ())


def named(report: Report, matrix: KillMatrix = MATRIX) -> str | None:
    """The id of the nearest defect."""
    known = [*(result.id for result in report.requirements), *report.not_selected]
    found = diagnosed(report.requirements, matrix, known=known)
    return None if found is None else found.row.id


def test_the_nearest_defect_is_in_every_report() -> None:
    """JSON has exactly the keys that readers build on, and the printed block says where to read and how to see it."""
    report = report_of(TWO, BOTH, matrix=MATRIX)
    assert json.loads(report.to_json())["diagnosis"] == {
        "mutant": "M1",
        "name": "name_M1",
        "wrong": "defect M1",
        "effect": "effect of M1",
        "agreeing": 2,
        "together": 2,
        "likeness": 1.0,
        "sentence": "looks like M1, defect M1 (2 of 2 failed checks agree)",
        "requirement": "LOSS-003",
        "read": "spec/04-loss.md#loss-003",
    }
    block = [" ".join(line.split()) for line in str(report).partition("Diagnosis\n")[2].splitlines()[:4]]
    assert block == [
        "looks like M1, defect M1 (2 of 2 failed checks agree)",
        "effect effect of M1",
        "read spec/04-loss.md#loss-003, or: sdpo-ref spec show LOSS-003",
        "see it sdpo-ref verify sdpo_ref.mutants:make,name=name_M1",
    ]


def test_what_is_waived_takes_no_part() -> None:
    """The diagnosis is about what else is wrong; with nothing else there is none."""
    assert named(report_of(TWO, BOTH, "LOSS-001")) == "M1"
    assert named(report_of(TWO, BOTH, "LOSS-001"), replace(MATRIX, rows=MATRIX.rows[1:])) == "M2"
    assert named(report_of(TWO, BOTH, "LOSS-001", "LOSS-003")) is None


@pytest.mark.parametrize("strength", ["SHOULD", "MAY"])
def test_a_warning_is_not_diagnosed(strength: Strength) -> None:
    """Without a failed MUST nothing is broken."""
    known = catalogue(requirement("LOSS-001"), replace(requirement("LOSS-003"), strength=strength))
    assert named(report_of(known, {"LOSS-001": Status.PASS, "LOSS-003": Status.FAIL})) is None


def test_defects_of_another_specification_are_left_aside() -> None:
    """A matrix may have requirements that this specification does not have."""
    foreign = KillMatrix((row("M3", "LOSS-404", "LOSS-001", "LOSS-003"),), {}, {}, ())
    assert named(report_of(TWO, BOTH), foreign) is None


def test_a_suite_without_a_matrix_has_none(suite: Suite) -> None:
    """The released suite has results on known defects; another may have none."""
    assert suite.kill_matrix() is None
    released = Suite.released().kill_matrix()
    assert released is not None
    assert len(released.rows) > 0


def many(number: int) -> Catalogue:
    """Requirements that are independent of each other."""
    return catalogue(*(requirement(f"LOSS-{index:03d}") for index in range(1, number + 1)))


def test_a_long_list_of_failures_is_short() -> None:
    """Five failures are shown in full, the others have a line each, and the report has the command that shows them."""
    known = many(8)
    text = str(report_of(known, dict.fromkeys(known.requirements, Status.FAIL)))
    assert text.count("FAIL  MUST") == 5
    assert "And 3 more; --only ID shows one in full, --json FILE all" in text
    assert "  LOSS-008 FAIL  broken" in text
