"""Mutants run in worker processes: caught, told apart, and survived when they hang or end the process."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from sdpo_ref.cli import selftest as command
from sdpo_ref.cli.selftest import app
from sdpo_ref.mutants.benign import BENIGN
from sdpo_ref.mutants.selftest.processes import run_targets
from sdpo_ref.mutants.selftest.targets import Finding, Target, all_targets, for_check, select
from sdpo_ref.mutants.unusual import UNUSUAL
from sdpo_ref.verification.diagnosis.kill_matrix import read_kill_matrix

TARGETS = all_targets()

SAMPLE = ("coefficients_swapped", "teacher_gradient", "front_cut", "rate_is_decay")
"""Of every level; `make selftest` runs them all."""


@pytest.mark.slow
def test_sample_is_caught() -> None:
    """What is not on file is given all checks, and fails what it names."""
    targets = select(TARGETS, ["front_cut", "rate_is_decay"])
    for target, finding in zip(targets, run_targets(targets, jobs=2), strict=True):
        assert target.mutant is not None
        assert finding.broken == []
        assert set(target.mutant.caught_by) <= set(finding.requirements), target.name
        assert finding.probe


def deciding_checks_of(targets: Sequence[Target], *, filed: frozenset[str] | None = None) -> list[Finding]:
    """Findings of ``--check``, on request as if other checks were on file."""
    restricted = for_check(targets, read_kill_matrix())
    given = [target if filed is None else replace(target, filed=filed) for target in restricted]
    return run_targets(given, jobs=2)


@pytest.mark.slow
def test_check_runs_what_decides() -> None:
    """``--check`` runs, of the checks that fail on file, those of the named requirements, and they fail again."""
    targets = select(TARGETS, SAMPLE)
    rows = {row.name: row for row in read_kill_matrix().rows}
    findings = deciding_checks_of(targets)
    for target, finding in zip(targets, findings, strict=True):
        row = rows[target.name]
        assert finding.broken == []
        assert set(row.caught_by) <= set(finding.requirements), target.name
        assert set(finding.failed) <= row.checks
        assert finding.probe == (row.live and row.live.probe)
    on_file = sum(len(rows[target.name].checks) for target in targets)
    assert len(SAMPLE) <= sum(len(finding.failed) for finding in findings) < on_file


@pytest.mark.slow
def test_check_falls_back_on_the_other_checks() -> None:
    """Where no check on file fails, the requirement's other checks decide: a renamed check lets no mutant survive."""
    targets = select(TARGETS, ["ratio_two_sided"])
    for target, finding in zip(targets, deciding_checks_of(targets, filed=frozenset({"gone::gone"})), strict=True):
        assert target.mutant is not None
        assert set(target.mutant.caught_by) <= set(finding.requirements)


def test_right_variants_and_unknown_mutants_run_everything() -> None:
    """Only a mutant that is in the matrix on file is restricted."""
    targets = select(TARGETS, ["float32", "M006", "M007"])
    matrix = read_kill_matrix()
    without = replace(matrix, rows=tuple(row for row in matrix.rows if row.id != "M007"))
    restricted = {target.name: target.filed for target in for_check(targets, without)}
    assert [name for name, filed in restricted.items() if filed] == ["coefficients_swapped"]


def test_check_runs_a_quarter_of_the_checks_of_unusual_variants() -> None:
    """Another quarter for each, so that each check is run for some; the full selftest runs all."""
    checks = list(range(1_000))
    unusual = select(TARGETS, list(UNUSUAL))
    shares = [target.part_of(checks) for target in for_check(unusual, read_kill_matrix())]
    assert {len(share) for share in shares} == {250}
    assert set().union(*shares) == set(checks)
    assert all(target.part_of(checks) == checks and target.parts for target in unusual)
    assert len(BENIGN) >= 41


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hangs", "exits"])
def test_breaks_the_process(name: str) -> None:
    """What hangs or ends its process gets one of its own, and fails."""
    (finding,) = run_targets(for_check(select(TARGETS, [name]), read_kill_matrix()), jobs=1)
    assert "CONF-001" in finding.requirements
    assert finding.broken == []


@pytest.mark.slow
def test_lost_worker_is_told_and_replaced() -> None:
    """A mutant that ends the shared worker is named, and the next one is run by another worker."""
    (leaves,) = select(TARGETS, ["exits"])
    assert leaves.mutant is not None
    shared = replace(leaves, mutant=replace(leaves.mutant, isolated=False))
    lost, found = run_targets([shared, *select(TARGETS, ["mix_swapped"])], jobs=1)
    assert "enter it as isolated" in lost.broken[0]
    assert found.requirements == ["TEACH-026"]


@pytest.mark.slow
@pytest.mark.parametrize("first", ["raises_system_exit", "skips_its_checks"])
def test_the_next_target_is_judged_alone(first: str) -> None:
    """What an implementation raises does not spoil the fixtures of the next one in the same process."""
    before, after = run_targets([*select(TARGETS, [first]), *select(TARGETS, ["mix_swapped"])], jobs=1)
    assert "CONF-001" in before.requirements
    assert after.requirements == ["TEACH-026"]


@pytest.mark.slow
def test_command() -> None:
    """``--only`` runs what was asked for, writes nothing and says how many were killed."""
    found = CliRunner().invoke(app, ["--only", "M211", "--only", "other_defaults", "--jobs", "1", "--check"])
    assert found.exit_code == 0, found.output
    assert "2 of 2 mutants killed" in found.output


def test_problems_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a library says in brackets is printed as it is: gloo's messages name a file in them."""
    monkeypatch.setattr(command, "_run", lambda _targets, _jobs: {"echo": Finding("echo")})
    monkeypatch.setattr(command, "problems", lambda *_, **__: ["echo broke a check: [/src/pair.cc:553] closed"])
    found = CliRunner().invoke(app, ["--only", "echo"])
    assert "echo broke a check: [/src/pair.cc:553] closed" in " ".join(found.output.split()), found.output


def test_unknown_name() -> None:
    """A name that is nobody's is refused before anything is started."""
    found = CliRunner().invoke(app, ["--only", "nobody"])
    assert found.exit_code != 0
    assert "nobody" in str(found.exception)


def test_select_by_family() -> None:
    """The beginning of a family's name chooses its members."""
    assert {it.name for it in select(TARGETS, ["trust-region"])} >= {"mix_swapped", "arithmetic_mixture"}
