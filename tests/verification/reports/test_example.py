"""The example for GitHub Actions: it is YAML, and its commands are commands of this release."""

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from sdpo_ref import __version__
from sdpo_ref._resources import content
from sdpo_ref.cli import report, verify

EXAMPLE: Path = content("conformance") / "examples" / "github-actions.yml"
WORKFLOW: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["sdpo"]["steps"]
COMMANDS = [words for step in STEPS if "run" in step for words in [shlex.split(step["run"])] if words[0] == "sdpo-ref"]
KNOWN = {"verify": verify.app, "report": report.app}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_is_one_of_ours(words: list[str]) -> None:
    """Its options exist and take what they are given; nothing is run."""
    command = typer.main.get_command(KNOWN[words[1]])
    with command.make_context(words[1], words[2:]) as context:
        assert context.params


def test_it_verifies_and_keeps_what_was_written() -> None:
    """It writes the job's summary and a badge, and uploads its files also after a failure."""
    (words,) = [words for words in COMMANDS if words[1] == "verify"]
    options = dict(pairwise(words))
    assert options["--markdown"] == "$GITHUB_STEP_SUMMARY"
    written = [options[name] for name in ("--json", "--html", "--junit", "--badge")]
    (upload,) = [step for step in STEPS if "upload-artifact" in step.get("uses", "")]
    assert upload["if"] == "always()"
    assert all(Path(name).match(upload["with"]["path"]) for name in written)


def test_it_installs_this_release() -> None:
    """The version is pinned, and is the one that it was tested with."""
    (pinned,) = re.findall(r"sdpo-ref==(\S+)", EXAMPLE.read_text(encoding="utf-8"))
    assert pinned == __version__


def test_it_may_read_only() -> None:
    """The job runs code of any pull request: it may read the repository, and nothing else."""
    assert WORKFLOW["permissions"] == {"contents": "read"}
