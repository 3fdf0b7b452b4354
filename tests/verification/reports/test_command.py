"""Reports as a user asks for them: every form of one run, a saved one again, two compared, several side by side."""

import contextlib
import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import typer

from sdpo_ref.claims.comparison import comparisons
from sdpo_ref.claims.controls import Control
from sdpo_ref.claims.procedure import Answer, Compared, Question
from sdpo_ref.claims.profile import design_of
from sdpo_ref.claims.records import released_claims
from sdpo_ref.claims.rule import rule_of
from sdpo_ref.claims.verdict import ClaimVerdict
from sdpo_ref.cli import report as report_command
from sdpo_ref.cli import verify as verify_command
from sdpo_ref.errors import UsageError
from sdpo_ref.verification.engine import Suite, verify
from sdpo_ref.verification.level4 import claims_of
from sdpo_ref.verification.report import Report
from sdpo_ref.verification.reports.saved import parse_report, read_report
from sdpo_ref.verification.status import Status
from tests.commands import sdpo_ref
from tests.toy_suite import suite, workplace
from tests.verification.reports.examples import fields

__all__ = ["suite", "workplace"]

NOISY = """
from types import SimpleNamespace

def make():
    def divergence(a, b):
        print("\\x1b[31m</script><b>```\\x00")
        return -abs(a - b)
    return SimpleNamespace(divergence=divergence, name="noisy")

def better():
    return SimpleNamespace(divergence=lambda a, b: abs(a - b), name="better")
"""
ALL = ("json", "junit", "markdown", "html", "badge")
KNOWN = {"report": report_command.app, "verify": verify_command.app}
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a user works on two implementations."""
    path = tmp_path_factory.mktemp("theirs")
    (path / "theirs.py").write_text(NOISY, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    """`sdpo-ref`, as typed in that folder in a terminal 80 columns wide."""

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        with contextlib.chdir(folder):
            return sdpo_ref(*arguments)

    return command


@pytest.fixture(scope="module")
def saved(run: Run, folder: Path, workplace: Path) -> subprocess.CompletedProcess[str]:
    """Every form of the report on the noisy one, and a JSON of the better one."""
    toy = ("--suite", str(workplace / "suite"))
    better = run("verify", "theirs:better", "--json", "better.json", *toy)
    assert better.returncode == 0, better.stdout + better.stderr
    outputs = [word for form in ALL for word in (f"--{form}", f"noisy.{form}")]
    return run("verify", "theirs:make", *outputs, "--diff", "better.json", *toy)


def test_one_run_writes_every_form(saved: subprocess.CompletedProcess[str], folder: Path) -> None:
    """Each is what it should be, and holds what the implementation printed, escaped."""
    assert saved.returncode == 1, saved.stderr
    report = read_report(folder / "noisy.json")
    assert report.verdict.exit_code == 1
    texts = {form: (folder / f"noisy.{form}").read_text(encoding="utf-8") for form in ALL}
    assert ET.fromstring(texts["junit"]).tag == "testsuites"  # noqa: S314 - written by ourselves
    assert json.loads(texts["badge"])["message"] == "1/3 MUST, 1 failed, 1 not decided, 6 not offered"
    assert texts["html"].startswith("<!doctype html>")
    assert texts["markdown"].startswith("## not conformant: 1 of 3 MUST passed")
    assert "</script><b>```" in texts["markdown"]
    for form in ("junit", "markdown", "html"):
        assert "\\x1b[31m" in texts[form]
        assert "\x1b" not in texts[form]
        assert "\x00" not in texts[form]


def test_what_changed_is_shown_after_the_verdict(saved: subprocess.CompletedProcess[str]) -> None:
    """The exit code stays the verdict's."""
    _, verdict, after = saved.stdout.partition("exit code 1")
    assert verdict
    assert "newly failing: LOSS-002 MUST, PASS -> FAIL" in after
    assert "name: better -> noisy" in after


@pytest.mark.parametrize("form", ["junit", "markdown", "html", "badge"])
def test_a_saved_report_renders_as_it_did(saved: object, run: Run, folder: Path, form: str) -> None:
    """The same document with the same comparison gives the same bytes; a difference alone is the exit code."""
    done = run("report", "noisy.json", f"--{form}", f"again.{form}", "--diff", "better.json")
    assert done.returncode == 1, done.stderr
    assert (folder / f"again.{form}").read_bytes() == (folder / f"noisy.{form}").read_bytes()


def test_a_report_on_standard_output(saved: subprocess.CompletedProcess[str], run: Run) -> None:
    """What verify printed if no form is selected; Markdown alone on standard output beside a comparison."""
    plain = run("report", "noisy.json")
    assert plain.returncode == 0
    printed = saved.stdout.partition("verifying theirs:make ...\n")[2]
    assert plain.stdout == printed[: len(plain.stdout)]
    assert printed[len(plain.stdout) :].startswith("\nbefore: ")
    both = run("report", "better.json", "--markdown", "-", "--diff", "noisy.json")
    assert both.returncode == 0
    assert both.stdout.startswith("## conformant")
    assert "newly passing: LOSS-002 MUST, FAIL -> PASS" in both.stderr


