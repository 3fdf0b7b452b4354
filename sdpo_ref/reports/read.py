"""Reads a report that was saved."""

from pathlib import Path

from pydantic import ValidationError

from sdpo_ref.errors import UsageError
from sdpo_ref.reports.document import Document


def read_document(path: Path) -> Document:
    """The document in a file.

    Args:
        path: what ``sdpo-ref verify --json`` wrote.

    Returns:
        The document.

    Raises:
        UsageError: if there is none, or it is not one of this schema.
    """
    try:
        return Document.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}; write a report with `sdpo-ref verify IMPL --json {path}`"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(
            f"{path} is not a report of this release: {where}: {first['msg']}; conformance/report.schema.json says "
            f"what one is; write it anew with `sdpo-ref verify IMPL --json {path}`"
        ) from error
