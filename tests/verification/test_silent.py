"""What calls a part that does not answer is not run: in every worker, and at level 4."""

import shutil
from pathlib import Path
from unittest.mock import Mock

import pytest

from sdpo_ref.verification.engine import Suite, verify
from sdpo_ref.verification.isolation.events import Check
from sdpo_ref.verification.isolation.plugin import SilentPlugin
from sdpo_ref.verification.isolation.run import Request
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.silent import ANSWERS, UNDECIDED, is_not_asked
from tests.toy_suite import ENTRY

SIMPLEST = """
import pytest

PARTS = ["loss", "step", "trust_region"]

@pytest.mark.requirement("CONF-001")
@pytest.mark.parametrize("part", [pytest.param(it, marks=pytest.mark.needs(it)) for it in PARTS])
def test_answers(subject, part):
    getattr(subject, part)()
"""


@pytest.fixture
def asking_suite(suite: Suite, tmp_path: Path) -> Suite:
    """The toy suite with a requirement that parts answer their simplest call."""
    for path in (suite.spec, suite.conformance):
        shutil.copytree(path, tmp_path / path.name)
    sentence = "Each part answers its simplest call."
    entry = ENTRY.format(id=ANSWERS, strength="MUST", level=0, needs="loss", sentence=sentence, after="")
    entry = entry.replace(" · needs `loss`", "")
    (tmp_path / "spec" / "08-conf.md").write_text(f"# Chapter CONF\n\n{entry}")
    (tmp_path / "conformance" / "a_first").mkdir()
    (tmp_path / "conformance" / "a_first" / "test_answers.py").write_text(SIMPLEST)
    return Suite.at(tmp_path)


def test_each_worker_skips_what_calls_it(asking_suite: Suite, user_folder: Path) -> None:
    """The simplest calls are made in both workers; what is left of a silent part in neither, and another part's is."""
    only = (ANSWERS, "LOSS-001", "LOSS-004", "TRAIN-001", "TRAIN-002")
    report = verify("my_sdpo:faulty", suite=asking_suite, only=only, jobs=2)
    found = {it.id: (it.status, it.reason, it.failed_first) for it in report.requirements}
    assert found["LOSS-004"] == found["TRAIN-001"] == (Status.NOT_RUN, UNDECIDED, ANSWERS)
    assert found["LOSS-001"] == found["TRAIN-002"] == (Status.PASS, "", None)
    assert found[ANSWERS][0] is Status.ERROR
    ended = {check.id: check.status for it in report.requirements for check in it.checks}
    assert ended["parts/test_1_loss.py::test_loss"] is Status.NOT_RUN
    assert report.verdict.exit_code == 1


def test_the_simplest_calls_are_all_made() -> None:
    """A capability of a silent part is asked as well, so that one run names all."""
    simplest = Check("a.py::t[loss.half]", (ANSWERS,), ("loss.half",), selected=True)
    other = Check("b.py::t", ("LOSS-091",), ("loss.half",), selected=True)
    assert not is_not_asked(simplest, {"loss", "loss.half"})
    assert is_not_asked(other, {"loss.half"})
    assert not is_not_asked(other, {"loss"})


def test_a_process_that_is_started_again_knows() -> None:
    """A request brings what is silent along."""
    request = Request("a:b", Path("conformance"), Path("spec"), finished=frozenset({"x"}), silent=frozenset({"loss"}))
    assert Request.decode(request.encode()) == request
    plugin = SilentPlugin(request.silent)
    plugin.collected([Check("b.py::t", ("LOSS-004",), ("loss",), selected=True)])
    with pytest.raises(pytest.skip.Exception, match=ANSWERS):
        plugin.pytest_runtest_setup(Mock(spec=pytest.Item, nodeid="b.py::t"))
