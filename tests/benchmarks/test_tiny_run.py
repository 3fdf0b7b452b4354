"""The documented command from end to end, on problems so small that it takes seconds."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.goals import goals
from benchmarks.record import load

ROOT = Path(__file__).parent.parent.parent

WRONG = """
from sdpo_ref.losses import chunked

right = chunked.sdpo_loss
chunked.sdpo_loss = lambda *arguments, **options: 1.01 * right(*arguments, **options)
"""
"""A plugin under which the chunked loss is one percent too large."""


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The benchmarks at size tiny, without the compiler, which would take longer than all the rest."""
    command = [sys.executable, "-m", "pytest", "benchmarks", "--size", "tiny", "-p", "no:cacheprovider", *options]
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"TORCHDYNAMO_DISABLE": "1", "PYTHONPATH": path}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_tiny_run_measures_every_goal_of_a_cpu(tmp_path: Path) -> None:
    """It passes, doctests included, prints the table last, and saves a file without the machine's name or paths."""
    file = tmp_path / "results.json"
    done = run(tmp_path, "--doctest-modules", "--results", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    results = load(file)
    assert results.size == "tiny"
    for goal in goals().values():
        for measure in goal.measures:
            expected = not goal.needs_gpu and goal.id != "S3"
            assert (results.value(goal.id, measure.name) is not None) == expected, (goal.id, measure.name)
    assert {race.costs[0].name for race in results.races} >= {"chunked", "one after another"}
    assert "| C2   | time / plain torch" in done.stdout
    text = file.read_text(encoding="utf-8")
    assert str(ROOT) not in text
    assert platform.node() not in text


@pytest.mark.slow
def test_a_wrong_value_fails(tmp_path: Path) -> None:
    """A loss that is off by a percent is no result, however fast it is."""
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")
    done = run(tmp_path, "-p", "wrong", "-k", "test_time_and_memory", "--results", str(tmp_path / "results.json"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed" in done.stdout
