"""Spec, code and checks name each other: no requirement without a check, no id that does not exist."""

import ast
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from sdpo_ref._resources import content
from sdpo_ref.claims.records import read_claims, read_published
from sdpo_ref.verification.checks.inputs import NEEDS_OF_SUPPORT
from sdpo_ref.verification.engine import Suite, collect
from sdpo_ref.verification.suite.capabilities import CAPABILITIES, FORMS, SUPPORTS, not_declared
from sdpo_ref.verification.suite.catalogue import Catalogue
from sdpo_ref.verification.suite.spec_text import read_catalogue

ROOT = Path(__file__).parent.parent.parent
LIBRARY = ROOT / "sdpo_ref"
ID = re.compile(r"\b(?:POLICY|ORACLE|TEACH|LOSS|TRAIN|CONF|SIM|STAT|PUB)-\d{3}\b")


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
    demanded = set(read_catalogue(content("spec"), study=True).requirements) - set(
        read_catalogue(content("spec")).requirements
    )
    assert demanded
    assert demanded - ids_in_docstrings(LIBRARY) == set()


def ids_in_docstrings(folder: Path) -> set[str]:
    """Requirement ids that docstrings of functions, classes and methods name behind "Implements:"."""
    return {name for docstring in docstrings(folder) for name in implemented(docstring)}


def docstrings(folder: Path) -> list[str]:
    """Docstrings of all functions, classes and methods in a folder; not of modules, which obey nothing."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [
        ast.get_docstring(node) or ""
        for file in sorted(folder.rglob("*.py"))
        if "_content" not in file.parts
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, kinds)
    ]


def implemented(docstring: str) -> list[str]:
    """The single ids that a docstring names behind "Implements:"; anything else there, such as a range, is an error."""
    found = []
    for line in docstring.split("Implements:")[1:]:
        sentence = line.partition(".")[0].split()
        ids = [word.rstrip(",") for word in sentence]
        if not ids or ", ".join(ids).split() != sentence or not all(ID.fullmatch(name) for name in ids):
            raise AssertionError(
                f"'Implements:' lists single ids, separated by commas; received {' '.join(sentence)!r}"
            )
        found += ids
    return found


def test_implements_names_single_ids() -> None:
    """A range names requirements of which the function may know nothing; a list of single ids is read as it stands."""
    assert implemented("One.\n\nImplements: LOSS-001, TEACH-002,\n    SIM-003.\n\nArgs:") == [
        "LOSS-001",
        "TEACH-002",
        "SIM-003",
    ]
    for wrong in ("LOSS-001 to LOSS-012.", "LOSS-001-LOSS-012.", "LOSS-001 LOSS-002.", "spec/04-loss.", "."):
        with pytest.raises(AssertionError, match="single ids"):
            implemented(f"One. Implements: {wrong}")


def test_every_requirement_has_a_check(catalogue: Catalogue) -> None:
    """Golden vectors count as checks of what they cite; claims are decided by their records."""
    marks = "\n".join(file.read_text() for file in (ROOT / "conformance").rglob("test_*.py"))
    vectors = "\n".join(file.read_text() for file in (ROOT / "conformance" / "vectors").glob("*.json"))
    checked = set(ID.findall(marks)) | set(ID.findall(vectors))
    published = {name for name in read_published(content("spec")) if name.startswith("P")}
    assert set(catalogue.requirements) - checked == set(read_claims(content("spec"))) | published


def test_every_must_is_named_by_what_obeys_it(catalogue: Catalogue) -> None:
    """Each MUST of levels 0 to 3 is named by a function, class or method of the library, except those about the suite.

    A claim (level 4) is decided by an experiment and its record.
    """
    demanded = {
        name
        for name, requirement in catalogue.requirements.items()
        if requirement.strength == "MUST" and requirement.level <= 3 and not name.startswith("CONF")
    }
    assert demanded
    assert demanded - ids_in_docstrings(LIBRARY) == set()


def test_paths_that_the_specification_names_exist() -> None:
    """Where a chapter says which code is beside it, that code is there."""
    named = {
        (chapter.name, path)
        for chapter in content("spec").glob("*.md")
        for folder, listed, end in re.findall(
            r"`((?:sdpo_ref|conformance|tests)/[\w./-]*)(?:\{([\w,]+)\}([\w.]*))?`", chapter.read_text(encoding="utf-8")
        )
        for path in ([f"{folder}{name}{end}" for name in listed.split(",")] if listed else [folder])
    }
    assert named
    assert {(chapter, path) for chapter, path in named if not (ROOT / path).exists()} == set()


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


def test_what_is_offered_alone_is_checkable_alone(catalogue: Catalogue) -> None:
    """Each requirement has a check that needs no more than it does, on whichever support alone a part is offered."""
    checks = collect(Suite.released())
    holes = [
        (requirement.id, offered)
        for requirement in catalogue.of_every_run
        if (deciding := [check for check in checks if requirement.id in check.requirements])
        for offered in product(*(SUPPORTS.get(need, {need: need}).values() for need in requirement.needs))
        if all(not_declared(check.needs, offered) for check in deciding)
    ]
    assert holes == []


def test_every_capability_is_needed_somewhere(catalogue: Catalogue) -> None:
    """A capability that no requirement needs is a dead knob; one of another form is needed as that of the part."""
    needed = {need for requirement in catalogue.requirements.values() for need in requirement.needs}
    needed |= set(NEEDS_OF_SUPPORT.values())
    needed |= {
        form + need.removeprefix(part) for part, form in FORMS.items() for need in needed if part == need[: len(part)]
    }
    assert set(CAPABILITIES) - needed == set()


@pytest.mark.slow
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
