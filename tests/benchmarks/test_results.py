"""Saved results: what is written is read, what cannot be read is named, and two files can be compared."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.compare import comparison
from benchmarks.goals import goals
from benchmarks.machine import machine
from benchmarks.record import Cost, Race, Results, load
from benchmarks.table import detail_lines, goal_table, measured_table
from sdpo_ref.errors import InvalidInputError, UsageError

MACHINE = {"cpu": "a CPU", "gpu": "none", "cores": "2", "threads": "1", "load": "0.1", "commit": "abc"}


def some(peak: float = 0.1, seconds: float = 2.0) -> Results:
    """A little of everything."""
    results = Results(size="full", machine=MACHINE)
    results.add("C1", "peak / plain torch", peak, bytes=3.0)
    results.races.append(Race("a race", [Cost("chunked", seconds=seconds, peak_bytes=7, note="ours")]))
    results.skipped["Liger"] = "not installed"
    results.checks["copy"] = 4.3
    return results


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """Every field survives the file."""
    some().save(tmp_path / "folder" / "results.json")
    loaded = load(tmp_path / "folder" / "results.json")
    assert replace(loaded, taken="") == replace(some(), taken="")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 0}', '{"format": 1, "measurements": [], "races": []}'])
def test_what_cannot_be_read_is_named(content: str, tmp_path: Path) -> None:
    """The error names the file and how to write one."""
    path = tmp_path / "broken.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=r"broken\.json"):
        load(path)


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    """Whatever else it holds: its numbers may mean something else."""
    some().save(tmp_path / "new.json")
    text = (tmp_path / "new.json").read_text(encoding="utf-8")
    (tmp_path / "new.json").write_text(text.replace('"format": 1', '"format": 2'), encoding="utf-8")
    with pytest.raises(UsageError, match="another format"):
        load(tmp_path / "new.json")


def test_a_number_without_a_goal_is_refused() -> None:
    """Results hold no measure that the goals do not have."""
    with pytest.raises(InvalidInputError, match="no measure"):
        some().add("C1", "seconds", 1.0)


def test_the_last_number_counts() -> None:
    """A measure that was taken twice has its last value; one that was not taken has none."""
    results = some(peak=0.5)
    results.add("C1", "peak / plain torch", 0.2)
    assert results.value("C1", "peak / plain torch") == 0.2
    assert results.value("C2", "time / G4") is None


def test_the_goal_table_has_a_line_for_each_measure() -> None:
    """With its number and verdict, or the words 'not measured' and the reason."""
    lines = goal_table([some()]).splitlines()[2:]
    assert len(lines) == sum(len(goal.measures) for goal in goals().values())
    for goal in goals().values():
        own = [line for line in lines if line.startswith(f"| {goal.id} ")]
        assert len(own) == len(goal.measures)
        if goal.id == "C1":
            assert "| 0.1 " in own[0]
            assert "| stretch " in own[0]
        else:
            assert all("not measured" in line and goal.not_measured in line for line in own)


def test_the_short_table_has_only_what_was_measured() -> None:
    """One line under the header, with both bars."""
    (line,) = measured_table(some()).splitlines()[2:]
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "C1", "peak / plain torch", "≤ 0.15", "≤ 0.11", "0.1", "stretch",
    ]  # fmt: skip


def test_what_stands_behind_a_number_is_shown() -> None:
    """Its details and the further numbers, a line each."""
    assert detail_lines(some()) == "- C1, peak / plain torch: bytes 3\n- copy: 4.3"


def test_a_comparison_says_what_became_better_and_worse() -> None:
    """Lower is better for C1; the verdict's change and the contestant's time are shown; noise is 'same'."""
    lines = comparison(some(peak=0.1, seconds=2.0), some(peak=0.2, seconds=1.0))
    assert "+100% worse" in lines
    assert "stretch -> missed" in lines
    assert "-50% better" in lines
    assert "same" in comparison(some(peak=0.1), some(peak=0.101))


def test_a_comparison_knows_which_way_is_better() -> None:
    """A speed-up that grows is better."""
    old, new = Results(size="full", machine=MACHINE), Results(size="full", machine=MACHINE)
    old.add("S1", "speed-up", 10.0)
    new.add("S1", "speed-up", 20.0)
    assert "+100% better" in comparison(old, new)


def test_a_comparison_warns_of_another_machine() -> None:
    """The processor differs, the load may."""
    new = replace(some(), machine={**MACHINE, "cpu": "another CPU", "load": "9"})
    lines = comparison(some(), new)
    assert "cpu a CPU -> another CPU" in lines
    assert "load" not in lines
    assert "other machine" not in comparison(some(), some())


def test_the_command_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two files give a table and status 0; a missing file its name and status 2."""
    some().save(tmp_path / "old.json")
    some(peak=0.2).save(tmp_path / "new.json")
    assert main(["compare", str(tmp_path / "old.json"), str(tmp_path / "new.json")]) == 0
    assert "+100% worse" in capsys.readouterr().out
    assert main(["compare", str(tmp_path / "old.json"), str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err


def test_the_machine_is_described_without_its_name() -> None:
    """Processor, load and versions are there; no host name and no path is."""
    import platform

    described = machine()
    assert {"cpu", "gpu", "cores", "threads", "load", "system", "python", "torch", "commit"} <= described.keys()
    assert all("/" not in value for value in described.values())
    assert platform.node() not in described.values()
