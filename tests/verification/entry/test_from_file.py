"""An implementation in a file: found from any folder, with what lies beside it, and refused with its path."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdpo_ref.errors import LoadError
from sdpo_ref.verification.entry.from_file import importable
from sdpo_ref.verification.isolation.loader import load

MODULE = """
from helper_of_mine import NAME
from types import SimpleNamespace

def make(name=NAME):
    return SimpleNamespace(name=name, divergence=lambda *_, **__: None, capabilities={"divergence"})

made = make("an object")

def raises():
    raise ValueError("no")
"""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """A file in a folder that is not the working one, whose name has a comma."""
    folder = tmp_path / "a,b"
    folder.mkdir()
    (folder / "helper_of_mine.py").write_text("NAME = 'mine'\n")
    (folder / "impl_of_mine.py").write_text(MODULE)
    before = list(sys.path)
    (tmp_path / "elsewhere").mkdir()
    with contextlib.chdir(tmp_path / "elsewhere"):
        yield folder / "impl_of_mine.py"
    sys.path[:] = before
    for name in ("impl_of_mine", "helper_of_mine"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("what", "name"),
    [("make", "mine"), ("make,name=yours", "yours"), ("make,name='a,b'", "a,b"), ("made", "an object")],
)
def test_a_file_is_an_implementation(file: Path, what: str, name: str) -> None:
    """By its absolute and by its relative path; its name is what was typed."""
    for path in (file, Path("..", *file.parts[-2:])):
        loaded = load(f"{path}:{what}")
        assert (loaded.name, loaded.spec) == (name, f"{path}:{what}")
        assert loaded.capabilities == {"divergence"}


def test_a_module_is_left_as_it_is() -> None:
    """Only what ends with .py and has a colon is a file."""
    for name in ("my_sdpo:make", "my_sdpo:make,path=a.py", "reference", "my_sdpo.py"):
        assert importable(name) == name


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("impl_of_min.py:make", r"there is no file .*impl_of_min.py; did you mean .*impl_of_mine.py\?"),
        ("impl_of_mine.py:maek", r"impl_of_mine.py has no 'maek'; it has make"),
        (
            "impl_of_mine.py:raises",
            r"raises\(\) in .*impl_of_mine.py raised ValueError: no \(.*impl_of_mine.py:\d+: `raise",
        ),
        ("impl_of_mine.py:made,x=1", r"made in .* is not a function, so it takes no \{'x'\}"),
        ("impl-of-mine.py:make", r"impl-of-mine is no name of a module; rename it"),
        ("broken.py:make", r"importing .*broken.py raised ZeroDivisionError.*broken.py:1: `1 / 0`"),
    ],
)
def test_refusals_have_the_path(file: Path, name: str, says: str) -> None:
    """And the author's line, where there is one."""
    (file.parent / "impl-of-mine.py").write_text("")
    (file.parent / "broken.py").write_text("1 / 0\n")
    with pytest.raises(LoadError, match=says):
        load(f"{file.parent / name}")
