"""README.md does what it says: every snippet runs, every command works, every printed line is what is printed.

How a fenced block is read:

``python``
    executed; if its first line is ``# name.py`` it is a file of the reader's and is written, not executed.
``console``
    each line ``$ sdpo-ref ...`` or ``$ pytest ...`` is run, in the folder with the reader's files; it must exit with 0.
``toml``
    entries of waivers, which must be read without an error.
``sh``
    each ``make target`` must exist. They are not run: `make test` would run this test.
``text`` under ``<!-- printed by: sdpo-ref ... -->``
    every line must stand in what the command prints, durations aside; `tests/test_wheel.py` looks, which runs it.
``text`` without it
    only shown; it must not hold a number.
"""

import contextlib
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from sdpo_ref.verification.suite.waivers import read_waivers
from tests.commands import sdpo_ref

ROOT = Path(__file__).parent.parent

_FENCE = re.compile(
    r"^(?:<!-- printed by: (?P<command>.+?) -->\n)?(?P<indent> *)```(?P<language>\w+)\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(r"# (\w+\.py)\n")
_DURATION = re.compile(r"\d+(?:\.\d+)? ?s\b")


@dataclass(frozen=True)
class Block:
    """One fenced block of the README.

    Attributes:
        language: the word after the fence.
        body: what stands between the fences.
        command: what the marker above the block says it was printed by, or the empty string.
    """

    language: str
    body: str
    command: str


def blocks() -> Iterator[Block]:
    """Every fenced block, in order."""
    for match in _FENCE.finditer((ROOT / "README.md").read_text(encoding="utf-8")):
        yield Block(match["language"], textwrap.dedent(match["body"]), match["command"] or "")


BLOCKS = tuple(blocks())
FILES = {match[1]: block.body for block in BLOCKS if (match := _FILE.match(block.body))}
SNIPPETS = [block.body for block in BLOCKS if block.language == "python" and not _FILE.match(block.body)]
COMMANDS = [
    line.removeprefix("$ ") for block in BLOCKS if block.language == "console" for line in block.body.splitlines()
]
ELSEWHERE = "sdpo-ref verify my_trainer:make --only F01 --profile smoke"
"""Run by `tests/claims/test_level4.py`, which looks at its report, too."""
RUN = [
    command
    for command in COMMANDS
    if command != ELSEWHERE and not any(other.startswith(f"{command} --json ") for other in COMMANDS)
]
"""A command that stands there again with files to write is run with them only."""
PRINTED = [block for block in BLOCKS if block.command]
SHOWN = [block.body for block in BLOCKS if block.language == "text" and not block.command]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader's folder, with the files that the README has them write."""
    path = tmp_path_factory.mktemp("reader")
    for name, body in FILES.items():
        (path / name).write_text(body, encoding="utf-8")
    return path


@cache
def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of this environment once, 80 columns wide; what trains in workers has a process of its own."""
    program, *arguments = shlex.split(command)
    assert program in {"sdpo-ref", "pytest"}
    if program == "sdpo-ref" and arguments[:2] != ["study", "run"]:
        with contextlib.chdir(folder):
            return sdpo_ref(*arguments)
    if program == "pytest":  # an installation registers the plugin; naming it is harmless there, and needed elsewhere
        arguments = ["-p", "sdpo_ref.verification.entry.pytest_plugin", "-p", "no:cacheprovider", *arguments]
    module = {"pytest": "pytest", "sdpo-ref": "sdpo_ref.cli.main"}[program]
    return subprocess.run(
        [sys.executable, "-P", "-m", module, *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "80", "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def without_durations(line: str) -> str:
    """A line in which only what differs from run to run is replaced.

    Example:
        >>> without_durations("61 of 61 MUST in 4.2 s ")
        '61 of 61 MUST in _ s'
    """
    return _DURATION.sub("_ s", line).rstrip()


def test_the_readme_has_all_its_parts() -> None:
    """The blocks are found: the reader's file, the example, the commands and the table."""
    assert list(FILES) == ["my_sdpo.py", "my_loss.py", "my_trainer.py"]
    assert len(SNIPPETS) == 6
    assert BLOCKS[0].body == SNIPPETS[0]
    assert {"sdpo-ref verify my_sdpo:make", ELSEWHERE} <= set(COMMANDS)
    assert "pytest --sdpo-impl my_sdpo:make --sdpo-level 0" in COMMANDS
    assert [block.command for block in PRINTED] == ["sdpo-ref verify --level 3"]
    assert {block.language for block in BLOCKS} == {"sh", "python", "console", "text", "toml"}


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_runs(snippet: str, folder: Path) -> None:
    """A python block runs from beginning to end without a warning, its assertion included."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", snippet], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", RUN)
def test_a_command_works(command: str, folder: Path) -> None:
    """A console line exits with 0."""
    done = run(command, folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_waivers_are_read(tmp_path: Path) -> None:
    """The entries that a reader copies are what `--waivers` takes; on which day is not looked at."""
    (entries,) = [block.body for block in BLOCKS if block.language == "toml"]
    (tmp_path / "waivers.toml").write_text(entries, encoding="utf-8")
    assert [waiver.id for waiver in read_waivers(tmp_path / "waivers.toml")] == ["LOSS-003"]


@pytest.mark.parametrize("body", SHOWN)
def test_what_is_only_shown_holds_no_number(body: str) -> None:
    """A number belongs where a command regenerates it; names of files may hold one."""
    assert re.findall(r"(?<![\w/-])\d+(?![\w-])", body) == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_target_exists(page: str) -> None:
    """Each `make target` in a page is a target of the Makefile."""
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert named
    assert named - targets == set()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    """Each relative link in a page is a file or folder of the project."""
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert linked
    assert [path for path in linked if not (ROOT / path).exists()] == []
