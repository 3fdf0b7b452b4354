"""A run's failures become a diagnosis in the report, in print and in JSON."""

import json
from dataclasses import replace
from itertools import zip_longest

import pytest

from sdpo_ref.verification.diagnosis.diagnosed import diagnosed
from sdpo_ref.verification.diagnosis.kill_matrix import KillMatrix, Row
from sdpo_ref.verification.diagnosis.probe_calls import probes_of
from sdpo_ref.verification.engine import Suite
from sdpo_ref.verification.isolation.events import Answered, Check
from sdpo_ref.verification.isolation.run import Run
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


RUN = Run(None, (), {}, (), 1.0)


def named(report: Report, matrix: KillMatrix = MATRIX, run: Run = RUN) -> str | None:
    """The id of the nearest defect."""
    requirements = [*(result.id for result in report.requirements), *report.not_selected]
    found = diagnosed(report, run, matrix, None, requirements=requirements)
    return None if found is None or found.row is None else found.row.id


def test_the_nearest_defect_is_in_every_report() -> None:
    """JSON has exactly the keys that readers build on, and the printed block says where to read and how to see it."""
    report = report_of(TWO, BOTH, matrix=MATRIX)
    assert json.loads(report.to_json())["diagnosis"] == {
        "basis": "checks",
        "mutant": "M1",
        "name": "name_M1",
        "wrong": "defect M1",
        "effect": "effect of M1",
        "agreeing": 2,
        "together": 2,
        "likeness": 1.0,
        "sentence": "fails the same checks as M1, defect M1 (2 of 2), which is all that is known",
        "requirement": "LOSS-003",
        "read": "spec/04-loss.md#loss-003",
    }
    block = [" ".join(line.split()) for line in str(report).partition("Diagnosis\n")[2].splitlines()[:4]]
    assert block == [
        "fails the same checks as M1, defect M1 (2 of 2), which is all that is known",
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


def test_a_check_that_did_not_run_may_tell_a_defect_apart() -> None:
    """In a partial run only a defect all of whose checks ran is named."""
    report = report_of(TWO, BOTH)
    assert named(report, run=replace(RUN, checks=tuple(Check(f"t.py::{it}", (it,), (), True) for it in BOTH))) is None
    assert named(report, run=replace(RUN, checks=(Check("t.py::LOSS-009", ("LOSS-009",), (), False),))) == "M1"
    absent = Check("t.py::LOSS-003", ("LOSS-003",), ("hybrid_loss",), True)
    assert named(report, run=replace(RUN, checks=(absent,))) == "M1"


def test_answers_decide_before_failed_checks() -> None:
    """The known defect that gives the same wrong answers is named, although it fails none of the same checks."""
    filed = Suite.released().known_answers()
    assert filed is not None
    matrix = replace(MATRIX, rows=(*MATRIX.rows, replace(MATRIX.rows[0], id="M006", checks=frozenset({"other"}))))
    answers = {
        name: (
            "",
            tuple(a + b for a, b in zip_longest(right.numbers, filed.wrong["M006"][name].numbers, fillvalue=0.0)),
        )
        if name in filed.wrong["M006"]
        else (right.words, right.numbers)
        for name, right in filed.right.items()
        if probes_of()[name][0] == "divergence"
    }
    run = replace(RUN, answered=Answered(answers, "float64"))
    report = report_of(TWO, BOTH)
    found = diagnosed(report, run, matrix, filed, requirements=("LOSS-001", "LOSS-003"))
    assert found is not None
    assert found.basis == "answers"
    assert found.row is not None
    assert found.row.id == "M006"
