"""Spec, code and checks name each other: no requirement without a check, no id that does not exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sdpo_ref._resources import content
from sdpo_ref.claims.reader import read_claims
from sdpo_ref.verification.checks.inputs import NEEDS_OF_SUPPORT
from sdpo_ref.verification.suite.capabilities import CAPABILITIES
from sdpo_ref.verification.suite.catalogue import Catalogue
from sdpo_ref.verification.suite.spec_text import read_catalogue

ROOT = Path(__file__).parent.parent.parent
ID = re.compile(r"\b(?:POLICY|ORACLE|TEACH|LOSS|TRAIN|CONF|SIM|STAT)-\d{3}\b")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return read_catalogue(content("spec"))


def test_every_id_in_code_and_checks_exists(catalogue: Catalogue) -> None:
    """Docstrings ("Implements:"), checks and vectors cite requirements that are in spec/."""
    files = [
        file
        for folder in ("sdpo_ref", "conformance")
        for pattern in ("*.py", "*.json")
        for file in (ROOT / folder).rglob(pattern)
        if "_content" not in file.parts and "results" not in file.parts
    ]
    cited = {(name, file.name) for file in files for name in ID.findall(file.read_text(encoding="utf-8"))}
    known = read_catalogue(content("spec"), study=True).requirements
    assert {pair for pair in cited if pair[0] not in known} == set()


def test_every_requirement_of_the_study_is_implemented() -> None:
    """What spec/06 demands of our own world is named by the code that does it; tests/ decide it, not verify."""
    parts = ("simulation", "teachers", "trainers", "functional", "study", "claims")
    named = {name for part in parts for file in (ROOT / "sdpo_ref" / part).rglob("*.py") for name in ids_in(file)}
    demanded = set(read_catalogue(content("spec"), study=True).requirements) - set(
        read_catalogue(content("spec")).requirements
    )
    assert demanded
    assert demanded - named == set()


def ids_in(file: Path) -> set[str]:
    """Requirement ids that a file names, ranges such as ``LOSS-001 to LOSS-012`` spelt out."""
    text = file.read_text(encoding="utf-8")
    found = set(ID.findall(text))
    for prefix, low, high in re.findall(r"\b([A-Z]+)-(\d{3}) to \1-(\d{3})", text):
        found |= {f"{prefix}-{number:03d}" for number in range(int(low), int(high) + 1)}
    return found


def test_every_requirement_has_a_check(catalogue: Catalogue) -> None:
    """Golden vectors count as checks of what they cite; claims are decided by their records."""
    marks = "\n".join(file.read_text() for file in (ROOT / "conformance").rglob("test_*.py"))
    vectors = "\n".join(file.read_text() for file in (ROOT / "conformance" / "vectors").glob("*.json"))
    checked = set(ID.findall(marks)) | set(ID.findall(vectors))
    assert set(catalogue.requirements) - checked == set(read_claims(content("spec")))


def test_every_requirement_is_implemented_or_on_others(catalogue: Catalogue) -> None:
    """Each MUST is named by a docstring of the reference, alone or in a range, except those about the suite itself."""
    parts = ("functional", "losses", "teachers", "trainers", "simulation/policies", "protocols")
    files = [file for part in parts for file in (ROOT / "sdpo_ref" / part).glob("*.py")]
    named = {name for file in [*files, ROOT / "sdpo_ref" / "types.py"] for name in ids_in(file)}
    missing = {
        name
        for name, requirement in catalogue.requirements.items()
        if requirement.strength == "MUST" and not name.startswith("CONF") and name not in named
    }
    assert missing == set(read_claims(content("spec")))  # a claim is an experiment and a record


def test_needs_are_capabilities(catalogue: Catalogue) -> None:
    """What a requirement needs is something an implementation can declare; what it comes after exists."""
    for requirement in catalogue.requirements.values():
        assert set(requirement.needs) <= set(CAPABILITIES), requirement.id
        assert set(requirement.after) <= set(catalogue.requirements), requirement.id


def test_prerequisites_have_no_circle(catalogue: Catalogue) -> None:
    """No requirement comes after itself."""

    def before(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path, name])
        for earlier in catalogue.requirements[name].after:
            before(earlier, (*path, name))

    for name in catalogue.requirements:
        before(name, ())


def test_every_capability_is_needed_somewhere(catalogue: Catalogue) -> None:
    """A capability that no requirement needs is a dead knob."""
    needed = {need for requirement in catalogue.requirements.values() for need in requirement.needs}
    needed |= set(NEEDS_OF_SUPPORT.values())
    assert set(CAPABILITIES) - needed == set()


def test_suite_runs_from_another_folder(tmp_path: Path) -> None:
    """The plugin works for plain pytest, collected by path, outside this repository."""
    suite = content("conformance")
    command = [sys.executable, "-m", "pytest", str(suite), "-c", str(suite / "pytest.ini"), "-p", "no:cacheprovider"]
    done = subprocess.run(
        [
            *command,
            "-p",
            "sdpo_ref.verification.isolation.plugin",
            "-q",
            "-k",
            "test_worked_example",
            "--impl",
            "reference",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
