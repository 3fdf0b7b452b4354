"""The kill matrix on file: it says what the mutants say, and what it proves holds."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref._resources import content
from sdpo_ref.claims.rates import read_rates
from sdpo_ref.errors import IntegrityError
from sdpo_ref.mutants import mutants
from sdpo_ref.mutants.benign import BENIGN
from sdpo_ref.selftest.differences import differences
from sdpo_ref.selftest.judgement import WARNINGS, decorations, too_near
from sdpo_ref.selftest.leave_one_out import leave_one_out
from sdpo_ref.selftest.repeats import read_repeats
from sdpo_ref.selftest.table import render
from sdpo_ref.verification.diagnosis.kill_matrix import (
    FILE,
    KillMatrix,
    Liveness,
    Row,
    Tolerance,
    read_kill_matrix,
    write_kill_matrix,
)
from sdpo_ref.verification.suite.spec_text import read_catalogue

FILED = read_kill_matrix()
CATALOGUE = read_catalogue(content("spec"))
REPEATS = read_repeats(content("conformance"))


def test_holds_every_mutant_as_it_is_entered() -> None:
    """Ids, names and texts on file are those of the code."""
    entered = [(it.id, it.name, it.family, it.defect, it.wrong, it.effect, it.caught_by) for it in mutants()]
    filed = [(it.id, it.name, it.family, it.defect, it.wrong, it.effect, it.caught_by) for it in FILED.rows]
    assert filed == entered
    assert list(FILED.benign) == list(BENIGN)


@pytest.mark.parametrize("row", FILED.rows, ids=lambda it: it.id)
def test_every_mutant_is_live_and_caught(row: Row) -> None:
    """Each is told from the reference by a call of our own, and fails what it names."""
    assert row.live is not None
    assert set(row.caught_by) <= set(row.failed)
    assert row.checks


def test_no_right_variant_fails() -> None:
    """What right variants fail are warnings about how they are checked."""
    allowed = tuple(f"implementation/test_capabilities.py::{name}" for name in ("test_offered_is", "test_precision"))
    failed = [check for checks in FILED.benign.values() for check in checks if not check.startswith(allowed)]
    assert failed == []
    assert {"CONF-002", "CONF-003"} == WARNINGS


def test_every_must_kills() -> None:
    """No MUST of levels 0 to 3 is decoration."""
    assert list(decorations(CATALOGUE, {name for row in FILED.rows for name in row.failed})) == []


@pytest.mark.parametrize("tolerance", FILED.tolerances, ids=lambda it: f"{it.check} {it.relative:g} {it.absolute:g}")
def test_tolerance_separates_right_from_wrong(tolerance: Tolerance) -> None:
    """At least eight times the largest right error, at most a tenth of the smallest wrong one."""
    assert list(too_near(tolerance)) == []


def test_diagnosis_names_the_right_defect() -> None:
    """For at least nine of ten mutants that have a sibling, the sibling is named first when they are left out."""
    found = leave_one_out(FILED)
    assert found.asked >= 40
    assert found.share >= 0.9


def test_page_is_the_matrix() -> None:
    """The page is what the matrix on file renders to."""
    page = (content("conformance") / FILE.parent / "README.md").read_text(encoding="utf-8")
    assert page == render(FILED, CATALOGUE, REPEATS, read_rates(content("conformance")).wrong)


def test_file_holds_what_was_written(tmp_path: Path) -> None:
    """Writing and reading gives the same matrix."""
    write_kill_matrix(tmp_path, FILED)
    again = read_kill_matrix(tmp_path)
    assert again == FILED


NAMES = st.lists(st.sampled_from(["a::b[1]", "a::b[2]", "c::d"]), unique=True)


@given(NAMES, st.floats(0, 1e6) | st.just(float("inf")) | st.none())
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, checks: list[str], wrong: float | None) -> None:
    """Any set of checks and any margin survives the file."""
    row = Row("M001", "x", "f", "M001", "w", "e", ("LOSS-001",), (), frozenset(checks), Liveness("p", "d"))
    matrix = KillMatrix((row,), dict.fromkeys(checks, "loss"), {"r": ()}, (Tolerance("a", 1e-9, 0.0, 0.5, wrong),))
    folder = tmp_path_factory.mktemp("matrix")
    write_kill_matrix(folder, matrix)
    assert read_kill_matrix(folder) == matrix


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 2}', "[1]"])
def test_what_is_no_matrix_is_refused(tmp_path: Path, text: str) -> None:
    """A broken file is named, with the command that mends it."""
    (tmp_path / FILE.parent).mkdir()
    (tmp_path / FILE).write_text(text)
    with pytest.raises(IntegrityError, match="sdpo-ref selftest"):
        read_kill_matrix(tmp_path)


def test_differences() -> None:
    """A mutant that fails more or fewer requirements, that is new or gone, or has another text, is told."""
    first, second = FILED.rows[:2]
    less = Row(**{**vars(first), "failed": first.failed[1:], "wrong": "another text"})
    changed = KillMatrix((less, second), {}, FILED.benign, ())
    lines = differences(KillMatrix((first,), {}, FILED.benign, ()), changed, complete=True)
    assert len(lines) == 3
    assert first.failed[0] in lines[1]
    assert differences(FILED, FILED, complete=True) == []
    assert any("no more" in line for line in differences(FILED, changed, complete=True))
