"""CONTRIBUTING's ways to a new oracle, trainer, experiment and finding, followed as they are written."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdpo_ref.claims.findings import read_findings
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.study.experiment import Cell, Experiment
from sdpo_ref.study.observations import observations
from sdpo_ref.study.store import Store
from sdpo_ref.study.user_experiment import read_experiment
from tests.study.test_execute import METHODS, settings

ROOT = Path(__file__).parent.parent.parent


def section(title: str) -> str:
    """The text under a heading."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return page.split(f"## {title}\n")[1].split("\n## ")[0]


def blocks(title: str, language: str, fence: str = "```") -> Iterator[str]:
    """The code blocks of a section in a language, without their indentation."""
    pattern = rf"^( *){fence}{language}\n(.*?)^\1{fence}$"
    for block in re.finditer(pattern, section(title), flags=re.DOTALL | re.MULTILINE):
        yield textwrap.dedent(block[2])


def write_file(title: str, folder: Path) -> None:
    """The Python file of a section, at the path in its first line."""
    (code,) = blocks(title, "python")
    path = folder / code.splitlines()[0].removeprefix("# ")
    path.write_text(code, encoding="utf-8")


def apply_diff(title: str, folder: Path) -> None:
    """The changes of a section to a file; what stands in front of a change must be there exactly once."""
    (diff,) = blocks(title, "diff")
    name, *hunks = re.split(r"^@@\n", diff, flags=re.MULTILINE)
    path = folder / name.strip().removeprefix("--- ")
    text = path.read_text(encoding="utf-8")
    for hunk in hunks:
        lines = hunk.splitlines()
        before = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
        after = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    path.write_text(text, encoding="utf-8")


def copied(folder: Path) -> Path:
    """A copy of the package, its specification and its suite, without stored runs and vectors."""
    shutil.copytree(ROOT / "sdpo_ref", folder / "sdpo_ref", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "spec", folder / "spec")
    shutil.copytree(
        ROOT / "conformance", folder / "conformance", ignore=shutil.ignore_patterns("*.safetensors", "__pycache__")
    )
    return folder


def python(folder: Path, *arguments: str, package: Path) -> str:
    """What Python prints in a folder, with a package's own sources; it must succeed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def study(folder: Path, *arguments: str) -> str:
    """What ``sdpo-ref study`` prints."""
    return python(folder, "-m", "sdpo_ref.cli.main", "study", *arguments, package=ROOT)


def test_the_experiment_of_the_page_is_one(tmp_path: Path) -> None:
    """As it stands there."""
    (code,) = blocks("Ask the study a question of your own", "toml")
    (tmp_path / "fewer-rollouts.toml").write_text(code, encoding="utf-8")
    made = read_experiment(tmp_path / "fewer-rollouts.toml")
    assert [cell.labels["method"] for cell in made.cells] == ["sdpo", "rloo"]
    assert {cell.settings.group_size for cell in made.cells if isinstance(cell.settings, RunSettings)} == {4}


@pytest.mark.parametrize(("title", "most"), [("Add an oracle", 5), ("Add a trainer", 5), ("Add a finding", 7)])
def test_there_are_few_steps(title: str, most: int) -> None:
    """As promised."""
    steps = [int(step) for step in re.findall(r"^(\d)\. ", section(title), flags=re.MULTILINE)]
    assert steps == list(range(1, most + 1))


@pytest.mark.slow
def test_a_new_oracle_judges_the_study(tmp_path: Path) -> None:
    """One file: the oracle of the page runs, and what it judges differs from what the bundled one judges."""
    write_file("Add an oracle", tmp_path)
    cells = [
        Cell(labels={"method": method.method}, settings=settings(method, steps=5))
        for method in METHODS
        if method.method in ("rloo", "reinforce") and method.student == "table"
    ]
    made = Experiment(name="small", title="Small", question="Does it run?", cells=tuple(cells))
    (tmp_path / "small.json").write_text(made.model_dump_json(), encoding="utf-8")
    run = ("run", "small.json", "--seeds", "1", "--jobs", "1")
    assert "done: 2 tasks" in study(tmp_path, *run)
    assert "done: 2 tasks" in study(tmp_path, *run, "--oracle", "tired:make")
    assert "2 runs" in study(tmp_path, "report", "small.json", "--seeds", "1", "--oracle", "tired:make")
    with Store(tmp_path / "sdpo-study.sqlite", read_only=True) as store:
        entries = store.entries()
        ours = observations(read_experiment(tmp_path / "small.json"), (0,), store)
    assert len(entries) == 4
    assert sum("tired:make" in entry.settings for entry in entries) == 2
    assert [seen.outcome.error for seen in ours] == [None, None]


@pytest.mark.slow
def test_a_new_trainer_takes_two_files(tmp_path: Path) -> None:
    """The files of the page make a method that an experiment names, that learns, and that has a label in figures."""
    write_file("Add a trainer", copied(tmp_path))
    apply_diff("Add a trainer", tmp_path)
    program = """
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.study.execute import execute
from sdpo_ref.study.simulators import simulator
from sdpo_ref.study.tuning import grid
from sdpo_ref.study.report.figures.style import in_order, label_of
import json, sdpo_ref

settings = RunSettings(method={"method": "raft"}, world={"prompts": 4, "time": 4, "vocab": 12}, steps=25)
print(json.dumps({
    "file": sdpo_ref.__file__,
    "reward": execute(settings, 0).metrics["final_reward"],
    "simulator": simulator("batched").name_for(settings),
    "label": label_of("raft"),
    "order": in_order(["mine:make", "raft", "sdpo"]),
    "tuned": "raft/scalar" in grid(),
}))
"""
    found = json.loads(python(tmp_path, "-c", program, package=tmp_path))
    assert Path(found.pop("file")).is_relative_to(tmp_path)
    assert found.pop("reward") > 0.1
    assert found == {
        "simulator": "reference",
        "label": "RAFT",
        "order": ["sdpo", "raft", "mine:make"],
        "tuned": False,
    }


@pytest.mark.slow
def test_a_new_finding_takes_two_files(tmp_path: Path) -> None:
    """The experiment and the record of the page: shown, registered, and decided from runs at the seeds of verdicts."""
    apply_diff("Add a finding", copied(tmp_path))
    (record,) = blocks("Add a finding", "markdown", fence="~~~")
    chapter = tmp_path / "spec" / "07-claims.md"
    chapter.write_text(f"{chapter.read_text(encoding='utf-8').rstrip()}\n\n{record}", encoding="utf-8")

    program = """
from contextlib import suppress
from sdpo_ref.cli.main import app

for arguments in (
    ("show", "F17"),
    ("lock", "--reason", "a test"),
    ("reference", "F17", "--seeds", "8", "--jobs", "1"),
    ("decide", "F17", "--stored"),
):
    with suppress(SystemExit):
        app(["claims", *arguments, "--suite", "."])
"""
    printed = python(tmp_path, "-c", program, package=tmp_path)
    assert "PASS from 7, 13 wins, FAIL up to 2, 8" in printed
    assert "F17: new record\n" in printed
    assert "| F17 | SDPO is ahead of RLOO" in printed
    findings = read_findings(tmp_path / "conformance")
    assert findings is not None
    (part,) = findings.claims["F17"].parts
    assert part.comparisons[0].seeds == 8
