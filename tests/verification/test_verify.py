"""``sdpo_ref.verification.engine.verify`` as a user calls it from Python: numbers and names in, a report out."""

import subprocess
import sys
from pathlib import Path

import pytest

from sdpo_ref.errors import UsageError
from sdpo_ref.verification.engine import Suite, verify
from sdpo_ref.verification.reports.saved import parse_report
from sdpo_ref.verification.status import ExitCode, Status


def test_a_name_is_verified(suite: Suite, user_folder: Path) -> None:
    """Level and names are a number and texts; the verdict has code and sentence, and the report prints itself."""
    report = verify("my_sdpo:rough", level=1, only=["LOSS"], suite=suite)
    assert report.verdict.exit_code is ExitCode.PASSED
    assert report.verdict.sentence == "partial run, no verdict on conformance: 4 of 4 MUST passed"
    assert str(report).endswith(f"({report.seconds:.1f} s)\n")
    assert [it.id for it in report.requirements] == [f"LOSS-00{number}" for number in range(1, 7)]
    assert report.not_selected["TRAIN-001"] == "MUST"


def test_one_name_needs_no_list(suite: Suite, user_folder: Path) -> None:
    """``only="LOSS-001"`` is not read letter by letter."""
    report = verify("my_sdpo:good", only="LOSS-001", suite=suite)
    assert [it.id for it in report.requirements] == ["LOSS-001"]


def test_a_folder_and_a_file_are_named_by_text(suite: Suite, user_folder: Path, tmp_path: Path) -> None:
    """Suite and waivers may be paths."""
    (tmp_path / "waivers.toml").write_text("# none\n")
    report = verify(
        "my_sdpo:good", level=0, suite=str(suite.spec.parent), waivers=str(tmp_path / "waivers.toml"), jobs=1
    )
    assert report.verdict.exit_code == 0
    with pytest.raises(UsageError, match="is not a folder"):
        verify("my_sdpo:good", suite=tmp_path)


def test_a_saved_report_prints_the_same(suite: Suite, user_folder: Path) -> None:
    """Nothing that the terminal shows is missing in the file."""
    report = verify("my_sdpo:rough", suite=suite)
    assert str(parse_report(report.to_json(), "it")) == str(report)


OBJECT = """
import sys
import hypothesis
import torch
from types import SimpleNamespace
from sdpo_ref.verification.engine import verify

hypothesis.settings.load_profile("default")
torch.set_num_threads(2)
report = verify(SimpleNamespace(divergence=lambda a, b: abs(a - b)), level=0, suite=sys.argv[1])
print(report)
again = verify(SimpleNamespace(divergence=lambda a, b: -abs(a - b), name="mine"), level=0, suite=sys.argv[1])
print(again.verdict.sentence, int(again.verdict.exit_code))
print("threads", torch.get_num_threads(), hypothesis.settings().derandomize)
"""


def test_an_object_is_verified_in_this_process(workplace: Path, tmp_path: Path) -> None:
    """No factory is needed; the report says that nothing was isolated; settings of the process are as they were."""
    done = subprocess.run(
        [sys.executable, "-c", OBJECT, str(workplace / "suite")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert "verified an object of class SimpleNamespace" in shown
    assert "isolated not at all" in shown
    assert "partial run, no verdict on conformance: 3 of 3 MUST passed" in shown
    assert "not conformant: 1 of 3 MUST passed, 1 failed, 1 not decided 1" in shown
    assert shown.endswith("threads 2 False")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_loads_it_elsewhere_is_undecided_for_an_object(tmp_path: Path) -> None:
    """LOSS-065 and level 4 run in other processes, which can load a name only: NOT-RUN, with what to do."""
    program = (
        "from sdpo_ref.bundled import make\nfrom sdpo_ref.verification.engine import verify\n"
        "report = verify(make(), only=['LOSS-065', 'F01'])\n"
        "print([(it.id, str(it.status), it.reason) for it in report.requirements])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    advice = "an object cannot be loaded in another process; pass MODULE:FACTORY instead"
    assert done.stdout.strip() == str(
        [
            ("LOSS-065", Status.NOT_RUN.value, advice),
            ("F01", Status.NOT_RUN.value, f"it trains in other processes; {advice}"),
        ]
    )
