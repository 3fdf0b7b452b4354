"""What a factory or a part does to its process: undone for the suite, in force for the implementation."""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sdpo_ref.errors import LoadError
from sdpo_ref.verification.engine import verify
from sdpo_ref.verification.isolation.loader import load
from sdpo_ref.verification.isolation.surroundings import Guest, Surroundings, began

CHANGES = {
    "the working directory": "os.chdir('inner')",
    "environment variables": "os.environ.clear(); os.environ['MINE'] = 'yes'",
    "sys.path": "sys.path[:] = ['/nowhere']",
    "PyTorch's default dtype": "torch.set_default_dtype(torch.float16)",
    "PyTorch's default device": "torch.set_default_device('meta')",
    "gradient mode": "torch.set_grad_enabled(False)",
    "autocast": "torch.set_autocast_enabled('cpu', True)",
    "the precision of float32 products": "torch.set_float32_matmul_precision('medium')",
    "the recursion limit": "sys.setrecursionlimit(5000)",
    "the locale": "locale.setlocale(locale.LC_ALL, 'C' if locale.setlocale(locale.LC_ALL) != 'C' else 'C.UTF-8')",
    "NumPy's error state": "numpy.seterr(all='raise')",
    "anomaly detection": "torch.autograd.set_detect_anomaly(True)",
    "the number of PyTorch's threads": "torch.set_num_threads(torch.get_num_threads() + 1)",
    "Hypothesis's settings": "hypothesis.settings.register_profile('m', max_examples=1); "
    "hypothesis.settings.load_profile('m')",
    "garbage collection": "gc.disable()",
    "warning filters": "warnings.simplefilter('error')",
    "signal handlers": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "an alarm": "signal.setitimer(signal.ITIMER_REAL, 900)",
    "standard streams": "sys.stdout = io.StringIO()",
}
OF_PARTS = list(CHANGES)[:11]
MODULE = """
import gc, hypothesis, io, locale, numpy, os, signal, sys, torch, warnings
from types import SimpleNamespace

def divergence(*_, **__):
    from sdpo_ref.verification.isolation.surroundings import Surroundings
    return Surroundings()

def make():
    {change}
    return SimpleNamespace(divergence=divergence, profile="paper")

def raises():
    {change}
    raise ValueError("no")
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A user's folder, left in the surroundings in which it was entered."""
    before = Surroundings()
    (tmp_path / "inner").mkdir()
    with contextlib.chdir(tmp_path):
        yield tmp_path
    before.restore()
    for name in [name for name in sys.modules if name.startswith("changes_")]:
        del sys.modules[name]


def module_that(place: Path, change: str) -> str:
    """The name of a module whose factory makes a change."""
    name = f"changes_{abs(hash(change))}"
    (place / f"{name}.py").write_text(MODULE.format(change=change))
    importlib.invalidate_caches()
    return name


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_undone_and_holds_for_the_parts(place: Path, what: str) -> None:
    """The suite goes on as before; the implementation computes under what it chose, where that concerns computing."""
    name = module_that(place, CHANGES[what])
    sys.path.insert(0, str(place))
    before = Surroundings()
    loaded = load(f"{name}:make")
    assert before.changed() == ()
    assert isinstance(loaded.implementation, Guest) == (what in OF_PARTS)
    inside: Any = loaded.implementation.divergence()  # type: ignore[attr-defined]
    assert before.changed() == ()
    with inside.in_force(OF_PARTS):
        assert (what in before.changed()) == (what in OF_PARTS)


@pytest.mark.parametrize("what", CHANGES)
def test_a_factory_that_raises_leaves_nothing_either(place: Path, what: str) -> None:
    """Also where nothing is checked, a program that calls `verify` goes on as it was."""
    name = module_that(place, CHANGES[what])
    sys.path.insert(0, str(place))
    before = Surroundings()
    with pytest.raises(LoadError, match="raised ValueError: no"):
        load(f"{name}:raises")
    assert before.changed() == ()


def test_children_begin_where_it_was_loaded(place: Path) -> None:
    """The folder, the environment and the search path are those before the factory ran."""
    name = module_that(place, f"{CHANGES['the working directory']}; {CHANGES['environment variables']}")
    sys.path.insert(0, "/an/entry")
    load(f"{name}:make")
    os.chdir("/")
    assert began().folder == str(place)
    environment = began().environment()
    assert "MINE" not in environment
    assert environment["HOME"] == os.environ["HOME"]
    assert {str(place), "/an/entry"} <= set(environment["PYTHONPATH"].split(os.pathsep))


@pytest.mark.slow
def test_everything_at_once_is_green(place: Path) -> None:
    """In the worker, in the process of LOSS-065 and in the two of TRAIN-005; exit code 4 blamed the suite for it."""
    (place / "rude.py").write_text(
        "import gc, hypothesis, io, locale, numpy, os, signal, sys, torch, warnings\n"
        "from sdpo_ref.bundled import Reference\n\n"
        "class Rude(Reference):\n"
        "    def __init__(self):\n        super().__init__('paper')\n"
        "        os.chdir('inner'); os.environ.clear(); sys.path.append('/nowhere')\n"
        f"        {'; '.join(CHANGES[it] for it in list(CHANGES)[7:])}; sys.stdout.close()\n"
    )
    report = verify("rude:Rude", only=["LOSS-001", "LOSS-065", "TRAIN-005", "CONF-001"], jobs=1)
    assert report.verdict.exit_code == 0, str(report)


BREAKS = """
import torch
from sdpo_ref.bundled import Reference

class Breaks(Reference):
    def divergence(self, *arguments, **options):
        found = super().divergence(*arguments, **options)
        torch.set_default_device("meta")
        return found

    def trust_region(self, *arguments, **options):
        found = super().trust_region(*arguments, **options)
        torch.log_softmax = None
        return found

def make():
    return Breaks("paper")
"""


@pytest.mark.slow
def test_a_check_that_breaks_is_not_the_suites_fault(place: Path) -> None:
    """A setting that was changed during a call is named; of anything else the bundled reference says whose it is."""
    (place / "breaks.py").write_text(BREAKS)
    report = verify("breaks:make", only=["LOSS-001", "TEACH-026"], jobs=1)
    assert report.verdict.exit_code == 1
    failures = {it.id: it.failure for it in report.requirements}
    setting, other = failures["LOSS-001"], failures["TEACH-026"]
    assert setting is not None
    assert "the implementation changed PyTorch's default device, and the check broke" in setting.message
    assert other is not None
    assert "it holds for the bundled reference in another" in other.message
