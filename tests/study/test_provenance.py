"""Provenance says which code made a number, and nothing about whose machine it was."""

import getpass
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sdpo_ref
from sdpo_ref.study.fingerprint import code_fingerprint
from sdpo_ref.study.provenance import origin, provenance

PACKAGE = Path(sdpo_ref.__file__).parent

SHOW = (
    "from sdpo_ref.study import provenance as p; import sdpo_ref, pathlib, sys; p.code_fingerprint = lambda: 'x';"
    "assert pathlib.Path(sdpo_ref.__file__).is_relative_to(sys.argv[1]); print(*p._git())"
)


def git_of(folder: Path) -> str:
    """What a package that lies in this folder says about its checkout."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW, str(folder)],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def git(folder: Path, *words: str) -> str:
    """Run git without any settings of a user."""
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a copy of the package in it."""
    shutil.copytree(PACKAGE, tmp_path / "sdpo_ref", ignore=shutil.ignore_patterns("__pycache__"))
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "all")
    return tmp_path


def test_it_names_every_version() -> None:
    """Package, specification, code, Python and the two libraries that compute."""
    found = provenance(started=0.0, wall_seconds=1.5, simulator="reference")
    assert (found.package, found.specification) == (sdpo_ref.__version__, sdpo_ref.SPEC_VERSION)
    assert found.code == code_fingerprint()
    assert found.python == platform.python_version()
    assert found.torch.split(".")[0].isdigit()
    assert found.numpy.split(".")[0].isdigit()
    assert found.started.utcoffset() is not None


def test_it_says_nothing_about_the_machine() -> None:
    """Neither a host name nor a user name nor a path is in it."""
    text = origin().model_dump_json()
    for secret in (platform.node(), str(Path.home()), str(PACKAGE.parent), f'"{getpass.getuser()}"'):
        assert not secret or secret not in text


def test_a_checkout_has_a_revision_and_is_clean_or_not(checkout: Path) -> None:
    """The revision is git's; a change outside the package does not count, one inside does."""
    revision = git(checkout, "rev-parse", "HEAD")
    assert git_of(checkout) == f"{revision} False"
    (checkout / "notes.txt").write_text("not code")
    assert git_of(checkout) == f"{revision} False"
    (checkout / "sdpo_ref" / "types.py").write_text("# changed")
    assert git_of(checkout) == f"{revision} True"


def test_somebody_elses_checkout_is_not_ours(checkout: Path) -> None:
    """A package that was installed into a folder of the user's project does not take that project's revision."""
    inside = checkout / "lib"
    inside.mkdir()
    shutil.move(checkout / "sdpo_ref", inside / "sdpo_ref")
    assert git_of(inside) == "None None"


def test_outside_a_checkout_there_is_no_revision(checkout: Path) -> None:
    """As in a wheel."""
    shutil.rmtree(checkout / ".git")
    assert git_of(checkout) == "None None"
