"""``pytest --sdpo-impl`` in a user's own project, outside of this repository: items, outcomes, and no cost unused."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from sdpo_ref.verification.engine import Suite, verify
from sdpo_ref.verification.entry.pytest_outcomes import VERDICT, Outcome, Outcomes, outcomes, shared
from sdpo_ref.verification.report import Report
from tests.toy_suite import suite, user_folder, workplace

__all__ = ["suite", "user_folder", "workplace"]

ROOT = Path(__file__).parents[3]

IMPLEMENTATION = """
import torch

class Sdpo:
    capabilities = {"divergence"}

    def __init__(self, sign=1.0):
        self.sign = sign

    def divergence(self, student_log_probs, teacher_log_probs, *, alpha, support):
        if support.kind != "full" or alpha not in (0.0, 1.0):
            raise NotImplementedError
        p, q = (teacher_log_probs, student_log_probs)[:: 1 if alpha == 0.0 else -1]
        value = (p.exp() * torch.where(p > -torch.inf, p - q, 0.0)).sum(-1)
        return self.sign * value
"""

Session = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with code in ``src``, one test of its own, and strict settings."""
    (tmp_path / "src" / "mine").mkdir(parents=True)
    (tmp_path / "src" / "mine" / "sdpo.py").write_text(IMPLEMENTATION)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_own.py").write_text("def test_own():\n    pass\n")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = --strict-markers --strict-config\npythonpath = src\nfilterwarnings = error\n"
        "testpaths = tests\n"
    )
    return tmp_path


