"""The command line as a user calls it: exit codes, one-line errors, files, and no torch for help."""

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from sdpo_ref.verification.engine import Suite
from tests.commands import sdpo_ref

Command = Callable[..., subprocess.CompletedProcess[str]]
HEAVY = ("torch", "numpy", "pytest", "hypothesis", "pydantic", "mpmath")


@pytest.fixture
def command(user_folder: Path, workplace: Path) -> Command:
    """Runs ``sdpo-ref`` in the user's folder, 80 columns wide; ``toy=True`` on the toy suite."""

    def run(*arguments: str, toy: bool = False) -> subprocess.CompletedProcess[str]:
        return sdpo_ref(*arguments, *(["--suite", str(workplace / "suite")] if toy else []))

    return run


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    """Help and version need neither torch nor pytest nor pydantic, so they answer at once."""
    program = (
        "import sys\nfrom sdpo_ref.cli.main import main\n"
        f"sys.argv = ['sdpo-ref', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as left:\n    assert left.code == 0, left.code\n"
        f"print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("HEAVY []\n")


def test_help_names_every_command() -> None:
    """A newcomer sees what there is, in a terminal of 80 columns."""
    done = subprocess.run(
        [sys.executable, "-m", "sdpo_ref.cli.main", "--help"],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    text = done.stdout
    for name in ("verify", "report", "spec", "vectors", "results", "study", "claims", "lm", "doctor"):
        assert f"│ {name} " in text


@pytest.mark.parametrize("name", ["verify", "report", "spec", "vectors", "results", "study", "claims", "lm", "doctor"])
def test_every_command_has_help(command: Command, name: str) -> None:
    """Each sub-command is reached through the lazy table and explains itself under its own name."""
    done = command(name, "--help")
    assert done.returncode == 0
    assert f"Usage: sdpo-ref {name}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["verify", "my_sdpoo:good"], 2, "error: there is no module 'my_sdpoo'; did you mean my_sdpo"),
        (["verify", "my_sdpo:good", "--only", "LOSS-042"], 2, "error: --only 'LOSS-042' is neither a requirement"),
        (["verify", "my_sdpo:good", "--json", "no/where/x.json"], 2, "error: cannot write no/where/x.json"),
        (["spec", "show", "LOSS-0O1"], 2, "error: no requirement is called 'LOSS-0O1'; did you mean LOSS-001"),
        (["spec", "list", "--chapter", "lost"], 2, "error: no chapter is called 'lost'; there are 00-loss"),
    ],
)
def test_a_wrong_call_is_one_line_on_standard_error(
    command: Command, arguments: list[str], code: int, message: str
) -> None:
    """No traceback, the right exit code, and the fix."""
    done = command(*arguments, toy=True)
    assert done.returncode == code
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_an_unknown_option_is_a_usage_error(command: Command) -> None:
    """Options are checked by the sub-command although the root forwards them."""
    done = command("verify", "--levle", "1")
    assert done.returncode == 2
    assert "--levle" in done.stderr


def test_verify_writes_what_it_is_asked_for(command: Command, tmp_path: Path) -> None:
    """JSON and JUnit are written beside the report, and the exit code is the verdict's."""
    to_json, to_junit = tmp_path / "report.json", tmp_path / "junit.xml"
    done = command("verify", "my_sdpo:talkative", "--json", str(to_json), "--junit", str(to_junit), toy=True)
    assert done.returncode == 1
    assert "not conformant: 1 of 3 MUST passed" in done.stdout
    assert "\x1b" not in done.stdout
    assert json.loads(to_json.read_text())["verdict"]["exit_code"] == 1
    assert ET.parse(to_junit).getroot().tag == "testsuites"  # noqa: S314 - written by ourselves


@pytest.mark.slow
def test_what_is_known_to_fail_can_be_waived(command: Command, tmp_path: Path) -> None:
    """A user writes down what fails, gets a green build and an honest sentence, and is warned of stale entries."""
    entry = '[[waiver]]\nid = "{id}"\nreason = "known"\nlink = "https://example.org/7"\nexpires = {expires:%Y-%m-%d}\n'
    soon = dt.datetime.now(tz=dt.UTC).date() + dt.timedelta(days=30)
    file, to_json = tmp_path / "waivers.toml", tmp_path / "report.json"
    arguments = ("verify", "my_sdpo:talkative", "--waivers", str(file), "--json", str(to_json))
    failing = "".join(entry.format(id=it, expires=soon) for it in ("LOSS-002", "LOSS-003"))

    file.write_text(failing)
    waived = command(*arguments, toy=True)
    assert waived.returncode == 0, waived.stdout + waived.stderr
    assert "conformant in what it offers except LOSS-002, LOSS-003" in waived.stdout
    document = json.loads(to_json.read_text())
    assert document["verdict"]["conformant"] is False
    assert [it["id"] for it in document["waivers"]] == ["LOSS-002", "LOSS-003"]
    assert document["diagnosis"] is None

    file.write_text(failing + entry.format(id="LOSS-001", expires=soon) + entry.format(id="LOSS-004", expires=soon))
    unneeded = command(*arguments, toy=True)
    assert unneeded.returncode == 2
    assert "waived and passes: LOSS-001; remove the waiver" in unneeded.stdout
    assert "does not apply to what is offered: LOSS-004" in unneeded.stdout

    file.write_text(entry.format(id="LOSS-002", expires=soon - dt.timedelta(days=60)))
    expired = command(*arguments, toy=True)
    assert (expired.returncode, "exit code" in expired.stdout) == (2, False)
    assert "the waiver of LOSS-002 expired on" in expired.stderr


