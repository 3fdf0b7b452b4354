"""The JSON files follow their schema, which is published beside them."""

import json
from typing import Any

import pytest

from sdpo_ref.vectors.case import KINDS, Kind
from sdpo_ref.vectors.store import default_folder
from tests.json_schema import violations

SCHEMA: dict[str, Any] = json.loads((default_folder() / "schema.json").read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_files_follow_the_schema(kind: Kind) -> None:
    """No file breaks its schema anywhere."""
    assert list(violations(json.loads((default_folder() / f"{kind}.json").read_text()), SCHEMA)) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "Has Space"),
        ("kind", "other"),
        ("requirements", []),
        ("requirements", ["LOSS-1"]),
        ("effect", ""),
        ("options", {"alpha": 2}),
        ("options", {"alhpa": 0.5}),
        ("options", {"k": 0}),
        ("expected", {}),
        ("tolerance", {"relative": 0, "absolute": 0, "derivation": "x"}),
        ("tolerance", {"relative": 0}),
        ("known_wrong", [{"expected": "value", "value": ["inf"], "looks_like": "x"}]),
        ("sha256", "abc"),
        ("surprise", 1),
    ],
)
def test_the_checker_sees_violations(field: str, value: Any) -> None:
    """Each spoilt field is reported, so an empty list of violations means something."""
    entry = json.loads((default_folder() / "average.json").read_text())[0]
    assert list(violations([{**entry, field: value}], SCHEMA)) != []
