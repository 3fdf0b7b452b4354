"""The `peers` marker: its tests may be skipped on a laptop, never in continuous integration."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def marked_test(tmp_path: Path) -> Path:
    """A folder with this project's conftest, one peer that cannot exist, and one test that needs the peers."""
    conftest = (ROOT / "tests/conftest.py").read_text(encoding="utf-8")
    absent = conftest.replace('"peers": ("trl"', '"peers": ("peer_that_is_not_installed"')
    (tmp_path / "conftest.py").write_text(absent, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  peers: needs peers\n", encoding="utf-8")
    (tmp_path / "test_peer.py").write_text(
        "import pytest\n@pytest.mark.peers\ndef test_peer(): pass\n", encoding="utf-8"
    )
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(("required", "outcome"), [("0", "1 skipped"), ("1", "1 error")])
def test_a_missing_peer_is_skipped_or_refused(
    marked_test: Path, monkeypatch: pytest.MonkeyPatch, required: str, outcome: str
) -> None:
    """Without the extra a marked test is skipped, and with SDPO_REF_REQUIRE_PEERS=1 it is an error; both say why."""
    monkeypatch.setenv("SDPO_REF_REQUIRE_PEERS", required)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", str(marked_test)]
    done = subprocess.run(command, cwd=marked_test, capture_output=True, text=True, check=False)
    assert outcome in done.stdout
    assert "not installed: peer_that_is_not_installed" in done.stdout
