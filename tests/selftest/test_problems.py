"""What makes the selftest fail: survivors, mutants that are none, right variants that fail, decoration, tolerances."""

import math

import pytest
import torch

from sdpo_ref._resources import content
from sdpo_ref.mutants.selftest.problems import (
    UNBREAKABLE,
    matrix_of,
    musts_without_a_kill,
    problems,
    tolerances,
    too_near,
    with_rows_of,
)
from sdpo_ref.mutants.selftest.targets import Finding, Target, all_targets, select
from sdpo_ref.verification.checks.comparison import TOLERANCES
from sdpo_ref.verification.diagnosis.kill_matrix import Tolerance, read_kill_matrix
from sdpo_ref.verification.suite.spec_text import read_catalogue

CATALOGUE = read_catalogue(content("spec"))
WRONG = select(all_targets(), ["coefficients_swapped"])[0]
RIGHT = select(all_targets(), ["float32"])[0]


def judged(target: Target, **fields: object) -> tuple[str, ...]:
    """Problems of one target."""
    finding = Finding(target.name, **fields)  # type: ignore[arg-type]
    return problems([target], {target.name: finding}, CATALOGUE, everything=False)


def test_caught_and_live_is_no_problem() -> None:
    """All named requirements fail and a probe shows it."""
    assert judged(WRONG, requirements=["LOSS-003", "LOSS-004"], probe="a call", difference="1 apart") == ()


def test_survivor() -> None:
    """A mutant that fails nothing survives."""
    assert judged(WRONG, probe="a call", difference="1 apart") == ("M006 coefficients_swapped survives",)


def test_caught_by_others_only() -> None:
    """A mutant must fail what it names."""
    (line,) = judged(WRONG, requirements=["LOSS-003"], probe="a call", difference="1 apart")
    assert "not caught by LOSS-004" in line


def test_not_live() -> None:
    """A mutant that no probe tells from the reference is none."""
    (line,) = judged(WRONG, requirements=["LOSS-003", "LOSS-004"])
    assert "not live" in line


def test_right_variant_fails() -> None:
    """A right variant that fails a requirement is a fault of the suite."""
    (line,) = judged(RIGHT, requirements=["LOSS-061"])
    assert line == "float32 is right and fails LOSS-061"


def test_warnings_about_precision_are_allowed() -> None:
    """A float32 implementation is recognised as float32."""
    assert judged(RIGHT, requirements=["CONF-003"]) == ()


def test_broken_check() -> None:
    """A check that broke itself says nothing about the mutant."""
    assert judged(WRONG, broken=["loss/x.py::t: the check itself broke"]) == (
        "M006 coefficients_swapped: loss/x.py::t: the check itself broke",
    )


def test_must_that_kills_nothing_is_decoration() -> None:
    """Every MUST of levels 0 to 3 kills, but for the stated exceptions."""
    musts = {it.id for it in CATALOGUE if it.strength == "MUST" and it.level <= 3}
    assert list(musts_without_a_kill(CATALOGUE, musts - set(UNBREAKABLE))) == []
    (line,) = musts_without_a_kill(CATALOGUE, musts - set(UNBREAKABLE) - {"LOSS-061"})
    assert line.startswith("LOSS-061 kills no mutant")


def test_exception_that_is_none() -> None:
    """A stated exception that kills is taken off the list."""
    musts = {it.id for it in CATALOGUE if it.strength == "MUST" and it.level <= 3}
    lines = list(musts_without_a_kill(CATALOGUE, musts))
    assert len(lines) == len(UNBREAKABLE)


@pytest.mark.parametrize(
    ("benign", "wrong", "lines"),
    [(0.1, 1e3, 0), (0.125, None, 0), (0.2, 1e3, 1), (0.1, 5.0, 1), (0.5, 2.0, 2), (0.0, math.inf, 0)],
)
def test_tolerance_lies_between(benign: float, wrong: float | None, lines: int) -> None:
    """At least eight times the largest right error, at most a tenth of the smallest wrong one."""
    assert len(list(too_near(Tolerance("a::b", 1e-9, 0.0, benign, wrong)))) == lines


def test_half_precision_rounds_as_it_must() -> None:
    """The error of its format is bounded: a right implementation may come nearer than an eighth."""
    assert list(too_near(Tolerance("a::b", *TOLERANCES[torch.bfloat16], 0.3, None))) == []
    assert len(list(too_near(Tolerance("a::b", *TOLERANCES[torch.float32], 0.3, None)))) == 1


def test_smallest_mutant_and_largest_right_error_count() -> None:
    """Of several mutants the nearest decides, of several right variants the farthest."""
    other = select(all_targets(), ["mixture_swapped"])[0]
    right = select(all_targets(), ["chunked"])[0]
    key = "a::b|1e-09|0"
    findings = {
        WRONG.name: Finding(WRONG.name, margins={key: 1e4}),
        other.name: Finding(other.name, margins={key: 50.0, "c::d|1|1": 3.0}),
        RIGHT.name: Finding(RIGHT.name, margins={key: 0.01}),
        right.name: Finding(right.name, margins={key: 0.02}),
    }
    (found,) = tolerances([WRONG, other, RIGHT, right], findings)
    assert found == Tolerance("a::b", 1e-9, 0.0, 0.02, 50.0)


def test_matrix_has_what_was_found() -> None:
    """Rows are the mutants, with the checks that failed; right variants have theirs."""
    findings = {
        WRONG.name: Finding(WRONG.name, failed=["a::b[x]"], parts={"a::b[x]": "loss"}, requirements=["LOSS-003"]),
        RIGHT.name: Finding(RIGHT.name),
    }
    matrix = matrix_of([WRONG, RIGHT], findings)
    assert matrix.rows[0].checks == frozenset({"a::b[x]"})
    assert matrix.parts == {"a::b[x]": "loss"}
    assert matrix.benign == {"float32": ()}


def test_rows_of_some_mutants_replace_those_on_file() -> None:
    """And leave all others, right variants and tolerances."""
    filed = read_kill_matrix()
    found = matrix_of([WRONG], {WRONG.name: Finding(WRONG.name, requirements=["LOSS-003"], failed=["a check"])})
    both = with_rows_of(filed, found)
    changed = [(old.id, new.failed) for old, new in zip(filed.rows, both.rows, strict=True) if old != new]
    assert changed == [("M006", ("LOSS-003",))]
    assert (both.benign, both.tolerances) == (filed.benign, filed.tolerances)
