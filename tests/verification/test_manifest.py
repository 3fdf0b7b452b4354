"""The locked denominator can be written, read back and compared; a broken file is refused."""

import json
from pathlib import Path

import pytest

from sdpo_ref.errors import IntegrityError
from sdpo_ref.verification.engine import Suite
from sdpo_ref.verification.suite.manifest import Locked, differences, read_manifest, write_manifest

BEFORE = {"LOSS-001": Locked("MUST", 0, "ab", ("a::b",)), "LOSS-002": Locked("MUST", 0, "ab", ())}


def test_it_survives_the_file(tmp_path: Path) -> None:
    """What is written is read back, and the file ends with a line break, ids in order."""
    write_manifest(tmp_path, BEFORE)
    assert read_manifest(tmp_path) == BEFORE
    text = (tmp_path / "manifest.json").read_text()
    assert text.endswith("}\n")
    assert list(json.loads(text)["requirements"]) == ["LOSS-001", "LOSS-002"]


def test_every_difference_is_one_line() -> None:
    """Gone and new requirements, strength, level, words and checks are distinguished."""
    after = {"LOSS-001": Locked("SHOULD", 1, "cd", ("a::c",)), "LOSS-003": Locked("MAY", 0, "ab", ("a::d", "a::e"))}
    assert differences(BEFORE, after) == (
        "LOSS-001: strength was MUST, is SHOULD",
        "LOSS-001: level was 0, is 1",
        "LOSS-001: its sentence changed",
        "LOSS-001: check gone: a::b",
        "LOSS-001: check new: a::c",
        "LOSS-002: gone (locked as MUST with 0 checks)",
        "LOSS-003: new (MAY with 2 checks)",
    )
    assert differences(BEFORE, BEFORE) == ()


@pytest.mark.parametrize("text", ["", "[]", '{"requirements": {"LOSS-001": {"level": 0}}}'])
def test_a_broken_file_is_refused(tmp_path: Path, text: str) -> None:
    """A manifest that cannot be read is not an empty one."""
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(IntegrityError, match="is not a manifest"):
        read_manifest(tmp_path)


def test_a_function_is_locked_once_whatever_its_parameters(suite: Suite) -> None:
    """Adding a parameter does not change the denominator; adding a function does."""
    assert suite.manifest()["LOSS-002"].checks == ("loss/test_divergence.py::test_grows",)