@pytest.fixture
def session(project: Path) -> Session:
    """Runs pytest in the project; the plugin is named, because this checkout need not be what is installed."""

    def run(*arguments: str, plain: bool = False) -> subprocess.CompletedProcess[str]:
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST")}
        path = os.pathsep.join(filter(None, [str(ROOT), inherited.get("PYTHONPATH")]))
        plugin = [] if plain else ["-p", "sdpo_ref.verification.entry.pytest_plugin"]
        return subprocess.run(
            [sys.executable, "-m", "pytest", *plugin, "-p", "no:cacheprovider", "-p", "no:benchmark", *arguments],
            cwd=project,
            env={**inherited, "PYTHONPATH": path, "COLUMNS": "120", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_without_the_option_nothing_heavy_is_imported(project: Path) -> None:
    """Every session of the environment loads the plugin, so a session that does not use it pays nothing."""
    program = (
        "import sys, pytest\n"
        "ended = pytest.main(['-q', '-p', 'sdpo_ref.verification.entry.pytest_plugin', '-p', 'no:cacheprovider'])\n"
        "print('ENDED', int(ended), sorted(name for name in sys.modules if name.startswith('sdpo_ref')))\n"
        "print('HEAVY', sorted({'torch', 'numpy', 'rich', 'hypothesis', 'pydantic'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=project, env=environment, capture_output=True, text=True, check=True
    )
    ours = [
        "sdpo_ref",
        "sdpo_ref.verification",
        "sdpo_ref.verification.entry",
        "sdpo_ref.verification.entry.pytest_plugin",
    ]
    assert f"ENDED 0 {ours}\nHEAVY []\n" in done.stdout


def test_the_plugin_is_registered() -> None:
    """The entry point has the name of its module, so that naming the module as well does not register it twice."""
    settings = (ROOT / "pyproject.toml").read_text()
    name = '"sdpo_ref.verification.entry.pytest_plugin"'
    assert f"[project.entry-points.pytest11]\n{name} = {name}" in settings


@pytest.mark.slow
def test_requirements_are_items_beside_the_users_own(session: Session) -> None:
    """Each requirement is one item: passed, failed with the block that the command line prints, or skipped."""
    only = [word for name in ("LOSS-001", "LOSS-005", "LOSS-011", "LOSS-020") for word in ("--sdpo-only", name)]
    done = session("--sdpo-impl", "mine.sdpo:Sdpo,sign=-1.0", *only, "-rA")
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "PASSED tests/test_own.py::test_own" in lines
    assert any(line.startswith("FAILED sdpo-ref::LOSS-001 - LOSS-001 FAIL  MUST") for line in lines)
    assert re.search(r"SKIPPED .* not applicable, not offered: divergence.top_k_tail", done.stdout)
    assert re.search(r"SKIPPED .* not decided, LOSS-\d+ failed first", done.stdout)
    assert re.search(r"SKIPPED .* see the requirements that failed", done.stdout)
    block = " ".join(done.stdout[done.stdout.index("LOSS-001 FAIL  MUST") :].split())
    for words in (
        "At alpha = 0 the divergence of a token equals the forward KL(teacher‖student). expected divergence in nats",
        "repeat sdpo-ref verify mine.sdpo:Sdpo,sign=-1.0 --only LOSS-001",
    ):
        assert words in block
    assert "pytest_items.py" not in block.partition("short test summary info")[0]


@pytest.mark.slow
def test_processes_of_one_session_share_one_run(session: Session, project: Path) -> None:
    """With pytest-xdist the suite runs once, for whichever process is first; nothing is left behind."""
    made = project / "made"
    module = project / "src" / "mine" / "sdpo.py"
    module.write_text(f"open({str(made)!r}, 'a').write('x')\n{IMPLEMENTATION}")
    done = session(
        "--sdpo-impl", "mine.sdpo:Sdpo", "--sdpo-only", "LOSS-001", "--sdpo-only", "LOSS-002", "-n", "2", "-v"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {line.split()[-1] for line in done.stdout.splitlines() if "PASSED" in line} == {
        *("tests/test_own.py::test_own", "sdpo-ref::verdict", "sdpo-ref::LOSS-001", "sdpo-ref::LOSS-002")
    }
    assert made.read_text() == "x"


@pytest.mark.slow
def test_items_are_chosen_as_any_others(session: Session) -> None:
    """``-k`` and ``--collect-only`` see them, counted among the collected, and run nothing."""
    done = session("--sdpo-impl", "no.such:make", "--sdpo-level", "0", "-k", "own or LOSS-009", "--collect-only", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[:2] == ["tests/test_own.py::test_own", "sdpo-ref::LOSS-009"]
    assert re.search(r"^2/2\d tests collected", done.stdout, re.MULTILINE)


@pytest.mark.slow
def test_a_selection_of_nothing_is_a_usage_error(session: Session) -> None:
    """A typo in a name is exit code 4 and one line, under the name of the plugin's option."""
    done = session("--sdpo-impl", "mine.sdpo:Sdpo", "--sdpo-only", "LOSS-0O1")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: --sdpo-only 'LOSS-0O1' is neither a requirement nor part of a check's id" in done.stderr


@pytest.mark.slow
def test_an_implementation_that_cannot_be_loaded_fails(session: Session) -> None:
    """Every item fails with the one line that says why, so that no choice of items can be green."""
    done = session("--sdpo-impl", "mine.sdpo:Spdo", "--sdpo-only", "LOSS-001", "--sdpo-only", "LOSS-002", "-q")
    assert done.returncode == 1
    assert "mine.sdpo has no 'Spdo'; it has Sdpo" in done.stdout
    assert "3 failed, 1 passed" in done.stdout


@pytest.fixture(scope="module")
def faulty(workplace: Path, suite: Suite) -> Report:
    """The report on an implementation that goes wrong in every way."""
    before = Path.cwd()
    os.chdir(workplace / "user")
    try:
        return verify("my_sdpo:faulty", suite=suite, time_limit=2.0, jobs=1)
    finally:
        os.chdir(before)


@pytest.mark.slow
def test_every_status_has_its_outcome(faulty: Report) -> None:
    """Only a MUST fails; a SHOULD is an xfail, and what is not decided is skipped with the reason."""
    found = outcomes(faulty)
    kinds = {name: outcome.kind for name, outcome in found.items()}
    assert kinds == {
        VERDICT: "skipped",
        "LOSS-001": "passed",
        "LOSS-002": "failed",
        "LOSS-003": "skipped",
        "LOSS-004": "failed",
        "LOSS-005": "xfail",
        "LOSS-006": "skipped",
        "TEACH-001": "failed",
        "TEACH-002": "failed",
        "TRAIN-001": "failed",
        "TRAIN-002": "passed",
    }
    assert found["LOSS-003"].text == "not decided, LOSS-002 failed first"
    assert found["LOSS-005"].text == "SHOULD not met: The divergence is round."
    assert found["LOSS-006"].text == "not applicable, not offered: hybrid_loss"
    assert "the process ended with exit code 7" in found["TEACH-002"].text


@pytest.mark.slow
def test_a_run_without_a_verdict_fails(suite: Suite, user_folder: Path) -> None:
    """Where no requirement fails and the run still does not count, the verdict is the item that fails."""
    manifest = suite.conformance / "manifest.json"
    before = manifest.read_text()
    manifest.write_text(before.replace("test_grows", "test_gone"))
    try:
        found = outcomes(verify("my_sdpo:good", suite=suite))
    finally:
        manifest.write_text(before)
    assert {name for name, outcome in found.items() if outcome.kind == "failed"} == {VERDICT}
    assert "LOSS-002: check gone: loss/test_divergence.py::test_gone" in found[VERDICT].text
    assert "exit code 5" in found[VERDICT].text


def test_only_the_first_process_runs(tmp_path: Path) -> None:
    """A later process reads the stored results and starts no run of its own."""
    runs: list[int] = []

    def run() -> Outcomes:
        runs.append(1)
        return {"LOSS-001": Outcome("failed", "KL(p‖q)"), VERDICT: Outcome("passed")}

    assert shared(tmp_path, run) == shared(tmp_path, run) == run()
    assert len(runs) == 2


def test_a_requirement_without_an_outcome_is_skipped() -> None:
    """A name with parameters may collect a requirement that no check of it decides."""
    from sdpo_ref.verification.entry.pytest_items import Requirements, _found

    of_config = SimpleNamespace(stash=pytest.Stash())
    of_config.stash[_found] = {}
    asked = cast("Requirements", SimpleNamespace(config=of_config))
    assert Requirements.outcome(asked, "LOSS-001") == Outcome("skipped", "no check of it was selected")
