"""The JSON files follow their schema; the checker below knows just the keywords that the schema uses."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from sdpo_ref.vectors.case import KINDS, Kind
from sdpo_ref.vectors.store import default_folder

SCHEMA: dict[str, Any] = json.loads((default_folder() / "schema.json").read_text())

TYPES: dict[str, type | tuple[type, ...]] = {
    "array": list,
    "object": dict,
    "string": str,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def violations(value: Any, schema: dict[str, Any], where: str = "$") -> Iterator[str]:
    """Every place where a value breaks a schema."""
    types = schema.get("type", [])
    allowed = types if isinstance(types, list) else [types]
    if allowed and not any(isinstance(value, TYPES[name]) for name in allowed):
        yield f"{where}: {value!r} is no {allowed}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is not in {schema['enum']}"
    match value:
        case str():
            yield from _text(value, schema, where)
        case list():
            if len(value) < schema.get("minItems", 0):
                yield f"{where}: too short"
            for index, item in enumerate(value):
                yield from violations(item, schema.get("items", {}), f"{where}[{index}]")
        case dict():
            yield from _object(value, schema, where)
        case int() | float():
            yield from _number(value, schema, where)


def _text(value: str, schema: dict[str, Any], where: str) -> Iterator[str]:
    if len(value) < schema.get("minLength", 0) or not re.search(schema.get("pattern", ""), value):
        yield f"{where}: {value!r} breaks {schema}"


def _number(value: float, schema: dict[str, Any], where: str) -> Iterator[str]:
    too_small = value < schema.get("minimum", value) or value <= schema.get("exclusiveMinimum", value - 1)
    if too_small or value > schema.get("maximum", value):
        yield f"{where}: {value} is out of range"


def _object(value: dict[str, Any], schema: dict[str, Any], where: str) -> Iterator[str]:
    properties, extra = schema.get("properties", {}), schema.get("additionalProperties", True)
    yield from (f"{where}: {name} is missing" for name in schema.get("required", []) if name not in value)
    if len(value) < schema.get("minProperties", 0):
        yield f"{where}: too few properties"
    for name, item in value.items():
        if name in properties:
            yield from violations(item, properties[name], f"{where}.{name}")
        elif extra is False:
            yield f"{where}: {name} is not allowed"
        elif isinstance(extra, dict):
            yield from violations(item, extra, f"{where}.{name}")


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
