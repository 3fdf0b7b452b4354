"""Files in ``conformance/`` that hold one record: how they are read, and written so that a number is a line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from sdpo_ref.errors import IntegrityError

Kept = TypeVar("Kept", bound=BaseModel)


def read_kept(path: Path, model: type[Kept], *, again: str) -> Kept | None:
    """The record in a file; ``None`` if there is no file.

    Args:
        path: of the file.
        model: of the record.
        again: the command that writes the file again.

    Raises:
        IntegrityError: if the file does not hold such a record.
    """
    if not path.exists():
        return None
    try:
        return model.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise IntegrityError(f"{path} cannot be read ({error}); restore it, or run `{again}`") from error


def write_kept(path: Path, record: BaseModel) -> Path:
    """Write a record so that a change of one number is a change of one line; the file is whole or stays as it was.

    Args:
        path: of the file.
        record: to write.
    """
    text = json.dumps(record.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_text(text + "\n", encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def differing(one: object, other: object, at: str = "") -> Iterator[tuple[str, object, object]]:
    """Where two documents differ, number by number.

    Args:
        one: a document of objects, arrays and values.
        other: to compare it with.
        at: where in a greater document both are.

    Yields:
        The place, and what stands there in each; ``None`` where there is nothing.

    Example:
        >>> list(differing({"a": [1, 2]}, {"a": [1, 3]}))
        [('a 1', 2, 3)]
    """
    if isinstance(one, list) and isinstance(other, list):
        one, other = dict(enumerate(one)), dict(enumerate(other))
    if isinstance(one, dict) and isinstance(other, dict):
        for name in dict.fromkeys((*one, *other)):
            yield from differing(one.get(name), other.get(name), f"{at} {name}".strip())
    elif one != other:
        yield at, one, other
