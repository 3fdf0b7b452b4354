"""Reports as a user asks for them: all at once from a run, then again from the document alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sdpo_ref.reports.read import read_document
from tests.reports.documents import document, requirement


def sdpo_ref(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a folder, 80 columns wide."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "sdpo_ref.cli.main", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an implementation with a known defect was verified, with every report."""
    path = tmp_path_factory.mktemp("reports")
    outputs = ["--json", "a.json", "--junit", "a.xml", "--markdown", "a.md", "--html", "a.html", "--badge", "a.svg"]
    only = ("--only", "LOSS-003", "--only", "LOSS-001")
    done = sdpo_ref(path, "verify", "sdpo_ref.mutants:make,name=coefficients_swapped", *only, *outputs)
    assert done.returncode == 1, done.stdout + done.stderr
    return path


def test_a_run_writes_all_of_them(folder: Path) -> None:
    """Each names the requirement that fails, and the badge its denominator."""
    for name in ("a.json", "a.xml", "a.md", "a.html"):
        assert "LOSS-003" in (folder / name).read_text(encoding="utf-8"), name
    assert "1/2 MUST, partial, 1 failed" in (folder / "a.svg").read_text(encoding="utf-8")


def test_the_document_renders_to_the_same(folder: Path) -> None:
    """What `sdpo-ref report` makes of the saved document is what the run wrote; by default it prints Markdown."""
    done = sdpo_ref(folder, "report", "a.json", "--markdown", "b.md", "--html", "b.html", "--badge", "b.svg")
    assert done.returncode == 0, done.stderr
    for end in ("md", "html", "svg"):
        assert (folder / f"b.{end}").read_text(encoding="utf-8") == (folder / f"a.{end}").read_text(encoding="utf-8")
    assert sdpo_ref(folder, "report", "a.json").stdout == (folder / "a.md").read_text(encoding="utf-8")


def test_the_page_shows_the_known_defect(folder: Path) -> None:
    """The diagnosis of the run is in the document and on the page."""
    found = read_document(folder / "a.json")
    assert found.diagnosis is not None
    assert found.diagnosis.name in (folder / "a.html").read_text(encoding="utf-8")


def test_a_difference_has_an_exit_code(folder: Path) -> None:
    """1 if a MUST got worse, 0 if nothing did; the lines say what."""
    (folder / "good.json").write_text(document(requirement()).model_dump_json(by_alias=True), encoding="utf-8")
    (folder / "bad.json").write_text(
        document(requirement(status="FAIL")).model_dump_json(by_alias=True), encoding="utf-8"
    )
    worse = sdpo_ref(folder, "report", "bad.json", "--diff", "good.json")
    assert (worse.returncode, worse.stdout) == (1, "worse: LOSS-003 MUST: PASS -> FAIL\n")
    better = sdpo_ref(folder, "report", "good.json", "--diff", "bad.json")
    assert (better.returncode, better.stdout) == (0, "better: LOSS-003 MUST: FAIL -> PASS\n")


def test_side_by_side(folder: Path) -> None:
    """One column for each report."""
    (folder / "c.json").write_text(document(requirement()).model_dump_json(by_alias=True), encoding="utf-8")
    done = sdpo_ref(folder, "report", "--matrix", "a.json", "c.json")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines() if line.startswith("LOSS")] == ["LOSS-001", "LOSS-003"]


def test_the_schema_is_printed(folder: Path) -> None:
    """As JSON."""
    assert json.loads(sdpo_ref(folder, "report", "--schema").stdout)["title"] == "Report of sdpo-ref verify"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "no report was named"),
        (["a.json", "a.json"], "go side by side with --matrix"),
        (["nowhere.json"], "cannot read nowhere.json"),
        (["a.md"], "a.md is not a report"),
        (["a.json", "--html", "no/such/folder.html"], "there is no folder"),
        (["a.json", "--html", "."], "it is a folder"),
        (["--matrix", "a.json", "--html", "b.html"], "leave --html"),
    ],
)
def test_wrong_use_is_one_line(folder: Path, arguments: list[str], says: str) -> None:
    """Exit code 2 and what to do, no traceback."""
    done = sdpo_ref(folder, "report", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_verify_refuses_before_it_runs(folder: Path) -> None:
    """A report that has no place, or an old one that is none, is said at once."""
    for arguments in (["--html", "no/such/folder.html"], ["--diff", "a.md"]):
        done = sdpo_ref(folder, "verify", "--only", "LOSS-001", *arguments)
        assert done.returncode == 2
        assert done.stdout == ""


def test_a_run_says_what_changed(folder: Path) -> None:
    """After the verdict; the exit code is the run's own."""
    only = ("--only", "LOSS-003", "--only", "LOSS-001", "--jobs", "1")
    done = sdpo_ref(folder, "verify", *only, "--diff", "a.json")
    assert done.returncode == 0, done.stderr
    assert "better: LOSS-003 MUST: FAIL -> PASS" in done.stdout