def test_json_on_standard_output_is_json_only(command: Command) -> None:
    """The report for a person goes to standard error then."""
    done = command("verify", "my_sdpo:good", "--json", "-", "--level", "0", toy=True)
    assert done.returncode == 0
    assert json.loads(done.stdout)["verdict"]["partial"] is True
    assert "partial run, no verdict on conformance: 3 of 3 MUST passed" in done.stderr


def test_a_debugger_gets_the_same_verdict_in_process(user_folder: Path, workplace: Path) -> None:
    """Without isolation the result is the same, and what the implementation prints is seen."""
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "sdpo_ref.cli.main", "verify", "my_sdpo:talkative", "--in-process"),
            *("--suite", str(workplace / "suite")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "not conformant: 1 of 3 MUST passed" in done.stdout
    assert "to stderr" in done.stderr


def test_the_checks_can_be_listed(command: Command) -> None:
    """Listing runs nothing, and follows --level and --only."""
    everything = command("verify", "--list", toy=True).stdout
    assert "TRAIN-001    MUST          3  parts/test_3_step.py::test_step" in everything
    some = command("verify", "--list", "--level", "0", "--only", "grows", toy=True).stdout
    assert "LOSS-002" in some
    assert "LOSS-001" not in some


def test_a_requirement_is_shown_with_all_that_belongs_to_it(command: Command, suite: Suite) -> None:
    """Sentence, rationale, source, prerequisites, checks and golden vectors."""
    vectors = suite.conformance / "vectors"
    vectors.mkdir()
    cases = [{"id": "two-tokens", "requirements": ["LOSS-003"]}, {"id": "other", "requirements": ["LOSS-001"]}]
    (vectors / "toy.json").write_text(json.dumps(cases))
    text = " ".join(command("spec", "show", "loss-003", toy=True).stdout.split())
    (vectors / "toy.json").unlink()
    vectors.rmdir()
    for words in (
        "LOSS-003 MUST, level 0, needs divergence",
        "The divergence has the size of the distance.",
        "if broken training stops to be fun.",
        "after LOSS-002",
        "checks loss/test_divergence.py::test_size",
        "vectors two-tokens (toy.json)",
        "read spec/00-loss.md#loss-003",
    ):
        assert words in text
    assert "other" not in text


@pytest.mark.parametrize("chapter", ["01-teach", "01", "teach"])
def test_requirements_are_listed_by_chapter(command: Command, chapter: str) -> None:
    """A chapter is found by number, by name, or by both."""
    text = command("spec", "list", "--chapter", chapter, toy=True).stdout
    assert text.startswith("Chapter TEACH\n")
    assert "TEACH-002  MUST  The completion mask returns one." in text
    assert "LOSS" not in text


@pytest.mark.slow
def test_lock_says_what_changed_and_refuses_strays(command: Command, suite: Suite) -> None:
    """A locked suite locks again without a change; a check of an unknown requirement is not locked."""
    before = (suite.conformance / "manifest.json").read_text()
    again = command("spec", "lock", toy=True)
    assert again.stdout == "locked 10 requirements and 10 checks, 0 changes\n"
    stray = suite.conformance / "test_stray.py"
    stray.write_text('import pytest\n@pytest.mark.requirement("LOSS-404")\ndef test_stray(): pass\n')
    refused = command("spec", "lock", toy=True)
    stray.write_text("def test_stray(): pass\n")
    unmarked = command("spec", "lock", toy=True)
    stray.unlink()
    assert (refused.returncode, unmarked.returncode) == (2, 2)
    assert "test_stray.py::test_stray (LOSS-404)" in refused.stderr
    assert "nothing was locked" in unmarked.stderr
    assert (suite.conformance / "manifest.json").read_text() == before


def test_a_suite_that_differs_from_its_manifest_is_incomplete(command: Command, suite: Suite) -> None:
    """A check that disappeared is named, and the exit code is 5 although all others pass."""
    manifest = suite.conformance / "manifest.json"
    before = manifest.read_text()
    manifest.write_text(before.replace("test_grows", "test_gone"))
    done = command("verify", "my_sdpo:good", "--level", "0", toy=True)
    manifest.write_text(before)
    assert done.returncode == 5
    assert "LOSS-002: check gone: loss/test_divergence.py::test_gone" in done.stdout


def test_doctor_looks_at_everything(command: Command) -> None:
    """Versions, peers, suite and machine each have a line, and a working installation is ready."""
    done = command("doctor")
    for subject in ("python", "torch", "trl", "specification", "checks", "vectors", "two processes", "temporary"):
        assert f" {subject}" in done.stdout
    assert done.returncode == 0
    assert done.stdout.endswith("ready: sdpo-ref verify\n")


def test_the_plugin_works_without_the_engine(user_folder: Path, workplace: Path) -> None:
    """A debugger or another test suite can run the checks with pytest alone."""
    folder = workplace / "suite" / "conformance"
    plain = [sys.executable, "-m", "pytest", str(folder), "-c", str(folder / "pytest.ini"), "-p", "no:cacheprovider"]
    done = subprocess.run(
        [
            *plain,
            "-p",
            "sdpo_ref.verification.isolation.plugin",
            "--impl",
            "my_sdpo:divergence_only",
            "-q",
            "-k",
            "divergence",
        ],
        capture_output=True,
        text=True,
        check=False,
        env={
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "HYPOTHESIS_STORAGE_DIRECTORY": str(workplace / "hypothesis"),
        },
    )
    assert "5 passed" in done.stdout
