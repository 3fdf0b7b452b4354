"""Rules about the tree as a whole: the layers, and what no file of the project may hold."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FORBIDDEN = {
    "a path of one machine": r"(?<![\w.<$])/(?:home|Users|root|work|tmp)/\w",
    "a package registry's host": r"(?:pypi|pythonhosted|download\.pytorch)\.org",
    "annotations as text, which jaxtyping cannot check": r"^from __future__ import " + "annotations",
    "a pickle, or a loader that accepts one": r"\b(?:import pickle|from pickle|pickle\.loads?|torch\.load)\b",
    "a type that is ignored without saying which error": r"# type: ignore(?!" + r"\[)",
}
"""What is wrong, and the pattern that finds it; this file is not searched."""


def project_files() -> list[Path]:
    """Every text file that is tracked or about to be; without git, every file outside hidden and built folders."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=False
    )
    if listed.returncode == 0:
        files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        top = [ROOT / name for name in ("sdpo_ref", "conformance", "spec", "benchmarks", "tests")]
        files = [*ROOT.glob("*.*"), *(file for folder in top for file in folder.rglob("*"))]
    binary = {".safetensors", ".png", ".pyc"}
    return [file for file in files if file.is_file() and file.suffix not in binary]


def occurrences(pattern: str, text: str) -> list[str]:
    """Lines in which a pattern is found, each with its number.

    Example:
        >>> occurrences("b", "a" + chr(10) + "b")
        ['2: b']
    """
    return [f"{number}: {line.strip()}" for number, line in enumerate(text.splitlines(), 1) if re.search(pattern, line)]


def test_lower_layers_never_import_higher_ones() -> None:
    """import-linter keeps every contract of pyproject.toml."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("wrong", FORBIDDEN)
def test_no_file_holds(wrong: str) -> None:
    """No tracked file holds what would break on another machine or escape the checkers."""
    found = {
        str(file.relative_to(ROOT)): lines
        for file in project_files()
        if file != Path(__file__) and (lines := occurrences(FORBIDDEN[wrong], file.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ("a path of one machine", "see /" + "home/ada/notes"),
        ("a package registry's host", "from https://py" + "pi.org/simple"),
        ("annotations as text, which jaxtyping cannot check", "from __future__ import " + "annotations"),
        ("a type that is ignored without saying which error", "x = y  # type: " + "ignore"),
    ],
)
def test_the_patterns_find_what_they_forbid(wrong: str, line: str) -> None:
    """Each forbidden pattern matches an example of what it forbids."""
    assert occurrences(FORBIDDEN[wrong], line) == [f"1: {line}"]


def test_the_project_is_searched() -> None:
    """The search reaches the code, the specification and this folder."""
    names = {str(file.relative_to(ROOT)) for file in project_files()}
    assert {"pyproject.toml", "sdpo_ref/types.py", "tests/conftest.py"} <= names


def test_nothing_is_called_utils() -> None:
    """A file is named after what it holds."""
    assert [file for file in project_files() if re.fullmatch(r"(utils?|helpers?|misc|common)\.py", file.name)] == []


def test_few_names_stand_directly_under_the_package() -> None:
    """A reader who opens the package has at most eighteen names to know."""
    found = {
        path.name.removesuffix(".py") for path in (ROOT / "sdpo_ref").iterdir() if not path.name.startswith(("_", "."))
    }
    assert len(found - {"py.typed"}) <= 18, sorted(found)


PRIVATE_WORDS = r"(?i)\b(?:mend(?:s|ed|ing)?|farewells?|whoever|somebody|secluded|in vain|shut the doors?)\b"
"""Words of an earlier private language; the field has plain ones (spec/00-notation)."""


def test_nothing_is_written_in_a_private_language() -> None:
    """Code, specification and pages use the field's words; records of decisions and changes keep theirs."""
    kept = (ROOT / "spec" / "decisions", ROOT / "CHANGELOG.md", Path(__file__))
    found = {
        str(file.relative_to(ROOT)): lines
        for file in project_files()
        if not any(file.is_relative_to(one) for one in kept)
        and (lines := occurrences(PRIVATE_WORDS, file.read_text(encoding="utf-8")))
    }
    assert found == {}