def test_several_side_by_side(saved: object, run: Run, folder: Path) -> None:
    """Rows that differ on the terminal, all of them on request, and both in a file."""
    some = run("report", "--matrix", "noisy.json", "better.json", "--html", "matrix.html", "--markdown", "matrix.md")
    assert some.returncode == 0, some.stderr
    assert "LOSS-002" in some.stdout
    assert "LOSS-001" not in some.stdout
    assert "LOSS-001 MUST" in run("report", "--matrix", "--all", "noisy.json", "better.json").stdout
    assert "| LOSS-002 | MUST | FAIL | PASS |" in (folder / "matrix.md").read_text(encoding="utf-8")
    assert "</html>" in (folder / "matrix.html").read_text(encoding="utf-8")


def test_the_schema_is_written_by_one_command(run: Run, folder: Path) -> None:
    """The file on standard output and in a file is the published one."""
    done = run("report", "--schema", "schema.json")
    assert done.returncode == 0, done.stderr
    assert run("report", "--schema", "-").stdout == (folder / "schema.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report"], "received 0 reports; name one, or give --matrix"),
        (["report", "a.json"], "cannot read a.json: No such file or directory; write one with"),
        (["report", "--matrix"], "--matrix received no report; name at least one"),
        (["report", "--schema", "-", "--matrix"], "--schema is about every report and takes no other argument"),
        (["report", "x.json", "--html", "no/x.html"], "cannot write no/x.html: there is no folder"),
        (["report", "one.json", "one.json"], "received 2 reports; name one, or give --matrix"),
        (["report", "one.json", "--all"], "--all goes with --matrix"),
        (["report", "one.json", "--matrix", "--badge", "b.svg"], "--matrix goes with --all, --markdown and --html"),
        (["verify", "--html", "."], "cannot write .: it is a folder; name a file in it"),
        (["verify", "--html", "a", "--json", "./a"], "--json and --html both go to"),
        (["verify", "--markdown", "-", "--json", "-"], "--json and --markdown both go to -"),
        (["verify", "--diff", "theirs.py"], "theirs.py is not JSON"),
    ],
)
def test_a_wrong_call_is_refused_before_anything_runs(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """The message has the fix, and nothing is printed or written before it."""
    (folder / "one.json").write_text(json.dumps(fields()), encoding="utf-8")
    before = sorted(folder.iterdir())
    name, *others = arguments
    with contextlib.chdir(folder), pytest.raises(UsageError) as refused:
        typer.main.get_command(KNOWN[name])(others, standalone_mode=False)
    assert str(refused.value).startswith(words)
    assert capsys.readouterr().out == ""
    assert sorted(folder.iterdir()) == before


@pytest.fixture(scope="module")
def good(workplace: Path, suite: Suite) -> Report:
    """The report on an implementation that passes."""
    with contextlib.chdir(workplace / "user"):
        return verify("my_sdpo:good", suite=suite, only=("LOSS-001",))


@pytest.mark.parametrize("implementation", ["faulty", "rough"])
def test_every_report_follows_the_schema(workplace: Path, suite: Suite, implementation: str) -> None:
    """Whatever a run comes to; the parts that hang are left out here."""
    only = ("LOSS", "TRAIN") if implementation == "faulty" else ()
    with contextlib.chdir(workplace / "user"):
        report = verify(f"my_sdpo:{implementation}", suite=suite, only=only, jobs=1)
    again = parse_report(report.to_json(), "it")
    assert again == report
    assert again.to_json() == report.to_json()
    assert None not in [it.first_failure for it in report.requirements if it.status.is_failure]


@pytest.mark.parametrize("values", [(), (0.5, math.nan, -math.inf)])
def test_a_claim_follows_the_schema(good: Report, values: tuple[float, ...]) -> None:
    """A value that is not finite is null, for JSON has no word for it; what the numbers mean is in the document."""
    report = parse_report(with_claim(good, values).to_json(), "it")
    (claim,) = report.claims.verdicts
    assert claim.seeds == len(values)
    assert [it.value for it in claim.parts[0].comparisons[0].values] == [0.5, None, None][: len(values)]
    assert any("false pass" in line for line in report.claims.legend)
    assert all(it.status is Status.PASS for it in report.requirements)


def with_claim(report: Report, values: tuple[float, ...]) -> Report:
    """The report with a verdict on F01 for which there was no time."""
    claim = next(iter(released_claims().values()))
    design = design_of(claim, "smoke", claims=1)
    question = Question(claim, claim.parts[0], design)
    compared = Compared(comparisons(claim.parts[0])[0], None, values)
    rule = rule_of(claim.parts[0].lane, design, comparisons=1)
    verdict = ClaimVerdict(claim, (Answer(question, (compared,), rule, complete=False),), (Control("c", None, "says"),))
    return report.model_copy(update={"claims": claims_of([verdict], "smoke")})
