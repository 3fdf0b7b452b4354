"""The wheel is complete: from it alone, in an empty folder, `sdpo-ref verify` passes and leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdpo_ref import __version__
from tests.test_readme import PRINTED, without_durations
from tests.verification.entry.node import node

__all__ = ["node"]

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with some variables added to the environment."""
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the unpacked wheel, in front of the checkout; its dependencies come from this environment."""
    built, target = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("installed")
    build = run(
        *(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(built), str(ROOT)), cwd=built
    )
    assert build.returncode == 0, build.stdout + build.stderr
    (wheel,) = built.glob("*.whl")
    install = run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)),
        str(wheel),
        cwd=built,
    )
    assert install.returncode == 0, install.stdout + install.stderr
    return target


def test_the_installed_package_brings_its_own_content(installed: Path, tmp_path: Path) -> None:
    """Code, specification and suite all come from the wheel, not from the checkout."""
    show = "import sdpo_ref._resources as r; print(r.__file__, r.content('spec'), r.content('conformance'), sep='\\n')"
    done = run(sys.executable, "-c", show, cwd=tmp_path, PYTHONPATH=str(installed))
    assert [Path(line).is_relative_to(installed) for line in done.stdout.splitlines()] == [True] * 3, done.stderr


def test_verify_passes_in_an_empty_folder_and_leaves_it_empty(installed: Path, tmp_path: Path) -> None:
    """The bundled reference passes, and neither caches nor reports appear beside the user.

    Each line of what the README says is printed by that command is printed; only durations may differ.
    """
    (shown,) = PRINTED
    program, *words = shown.command.split()
    assert (program, *words) == ("sdpo-ref", "verify", "--level", "3")
    done = run(str(installed / "bin" / program), *words, cwd=tmp_path, PYTHONPATH=str(installed), COLUMNS="80")
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
    printed = {without_durations(line) for line in done.stdout.splitlines()}
    assert [line for line in shown.body.splitlines() if without_durations(line) not in printed] == []


def test_the_pytest_plugin_is_registered(installed: Path, tmp_path: Path) -> None:
    """In a project that has only installed the wheel, `pytest --sdpo-impl` needs no further word."""
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")
    asked = ("--sdpo-impl", "reference", "--sdpo-only", "LOSS-001", "-v", "-p", "no:cacheprovider")
    done = run(sys.executable, "-m", "pytest", *asked, cwd=tmp_path, PYTHONPATH=str(installed), PYTHONSAFEPATH="1")
    assert done.returncode == 0, done.stdout + done.stderr
    for item in ("test_own.py::test_own", "sdpo-ref::verdict", "sdpo-ref::LOSS-001"):
        assert f"{item} PASSED" in done.stdout


def test_a_program_is_checked_from_the_wheel(node: str, installed: Path, tmp_path: Path) -> None:
    """The example that is not Python comes with the wheel, and is asked through JSON lines."""
    serve = f"{node} {installed / 'sdpo_ref/_content/conformance/json-lines/example/serve.mjs'}"
    command = (str(installed / "bin/sdpo-ref"), "verify", "--cmd", serve, "--only", "LOSS-001")
    done = run(*command, cwd=tmp_path, PYTHONPATH=str(installed))
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_wheel_holds_no_tests_and_no_caches(installed: Path) -> None:
    """Only the package and its metadata are installed, under the version that the package says it has."""
    assert {path.name for path in installed.iterdir()} - {"bin"} == {
        "sdpo_ref",
        f"sdpo_ref-{__version__}.dist-info",
    }
