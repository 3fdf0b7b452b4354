"""Whatever part of the loss is offered: a right one is green and shows something, and a wrong one is red."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.verification.subsets import DECLARED_AND_MISSING, OTHERS, QUICK, wrong_ways

ROOT = Path(__file__).parent.parent.parent
LEAST = 8
"""MUST that a subset must have shown."""

Ended = Mapping[str, dict[str, Any]]


def _ended(names: Iterable[str]) -> Ended:
    done = subprocess.run(
        [sys.executable, "-m", "tests.verification.subsets", *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: Ended = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def few() -> Ended:
    return _ended(QUICK)


@pytest.fixture(scope="module")
def others() -> Ended:
    return _ended([*OTHERS, *DECLARED_AND_MISSING])


def _check(name: str, ended: Ended) -> None:
    right = ended[name]
    assert (right["exit_code"], right["open"]) == (0, []), right["sentence"]
    assert right["passed"] >= LEAST, right["sentence"]
    wrong = [f"{name}, {kind.__name__}" for kind in wrong_ways(name)]
    assert {it: ended[it]["exit_code"] for it in wrong} == dict.fromkeys(wrong, 1)


@pytest.mark.parametrize("name", QUICK)
def test_a_few(name: str, few: Ended) -> None:
    """Nothing fails and nothing is left open; always zero, negated, doubled and without masks is seen."""
    _check(name, few)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_all_others(name: str, others: Ended) -> None:
    """The same for all others."""
    _check(name, others)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "remedy"),
    list(zip(DECLARED_AND_MISSING, ["profile = {'alphas': [0.0, 1.0]}", "take it out of `capabilities`"], strict=True)),
)
def test_declared_and_missing(name: str, remedy: str, others: Ended) -> None:
    """CONF-001 says what to declare, and everything else is decided on what answers."""
    ended = others[name]
    assert ended["exit_code"] == 1
    (only,) = ended["open"]
    assert only.startswith("CONF-001 FAIL")
    assert remedy in only.replace("\\'", "'")
    assert ended["passed"] >= LEAST
