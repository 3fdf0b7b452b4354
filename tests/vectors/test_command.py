"""``sdpo-ref vectors``: check finds every difference, generate overwrites only with a reason."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from sdpo_ref.cli import vectors as command
from sdpo_ref.vectors import release, store
from sdpo_ref.vectors.case import KINDS

FAST = ("implicit_reward", "trust_region", "average")
"""Kinds that are derived in milliseconds."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the released files; only the fast kinds are looked at."""
    monkeypatch.setattr(command, "KINDS", FAST)
    monkeypatch.setattr(release, "KINDS", FAST)
    return Path(shutil.copytree(store.default_folder(), tmp_path / "vectors"))


def load_all_fast() -> list[store.Vector]:
    return [*store.load("implicit_reward"), *store.load("trust_region"), *store.load("average")]


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(command.app, list(arguments))
    return result.exit_code, result.output


@pytest.mark.slow
def test_released_vectors_are_what_is_derived() -> None:
    """The second derivation, run anew, agrees with every released file.

    In a process of its own: with the checks of argument types its many small functions take three times as long.
    """
    command = [sys.executable, "-m", "sdpo_ref.cli.main", "vectors", "check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("all equal to the files") == len(KINDS)


def test_check_passes_on_equal_files(folder: Path) -> None:
    """Exit code 0 and one line for each kind."""
    code, output = run("check", "--folder", str(folder))
    assert (code, output.count("\n")) == (0, len(FAST))


def test_check_names_a_changed_tensor(folder: Path) -> None:
    """Exit code 1 and the id of the vector whose tensor was changed, and of no other."""
    path = folder / "average.safetensors"
    tensors = load_file(path)
    tensors["average-two-steps-rate-0.25/students"] += 1e-12
    save_file(tensors, path)
    code, output = run("check", "--folder", str(folder))
    assert code == 1
    assert output.count("changed: ") == 1
    assert "changed: average-two-steps-rate-0.25\n" in output


def test_check_names_changed_text(folder: Path) -> None:
    """A known wrong number or a sentence that was edited by hand is a difference too."""
    path = folder / "average.json"
    path.write_text(path.read_text().replace("Two weights, two steps; update_rate = 0.05", "Two weights", 1))
    code, output = run("check", "--folder", str(folder))
    assert code == 1
    assert "changed: average-two-steps-rate-0.05\n" in output


def test_check_names_added_and_removed_vectors(folder: Path) -> None:
    """A renamed id is one vector too many and one too few."""
    path = folder / "average.json"
    path.write_text(path.read_text().replace('"id": "average-two-steps-rate-0.05"', '"id": "average-other"', 1))
    code, output = run("check", "--folder", str(folder))
    assert code == 1
    assert "added: average-two-steps-rate-0.05\n" in output
    assert "removed: average-other\n" in output


def test_check_survives_missing_files(folder: Path) -> None:
    """Without the tensors every vector of the kind differs."""
    (folder / "average.safetensors").unlink()
    code, output = run("check", "--folder", str(folder))
    assert code == 1
    assert output.count("changed: average") == len(store.load("average"))


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines"])
def test_generate_needs_a_reason(folder: Path, reason: str) -> None:
    """Nothing is written without one line that says why."""
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert run("generate", "--reason", reason, "--folder", str(folder))[0] == 2
    assert run("generate", "--folder", str(folder))[0] == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_generate_touches_nothing_without_a_difference(folder: Path) -> None:
    """The same numbers need no line in the history."""
    before = (folder / "HISTORY.md").read_text()
    code, output = run("generate", "--reason", "No reason.", "--folder", str(folder))
    assert (code, output) == (0, "Nothing differs; no file was touched.\n")
    assert (folder / "HISTORY.md").read_text() == before


def test_generate_repairs_and_records(folder: Path) -> None:
    """Spoilt files become the released ones again, byte for byte, and the reason is appended."""
    path = folder / "average.safetensors"
    tensors = load_file(path)
    tensors["average-two-steps-rate-0.25/students"] = torch.zeros(2, 2, dtype=torch.float64)
    save_file(tensors, path)
    code, output = run("generate", "--reason", "Repair.", "--folder", str(folder))
    assert (code, output) == (0, "Files written: added 0, removed 0, changed 1.\n")
    assert path.read_bytes() == (store.default_folder() / "average.safetensors").read_bytes()
    assert (folder / "HISTORY.md").read_text().splitlines()[-1].startswith("- Repair. (added 0, removed 0, changed 1;")


def test_list_shows_requirements_and_comments(folder: Path) -> None:
    """One line for each vector."""
    code, output = run("list", "--folder", str(folder))
    assert code == 0
    assert "average-two-steps-rate-0.25  [TEACH-020]  Two weights, two steps; update_rate = 0.25.\n" in output
    assert len(output.splitlines()) == len(load_all_fast())
