"""The published schema of a report: ``conformance/report.schema.json``, generated from the models."""

import json
from pathlib import Path

from sdpo_ref.reports.document import Document

FILE = Path("report.schema.json")
"""In the folder of the suite."""


def schema_text() -> str:
    """The schema, JSON Schema draft 2020-12."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Document.model_json_schema()}
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
