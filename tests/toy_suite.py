"""A toy suite and toy implementations: the engine is tested on content of its own, not on the released suite."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdpo_ref.verification.engine import Suite, collect
from sdpo_ref.verification.suite.manifest import lock, write_manifest

ENTRY = """### {id}
**{strength}** · level {level} · needs `{needs}`

{sentence}

- Source: nowhere.
- Why: it is a toy.
- If broken: training
  stops to be fun.
{after}
"""

REQUIREMENTS = (
    ("LOSS-001", "MUST", 0, "divergence", "The divergence of equal numbers is zero."),
    ("LOSS-002", "MUST", 0, "divergence", "The divergence grows with the distance."),
    ("LOSS-003", "MUST", 0, "divergence", "The divergence has the size of the distance.", "LOSS-002"),
    ("LOSS-004", "MUST", 1, "loss", "The loss returns one."),
    ("LOSS-005", "SHOULD", 1, "divergence", "The divergence is round."),
    ("LOSS-006", "MUST", 1, "hybrid_loss", "The hybrid loss returns one."),
    ("TEACH-001", "MUST", 2, "context", "The context returns one."),
    ("TEACH-002", "MUST", 2, "completion_mask", "The completion mask returns one."),
    ("TRAIN-001", "MUST", 3, "step", "The step returns one."),
    ("TRAIN-002", "MUST", 3, "trust_region", "The trust region returns one."),
)

CONFTEST = """
import traceback
import pytest
from sdpo_ref.verification.checks.mismatch import ImplementationRaisedError, NotOfferedError
from sdpo_ref.verification.isolation.plugin import implementation_key

class Wrapped:
    def __init__(self, implementation):
        self.implementation = implementation
    def __getattr__(self, part):
        def call(*arguments):
            try:
                return getattr(self.implementation, part)(*arguments)
            except NotImplementedError as error:
                raise NotOfferedError(part, str(error)) from error
            except Exception as error:
                raise ImplementationRaisedError(part, repr(error), traceback.format_exc()) from error
        return call

@pytest.fixture(scope="session")
def subject(request):
    return Wrapped(request.config.stash[implementation_key].implementation)
"""

CHECKS = """
import pytest
from sdpo_ref.verification.checks.mismatch import Mismatch

@pytest.mark.requirement("LOSS-001")
def test_equal(subject):
    assert subject.divergence(0.0, 0.0) == 0.0

@pytest.mark.requirement("LOSS-002")
@pytest.mark.parametrize("far", [1.0, 2.0])
def test_grows(subject, far):
    got = subject.divergence(0.0, far)
    if got <= 0:
        raise Mismatch("more than 0 nats", f"{got} nats", "exact", f"far = {far}", "a sign lost")

@pytest.mark.requirement("LOSS-003")
def test_size(subject):
    got = subject.divergence(0.0, 2.0)
    if got != 2.0:
        raise Mismatch("2.0 nats", f"{got} nats")

@pytest.mark.requirement("LOSS-005")
def test_round(subject):
    got = subject.divergence(0.0, 2.0)
    if got != round(abs(got)):
        raise Mismatch("a round number", f"{got} nats")
"""

PART = """
import pytest
from sdpo_ref.verification.checks.mismatch import Mismatch

@pytest.mark.requirement("{id}")
def test_{part}(subject):
    got = subject.{part}()
    if got != 1:
        raise Mismatch("1", repr(got))
"""

IMPLEMENTATIONS = '''
import os, sys, time
from types import SimpleNamespace

def _parts(divergence, **others):
    return SimpleNamespace(name="toy", divergence=divergence, **others)

def good():
    one = lambda: 1
    names = ("loss", "hybrid_loss", "context", "completion_mask", "step", "trust_region")
    return _parts(lambda a, b: abs(a - b), **dict.fromkeys(names, one))

def divergence_only():
    return _parts(lambda a, b: abs(a - b))

def talkative():
    os.write(1, b'{"event": "Refused", "message": "not an event"}\\n')
    def divergence(a, b):
        print('{"event": "Closed"} <&]]>\\x1b[31m\\x00')
        os.write(1, b'{"event": "Closed"}\\n')
        sys.stderr.write("to stderr\\n")
        return -abs(a - b)
    return _parts(divergence)

def faulty():
    """Every way of going wrong at once."""
    def raises():
        raise ValueError("boom")
    def hangs():
        while True:
            time.sleep(0.01)
    def dies():
        os._exit(7)
    def missing():
        raise NotImplementedError("later")
    return _parts(
        lambda a, b: -abs(a - b) - 0.5 * (a != b),
        loss=raises, context=hangs, completion_mask=dies, step=missing, trust_region=lambda: 1,
    )

def rough():
    return _parts(lambda a, b: abs(a - b), loss=lambda: 1, profile={"aggregation": "row_mean"})

def sleeps():
    time.sleep(1000)

def announces():
    import pytest
    return _parts(lambda a, b: pytest.xfail("known"))

def leaves():
    return _parts(lambda a, b: sys.exit(3))
'''


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``suite/`` (toy specification and checks, locked) and ``user/`` (toy implementations)."""
    root = tmp_path_factory.mktemp("workplace")
    spec, conformance, user = root / "suite" / "spec", root / "suite" / "conformance", root / "user"
    for folder in (spec, conformance / "loss", conformance / "parts", user):
        folder.mkdir(parents=True)
    write_spec(spec)
    (conformance / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    (conformance / "conftest.py").write_text(CONFTEST)
    (conformance / "loss" / "test_divergence.py").write_text(CHECKS)
    for id_, _, level, needs, *_ in REQUIREMENTS:
        if needs != "divergence":
            (conformance / "parts" / f"test_{level}_{needs}.py").write_text(PART.format(id=id_, part=needs))
    (user / "my_sdpo.py").write_text(IMPLEMENTATIONS)
    suite = Suite(spec, conformance)
    write_manifest(conformance, lock(suite.catalogue(), collect(suite)))
    return root


def write_spec(spec: Path) -> None:
    """Write the toy requirements, one chapter for each prefix."""
    for number, prefix in enumerate(("LOSS", "TEACH", "TRAIN")):
        entries = [
            ENTRY.format(
                id=id_,
                strength=strength,
                level=level,
                needs=needs,
                sentence=sentence,
                after=f"- After: {after[0]}" if after else "",
            )
            for id_, strength, level, needs, sentence, *after in REQUIREMENTS
            if id_.startswith(prefix)
        ]
        (spec / f"0{number}-{prefix.lower()}.md").write_text("\n".join([f"# Chapter {prefix}\n", *entries]))


@pytest.fixture(scope="session")
def suite(workplace: Path) -> Suite:
    """The toy suite."""
    return Suite.at(workplace / "suite")


@pytest.fixture
def user_folder(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory is the user's, and afterwards nothing is left there that was not there before."""
    folder = workplace / "user"
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    before = sorted(path.name for path in folder.rglob("*"))
    with contextlib.chdir(folder):
        yield folder
    assert before == sorted(path.name for path in folder.rglob("*"))
