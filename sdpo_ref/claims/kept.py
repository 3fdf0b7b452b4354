"""Files in ``conformance/`` that hold one record: how they are read, and written so that a number is a line."""

import json
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
    """Write a record so that a change of one number is a change of one line.

    Args:
        path: of the file.
        record: to write.
    """
    text = json.dumps(record.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path
