"""Batteries of slips: each is one piece of the reference that is there, and says what forbids it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sdpo_ref._resources import content
from sdpo_ref.errors import IntegrityError
from sdpo_ref.verification.suite.spec_text import read_catalogue
from tools.slips.__main__ import render
from tools.slips.battery import BATTERIES, Slip, read, slips

ROOT = Path(__file__).parent.parent.parent
SLIP = "[[slip]]\nname = 'n'\nkind = 'k'\nfile = 'bundled.py'\nline = 'l'\ninstead = 'i'\n"


@pytest.mark.parametrize("battery", BATTERIES)
def test_each_slip_is_python(battery: str) -> None:
    """The piece stands in its file once, and what takes its place can be loaded."""
    for slip in slips(battery):
        compile(slip.planted.altered(), slip.name, "exec")


@pytest.mark.parametrize("battery", BATTERIES)
def test_requirements_exist(battery: str) -> None:
    """What is said to forbid a slip is in the specification."""
    known = set(read_catalogue(content("spec")).requirements)
    assert [(it.name, name) for it in slips(battery) for name in it.forbidden_by if name not in known] == []


@pytest.mark.parametrize(
    "table",
    [
        SLIP,
        f"{SLIP}forbidden_by = ['LOSS-001']\noutside = 'o'",
        f"{SLIP}outside = 'o'\nbecause = 'b'",
        SLIP.replace("kind = 'k'\n", "outside = 'o'\n"),
        f"{SLIP}outside = 'o'\n{SLIP}outside = 'o'",
    ],
)
def test_table_is_strict(table: str) -> None:
    """Neither or both answers, an unknown or missing key, and a name that stands twice are refused."""
    with pytest.raises(IntegrityError, match=r"adapt the entry|rename one"):
        read(table)


def test_table_tells_noticed_and_outside_apart() -> None:
    """Of two that are forbidden one is noticed; one is outside."""
    chosen = [
        Slip("a", "one", "f", "l", "i", ("LOSS-001",)),
        Slip("b", "one", "f", "l", "i", ("LOSS-001",)),
        Slip("c", "two", "f", "l", "i", outside="o"),
    ]
    page = render("first", chosen, {"a": "a check", "b": "", "c": ""})
    assert "| one | 2 | 1 |" in page
    assert "| **all** | 2 | 1 (50.0%) |" in page
    assert "Forbidden by no sentence: 1, of which 0 noticed" in page


@pytest.mark.slow
def test_command_notices_a_slip_in_a_process_of_its_own() -> None:
    """A slip that changes a setting of its process is noticed, and so is the next one."""
    chosen = ["context_seeds_python", "question_stripped"]
    command = [sys.executable, "-m", "tools.slips", "first", "--only", *chosen]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(re.search(rf"^{name}: \S+::", done.stderr, re.MULTILINE) for name in chosen), done.stderr
    assert "| **all** | 2 | 2 (100.0%) |" in done.stdout
