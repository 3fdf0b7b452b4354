"""What makes a stored result stale: a change in the code that a run executes, and no other."""

import shutil
from pathlib import Path
from typing import get_args

import pytest

import sdpo_ref
from sdpo_ref.study.fingerprint import WorldName, code_fingerprint, executed_modules, fingerprint_of

PACKAGE = Path(sdpo_ref.__file__).parent


def changed(folder: Path, file: str, line: str = "CHANGED = 1\n") -> str:
    """Fingerprint of a copy of the package with a line more in one of its files."""
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__", "_content"))
    with (folder / file).open("a", encoding="utf-8") as stream:
        stream.write(line)
    return fingerprint_of(folder)


@pytest.mark.parametrize(
    "file",
    [
        "losses/chunked/tokens.py",
        "losses/fused/tokens.py",
        "losses/fused/kernels/rows.py",
        "losses/__init__.py",
        "verification/engine.py",
        "verification/reports/page.py",
        "study/experiments.py",
        "__init__.py",
    ],
)
def test_what_no_run_executes_leaves_results_as_they_are(file: str, tmp_path: Path) -> None:
    """A kernel can be tuned, a report changed, an experiment added, and no finding has to be decided again."""
    assert changed(tmp_path / "sdpo_ref", file) == code_fingerprint()


@pytest.mark.parametrize(
    "file", ["trainers/sdpo.py", "losses/reference.py", "functional/divergence.py", "study/execute.py", "types.py"]
)
def test_what_a_run_executes_makes_results_stale(file: str, tmp_path: Path) -> None:
    """Whether it executes the run itself or is imported, over several modules, by what does."""
    assert changed(tmp_path / "sdpo_ref", file) != code_fingerprint()


@pytest.mark.parametrize(
    ("file", "world"),
    [
        ("published/gradients.py", "published"),
        ("published/objects.py", "published"),
        ("trainers/sdpo.py", "simulated"),
    ],
)
def test_each_world_has_a_fingerprint_of_its_own(file: str, world: WorldName, tmp_path: Path) -> None:
    """A change in the published study's equations leaves the findings in our own world, and the other way round."""
    changed(tmp_path / "sdpo_ref", file)
    worlds: tuple[WorldName, ...] = get_args(WorldName)
    stale = {one for one in worlds if fingerprint_of(tmp_path / "sdpo_ref", one) != code_fingerprint(one)}
    assert stale == {world}


def test_comments_and_docstrings_are_no_change(tmp_path: Path) -> None:
    """Words may be corrected without running anything again."""
    assert changed(tmp_path / "sdpo_ref", "trainers/sdpo.py", "# A comment.\n") == code_fingerprint()


def test_imports_are_followed_inside_functions_too(tmp_path: Path) -> None:
    """A module that is imported where it is used counts like one that is imported at the top."""
    line = "def _late() -> None:\n    from sdpo_ref.losses.chunked.tokens import DEFAULT_CHUNK_BYTES\n"
    assert changed(tmp_path / "sdpo_ref", "trainers/sdpo.py", line) != code_fingerprint()
    assert "sdpo_ref.losses.chunked.tokens" in executed_modules(tmp_path / "sdpo_ref")
