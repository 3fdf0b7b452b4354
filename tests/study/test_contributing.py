"""CONTRIBUTING's way to a new oracle, walked as it is written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sdpo_ref.study.experiment import Cell, Experiment
from sdpo_ref.study.observations import observations
from sdpo_ref.study.store import Store
from sdpo_ref.study.user_experiment import read_experiment
from tests.study.test_execute import METHODS, settings

ROOT = Path(__file__).parent.parent.parent


def section() -> str:
    """The text under "Add an oracle"."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return page.split("## Add an oracle\n")[1].split("\n## ")[0]


def written_out(folder: Path) -> None:
    """The file of step 1, and an experiment of two small cells."""
    code = re.search(r"```python\n(.*?)```", section(), flags=re.DOTALL)
    assert code is not None
    lines = [line.removeprefix("   ") for line in code[1].splitlines()]
    assert lines[0] == "# tired.py"
    (folder / "tired.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    cells = [
        Cell(labels={"method": method.method}, settings=settings(method, steps=5))
        for method in METHODS
        if method.method in ("rloo", "reinforce") and method.student == "table"
    ]
    made = Experiment(name="small", title="Small", question="Does it run?", cells=tuple(cells))
    (folder / "small.json").write_text(made.model_dump_json(), encoding="utf-8")


def study(folder: Path, *arguments: str) -> str:
    """What the command prints; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "sdpo_ref.cli.main", "study", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_experiment_of_the_page_is_one(tmp_path: Path) -> None:
    """As it stands there."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    code = re.search(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    assert code is not None
    (tmp_path / "fewer-rollouts.toml").write_text(code[1], encoding="utf-8")
    made = read_experiment(tmp_path / "fewer-rollouts.toml")
    assert [cell.labels["method"] for cell in made.cells] == ["sdpo", "rloo"]
    assert {cell.settings.group_size for cell in made.cells} == {4}


def test_there_are_at_most_five_steps() -> None:
    """As promised."""
    assert re.findall(r"^(\d)\. ", section(), flags=re.MULTILINE) == ["1", "2", "3", "4", "5"]


@pytest.mark.slow
def test_a_new_oracle_judges_the_study(tmp_path: Path) -> None:
    """Steps 1 and 2 as they stand: the oracle of the page runs, and what it judges differs from what ours judges."""
    written_out(tmp_path)
    assert "done: 2 tasks" in study(tmp_path, "run", "small.json", "--seeds", "1", "--jobs", "1")
    assert "done: 2 tasks" in study(
        tmp_path, "run", "small.json", "--seeds", "1", "--jobs", "1", "--oracle", "tired:make"
    )
    assert "2 runs" in study(tmp_path, "report", "small.json", "--seeds", "1", "--oracle", "tired:make")
    with Store(tmp_path / "sdpo-study.sqlite", read_only=True) as store:
        entries = store.entries()
        ours = observations(read_experiment(tmp_path / "small.json"), (0,), store)
    assert len(entries) == 4
    assert sum("tired:make" in entry.settings for entry in entries) == 2
    assert [seen.outcome.error for seen in ours] == [None, None]
