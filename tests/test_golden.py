"""A golden file that is not what was released is named before anything is run."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref._resources import content
from sdpo_ref.errors import IntegrityError
from sdpo_ref.verification.suite.golden import GOLDEN, SUMS, record_golden, require_golden

FILES = ("claims.json", "reference/F01.safetensors", "vectors/loss.safetensors", "mutants/kill-matrix.json")


@pytest.fixture
def conformance(tmp_path: Path) -> Path:
    """A copy of the released suite's checks, beside its specification."""
    shutil.copytree(content("spec"), tmp_path / "spec")
    return Path(shutil.copytree(content("conformance"), tmp_path / "conformance"))


def flip(path: Path, place: int) -> None:
    """Change one bit."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_the_released_files_are_those_that_were_recorded() -> None:
    """No golden file was changed without the command that writes it, and every one of them is recorded."""
    require_golden(content("conformance"))
    recorded = {line.split()[1] for line in (content("conformance") / SUMS).read_text().splitlines()}
    folders = {Path(name).parts[0] for name in recorded}
    decided = {"claims.json", "findings.json", "published-claims.json", "published.json", "lead.json", "rates.json"}
    assert folders == {*decided, "mutants", "reference", "vectors"}
    assert set(FILES) <= recorded


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_named(conformance: Path, name: str) -> None:
    """The message says which file, and what to do."""
    flip(conformance / name, -3)
    with pytest.raises(IntegrityError, match=rf"{name} was changed; .*reinstall sdpo-ref"):
        require_golden(conformance)


def test_a_file_that_went_or_came_is_named(conformance: Path) -> None:
    """A golden file that is missing, and one that was not recorded."""
    (conformance / "reference" / "F04.json").rename(conformance / "vectors" / "more.json")
    with pytest.raises(IntegrityError, match=r"reference/F04.json is missing; vectors/more.json is not recorded"):
        require_golden(conformance)


def test_only_what_was_written_is_recorded_anew(conformance: Path) -> None:
    """The command that writes one file does not bless a change of another."""
    for name in ("claims.json", "rates.json"):
        flip(conformance / name, -3)
    record_golden(conformance, ["rates.json"])
    with pytest.raises(IntegrityError) as caught:
        require_golden(conformance)
    assert "claims.json was changed" in str(caught.value)
    assert "rates.json" not in str(caught.value)
    record_golden(conformance, GOLDEN)
    require_golden(conformance)


def test_a_suite_without_a_list_is_nobodys_release(conformance: Path) -> None:
    """A third party's suite need not have one; recording begins with an empty list."""
    (conformance / SUMS).unlink()
    flip(conformance / "claims.json", -3)
    require_golden(conformance)
    record_golden(conformance, ["claims.json"])
    assert not (conformance / SUMS).exists()
    (conformance / SUMS).touch()
    record_golden(conformance, ["claims.json"])
    assert [line.split()[1] for line in (conformance / SUMS).read_text().splitlines()] == ["claims.json"]


@given(st.text(alphabet="0123456789abcdef g\n./", min_size=1, max_size=80))
def test_a_list_that_is_none_is_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Whatever stands in the list, it is read as hashes or refused; nothing else happens."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / SUMS).write_text(text)
    if text.strip("\n"):
        with pytest.raises(IntegrityError):
            require_golden(folder)


def test_verify_looks_before_it_runs(conformance: Path) -> None:
    """Exit code 4, one line, and no implementation is started."""
    flip(conformance / "vectors" / "divergence.safetensors", -1)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("sdpo-ref")), "verify", "--suite", str(conformance.parent), "--level", "0"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert done.stderr.startswith("error: golden files in ")
    assert "vectors/divergence.safetensors was changed" in done.stderr
