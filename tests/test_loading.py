"""A factory is found by name, and each way in which it is not has a message that says what to do."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdpo_ref._loading import parse, resolve, where
from sdpo_ref.errors import LoadError

MODULE = """
def make(*parts, **options):
    return parts, options

class Outer:
    class Inner:
        pass

number = 3
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A working directory with the user's modules, which are forgotten afterwards."""
    (tmp_path / "find_me.py").write_text(MODULE)
    (tmp_path / "find_broken.py").write_text("x = 1\nx.y.z\n")
    (tmp_path / "find_syntax.py").write_text("def broken(:\n")
    (tmp_path / "find_needy.py").write_text("import a_package_that_nobody_has\n")
    (tmp_path / "find_quitter.py").write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("find_"):
            del sys.modules[name]


def test_a_factory_takes_what_is_left() -> None:
    """Options of the name are filled in, the rest comes from the caller, who wins."""
    assert resolve("find_me:make")(1, x=2) == ((1,), {"x": 2})
    assert resolve("find_me:make,x=[1, 2],name=abc")(1, name="d") == ((1,), {"x": [1, 2], "name": "d"})


def test_a_class_in_a_class_is_found() -> None:
    """Dots lead further in."""
    assert type(resolve("find_me:Outer.Inner")()).__qualname__ == "Outer.Inner"


def test_short_names_stand_for_longer_ones() -> None:
    """Also with options."""
    target = parse("mine,x=1", {"mine": "find_me:make"})
    assert (target.module, target.attribute, target.options) == ("find_me", "make", {"x": 1})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("find_me", r"does not name a factory; write MODULE:FACTORY"),
        ("", r"does not name a factory"),
        ("find me:make", r"is not a valid name; write MODULE:FACTORY"),
        ("find_me:", r"is not a valid name"),
        ("src/find_me.py:make", r"go to its folder and write the module's name: find_me:make"),
        ("find_mee:make", r"no module 'find_mee'; did you mean find_me.*, which this folder has\?"),
        ("zzz_nowhere:make", r"run this from the folder that contains zzz_nowhere.py, or install"),
        ("zzz_nowhere.inner:make", r"the package 'zzz_nowhere' itself was not found"),
        ("find_needy:make", r"find_needy imports 'a_package_that_nobody_has', which is not installed"),
        ("find_broken:make", r"importing find_broken raised AttributeError.*find_broken.py:2: `x.y.z`"),
        ("find_syntax:make", r"importing find_syntax raised SyntaxError.*find_syntax.py:1"),
        ("find_quitter:make", r"importing find_quitter raised SystemExit: 3"),
        ("find_me:maek", r"find_me has no 'maek'; it has make"),
        ("find_me:number", r"number in find_me is a int, which cannot be called; name a function or a class"),
    ],
)
def test_a_mistake_is_answered_with_the_fix(name: str, message: str) -> None:
    """The message says what was received and what to do, in the user's own file where there is one."""
    with pytest.raises(LoadError, match=message):
        resolve(name)


def test_where_passes_over_the_caller() -> None:
    """Lines of the file that called the user's code say nothing to the user."""
    with pytest.raises(TypeError) as caught:
        resolve("find_me:Outer")(1)
    assert where(caught.value, machinery=__file__) == "no line of yours was reached"
    assert "test_loading.py" in where(caught.value)
