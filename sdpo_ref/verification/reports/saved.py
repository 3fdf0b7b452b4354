"""Reads a saved report; anything else is refused with what to do."""

import json
from pathlib import Path

from pydantic import ValidationError

from sdpo_ref.errors import UsageError
from sdpo_ref.verification.report import SCHEMA, Report

_WRITE_ONE = "write one with `sdpo-ref verify IMPL --json FILE`"


def read_report(path: Path) -> Report:
    """The report in a file.

    Args:
        path: written by ``sdpo-ref verify --json``.

    Raises:
        UsageError: if the file cannot be read, or holds no report of this schema.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; {_WRITE_ONE}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text in UTF-8; {_WRITE_ONE}") from error
    return parse_report(text, str(path))


def parse_report(text: str, name: str) -> Report:
    """The report in a text.

    Args:
        text: JSON.
        name: of the file, for messages.

    Raises:
        UsageError: if it is not JSON, no report, of another schema, or does not follow the schema that it names.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is not JSON ({error}); {_WRITE_ONE}") from error
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != SCHEMA:
        raise UsageError(_other(name, schema))
    try:
        return Report.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise UsageError(
            f"{name} claims to follow {SCHEMA} and does not: {where}: {first['msg']}; "
            f"it was edited, or written by another version of sdpo-ref; {_WRITE_ONE}"
        ) from error


def _other(name: str, schema: object) -> str:
    if isinstance(schema, str) and schema.startswith("sdpo-ref/report/"):
        return (
            f"{name} follows {schema!r}, and this sdpo-ref reads {SCHEMA!r}; "
            "read it with the version of sdpo-ref that wrote it, or verify again"
        )
    return f"{name} is not a report: its schema is {schema!r} and should be {SCHEMA!r}; {_WRITE_ONE}"
