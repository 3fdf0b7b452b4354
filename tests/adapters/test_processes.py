"""TRL's loss in two processes: the collective call behind its logging is really made."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.peers, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("active", "finish"), [((True, True), True), ((True, False), False)])
def test_a_process_without_a_teacher_leaves_the_others_waiting(
    tmp_path: Path,
    active: tuple[bool, bool],
    finish: bool,  # noqa: FBT001 - a test's parameter
) -> None:
    """Two processes finish if both have a row that teaches; if one has none, TRL leaves the other in its gathering."""
    command = [sys.executable, "-m", "tests.adapters.loss_in_a_process"]
    processes = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "meeting"), str(own)], cwd=ROOT, stderr=subprocess.PIPE)
        for rank, own in enumerate(active)
    ]
    errors = [process.communicate(timeout=120)[1].decode() for process in processes]
    assert all(process.returncode == 0 for process in processes) is finish, errors
    assert ("Timed out" in "".join(errors)) is not finish, errors
