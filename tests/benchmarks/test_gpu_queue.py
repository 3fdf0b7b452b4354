"""The queue for a GPU, tried out without one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.goals import goals
from benchmarks.gpu import queue
from benchmarks.gpu.queue import Item, described, run_all
from benchmarks.gpu.work import DRY
from benchmarks.record import load
from tests.benchmarks.queue_items import dies, fails, hangs, measures

ROOT = Path(__file__).parent.parent.parent
ONLY_ON_CUDA = {"L12", "L13", "S6"}


@pytest.mark.slow
def test_a_dry_run_goes_through_every_item(tmp_path: Path) -> None:
    """On a CPU every goal gets a number, but for those of kernels and graphs, whose items say that they need CUDA."""
    command = [sys.executable, "benchmarks/gpu_queue.py", "--out", str(tmp_path), "--dry-run"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    results = load(tmp_path / "gpu.json")
    assert results.size == "tiny", done.stdout + done.stderr
    need_cuda = {"graph", "row-kernels", "captured-step"}
    assert {name for name in results.skipped if name in {item.name for item in queue.ITEMS}} == need_cuda
    assert all("UnsupportedError" in results.skipped[name] for name in need_cuda)
    assert done.returncode == 1
    for goal in goals().values():
        if goal.needs_gpu or goal.id == "A1":
            for measure in goal.measures:
                found = results.value(goal.id, measure.name) is not None
                assert found == (goal.id not in ONLY_ON_CUDA), (goal.id, measure.name, results.skipped)
    assert "| L1   | time / G4" in done.stdout


def test_one_item_never_stops_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails, hangs or dies is named with its reason; what it found before, and what follows it, is kept."""
    monkeypatch.setattr(queue, "_GRACE", 0.0)
    items = [Item("fails", fails, 60), Item("hangs", hangs, 6), Item("dies", dies, 60), Item("measures", measures, 60)]
    results = run_all(items, DRY, total_seconds=300, size="tiny")
    assert results.skipped.keys() == {"fails", "hangs", "dies"}
    assert "RuntimeError at queue_items.py" in results.skipped["fails"]
    assert "stopped after 6 s" in results.skipped["hangs"]
    assert "ended with 7" in results.skipped["dies"]
    assert results.checks["found before"] == results.checks["found before dying"] == 1.0
    assert "seconds of item measures" in results.checks
    assert results.value("L1", "time / G4") == 1.2


def test_what_finds_no_time_is_named() -> None:
    """With a total of nothing, every item is skipped by name and the results are empty."""
    results = run_all([Item("measures", measures, 60)], DRY, total_seconds=0, size="tiny")
    assert results.skipped == {"measures": "no time was left"}
    assert results.measurements == []


def test_an_error_is_told_without_a_path() -> None:
    """File name and line, one line of text."""
    try:
        int("x" * 10 + "\nmore")
    except ValueError as error:
        line = described(error)
    assert line.startswith("ValueError at test_gpu_queue.py:")
    assert "\n" not in line
    assert str(Path(__file__).parent) not in line


def test_an_unknown_item_is_refused(tmp_path: Path) -> None:
    """The error lists the items."""
    command = [sys.executable, "benchmarks/gpu_queue.py", "--out", str(tmp_path), "--dry-run", "--only", "speed"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "reverse-kl" in done.stderr
