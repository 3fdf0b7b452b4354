"""``sdpo-ref study report`` as its user types it, after a run of one experiment of the study."""

import contextlib
import subprocess
from pathlib import Path

import pytest

from tests.commands import sdpo_ref


def study(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    with contextlib.chdir(folder):
        return sdpo_ref("study", *arguments)


@pytest.mark.slow
def test_a_run_and_its_report(tmp_path: Path) -> None:
    """Page, Markdown and figure; then the figure alone, by the command that the page prints under it."""
    assert study(tmp_path, "run", "F07", "--seeds", "1", "--jobs", "1").returncode == 0
    done = study(tmp_path, "report", "F07", "--seeds", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 runs, 2 figures" in done.stdout
    page = (tmp_path / "study-report" / "report.html").read_text(encoding="utf-8")
    command = "sdpo-ref study run F07 --seeds 1 &amp;&amp; sdpo-ref study report --seeds 1 --figure direction"
    assert command in page
    drawn = tmp_path / "study-report" / "figures" / "direction.svg"
    before = drawn.read_bytes()
    drawn.unlink()
    assert study(tmp_path, "report", "--seeds", "1", "--figure", "direction").returncode == 0
    assert drawn.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--figure", "curve"), "there is no figure 'curve'; there are kinds, placebo"),
        (("F07",), "there is no store sdpo-study.sqlite"),
        (("F99",), "no experiment is called 'F99'"),
        (("--seeds", "0"), "received 0 seeds"),
    ],
)
def test_what_cannot_be_reported_is_one_line(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    """On standard error, with exit code 2, and nothing is written."""
    done = study(tmp_path, "report", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
