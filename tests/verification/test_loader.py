"""Each way in which an implementation cannot be loaded has a message from which its author can fix it.

How names are read and modules found is tested in tests/test_loading.py.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sdpo_ref.errors import LoadError, SdpoRefError, UsageError
from sdpo_ref.verification.isolation.loader import load, load_object
from sdpo_ref.verification.suite.capabilities import CAPABILITIES

MODULE = """
from types import SimpleNamespace

def divergence(student_log_probs, teacher_log_probs, *, alpha, support):
    return 0.0

def make(**options):
    return SimpleNamespace(divergence=divergence, options=options, name="mine")

class Parts:
    divergence = staticmethod(divergence)

ready = SimpleNamespace(divergence=divergence)
number = 3

def fails():
    return int("a word")

def forgets():
    SimpleNamespace(divergence=divergence)

def empty():
    return SimpleNamespace(divergance=divergence)

def quits():
    raise SystemExit(1)

def odd_profile():
    return SimpleNamespace(divergence=divergence, profile={"agregation": "row_mean"})

def odd_capability():
    return SimpleNamespace(divergence=divergence, capabilities={"divergnce"})

def odd_type():
    return SimpleNamespace(divergence=divergence, capabilities=3)
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A working directory with the user's modules, which are forgotten afterwards."""
    (tmp_path / "load_me.py").write_text(MODULE)
    (tmp_path / "load_broken.py").write_text("x = 1\nx.y.z\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("load_"):
            del sys.modules[name]


def test_a_factory_gets_its_options_as_literals_or_text() -> None:
    """Values that are Python literals arrive as such, lists with their commas, and all others as text."""
    loaded = load("load_me:make,alpha=0.5,ks=[1, 2],dtype=float64,flag=True")
    assert vars(loaded.implementation)["options"] == {"alpha": 0.5, "ks": [1, 2], "dtype": "float64", "flag": True}
    assert (loaded.name, loaded.profile.departures()) == ("mine", {})
    assert "divergence" in loaded.capabilities


@pytest.mark.parametrize("spec", ["load_me:Parts", "load_me:ready"])
def test_a_class_is_called_and_an_object_with_parts_is_taken_as_it_is(spec: str) -> None:
    """Neither needs a factory function around it; without a name it is called by its text."""
    assert load(spec).name == spec


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("load_me", LoadError, r"does not name a factory; write MODULE:FACTORY"),
        ("referense", LoadError, r"did you mean 'reference'"),
        ("load_broken:make", LoadError, r"importing load_broken raised AttributeError.*load_broken.py:2: `x.y.z`"),
        ("load_me:fails", LoadError, r"raised ValueError: .*load_me.py:\d+: `return int\(\"a word\"\)`"),
        ("load_me:quits", LoadError, r"quits\(\) in load_me raised SystemExit: 1"),
        ("load_me:divergence", LoadError, r"divergence\(\) does not fit: .*missing 2 required.*name a factory"),
        ("load_me:forgets,x=1", LoadError, r"forgets\(x=1\) does not fit: .*unexpected keyword"),
        ("load_me:ready,x=1", LoadError, r"ready in load_me is not a function, so it takes no"),
        ("load_me:forgets", LoadError, r"returned None; end it with `return implementation`"),
        ("load_me:empty", UsageError, r"has none of the parts divergence, loss"),
        ("load_me:number", UsageError, r"has none of the parts divergence, loss"),
        ("load_me:odd_profile", UsageError, r"profile has no field 'agregation'; allowed are base, aggregation"),
        ("load_me:odd_capability", UsageError, r"unknown capabilities \['divergnce'\]; allowed are divergence"),
        ("load_me:odd_type", LoadError, r"reading name, capabilities and profile of load_me:odd_type raised TypeError"),
    ],
)
def test_a_mistake_is_answered_with_the_fix(spec: str, error: type[SdpoRefError], message: str) -> None:
    """The message says what was received and what to do, in the user's own file where there is one."""
    with pytest.raises(error, match=message):
        load(spec)


class Odd:
    """Properties that raise, and a `__getattr__` that raises KeyError, as in public code."""

    capabilities = ("divergence", "loss")

    def divergence(self, *_: object, **__: object) -> str:
        """A part that works."""
        return "works"

    @property
    def loss(self) -> object:
        """A declared part that cannot be looked up."""
        raise RuntimeError("no weights yet")

    @property
    def hybrid_loss(self) -> object:
        """A part that is not declared."""
        raise RuntimeError("not for this model")

    def __getattr__(self, name: str) -> object:
        raise KeyError(name)


def test_what_is_not_declared_may_raise_when_it_is_looked_up() -> None:
    """The rest is checked; a declared part raises when it is called, which is its own error and not the suite's."""
    loaded = load_object(Odd())
    assert loaded.name == "an object of class Odd"
    assert loaded.capabilities == {"divergence", "loss"}
    found: Any = loaded.implementation
    assert found.divergence() == "works"
    with pytest.raises(RuntimeError, match="no weights yet"):
        found.loss()
    assert [getattr(found, name, None) for name in ("step", "precision", "profile")] == [None, None, None]
    everything = {name for name in CAPABILITIES if name.partition(".")[0] == "divergence"}
    assert load_object(type("Open", (Odd,), {"capabilities": None})()).capabilities == everything


def test_a_declaration_that_raises_is_refused() -> None:
    """What it declares cannot be guessed."""

    class Broken:
        divergence = staticmethod(lambda: None)

        @property
        def capabilities(self) -> object:
            """It raises."""
            raise RuntimeError("not yet")

    with pytest.raises(LoadError, match=r"reading name, capabilities and profile of .* raised RuntimeError: not yet"):
        load_object(Broken())
