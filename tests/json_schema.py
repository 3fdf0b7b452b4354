"""A checker for JSON Schema that knows just the keywords that the schemas of this project use."""

import re
from collections.abc import Iterator
from typing import Any

TYPES: dict[str, type | tuple[type, ...]] = {
    "array": list,
    "object": dict,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
KEYWORDS = {
    *("$schema", "$defs", "$ref", "title", "description", "anyOf", "type", "enum", "pattern", "minLength", "minItems"),
    *("items", "minimum", "exclusiveMinimum", "maximum", "properties", "additionalProperties", "required"),
    "minProperties",
}
"""A schema with any other keyword would be checked less strictly than it says."""


def violations(
    value: Any, schema: dict[str, Any], where: str = "$", root: dict[str, Any] | None = None
) -> Iterator[str]:
    """Every place where a value breaks a schema."""
    root = schema if root is None else root
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    assert set(schema) <= KEYWORDS, f"unknown keywords {set(schema) - KEYWORDS}"
    options = schema.get("anyOf")
    if options and all(any(violations(value, option, where, root)) for option in options):
        yield f"{where}: {value!r} fits no alternative"
    types = schema.get("type", [])
    allowed = types if isinstance(types, list) else [types]
    if allowed and not any(_is(value, name) for name in allowed):
        yield f"{where}: {value!r} is no {allowed}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is not in {schema['enum']}"
    match value:
        case str():
            yield from _text(value, schema, where)
        case list():
            yield from _array(value, schema, where, root)
        case dict():
            yield from _object(value, schema, where, root)
        case int() | float():
            yield from _number(value, schema, where)


def _is(value: Any, name: str) -> bool:
    return isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def _text(value: str, schema: dict[str, Any], where: str) -> Iterator[str]:
    if len(value) < schema.get("minLength", 0) or not re.search(schema.get("pattern", ""), value):
        yield f"{where}: {value!r} breaks {schema}"


def _number(value: float, schema: dict[str, Any], where: str) -> Iterator[str]:
    too_small = value < schema.get("minimum", value) or value <= schema.get("exclusiveMinimum", value - 1)
    if too_small or value > schema.get("maximum", value):
        yield f"{where}: {value} is out of range"


def _array(value: list[Any], schema: dict[str, Any], where: str, root: dict[str, Any]) -> Iterator[str]:
    if len(value) < schema.get("minItems", 0):
        yield f"{where}: too short"
    for index, item in enumerate(value):
        yield from violations(item, schema.get("items", {}), f"{where}[{index}]", root)


def _object(value: dict[str, Any], schema: dict[str, Any], where: str, root: dict[str, Any]) -> Iterator[str]:
    properties, extra = schema.get("properties", {}), schema.get("additionalProperties", True)
    yield from (f"{where}: {name} is missing" for name in schema.get("required", []) if name not in value)
    if len(value) < schema.get("minProperties", 0):
        yield f"{where}: too few properties"
    for name, item in value.items():
        if name in properties:
            yield from violations(item, properties[name], f"{where}.{name}", root)
        elif extra is False:
            yield f"{where}: {name} is not allowed"
        elif isinstance(extra, dict):
            yield from violations(item, extra, f"{where}.{name}", root)
