"""The published schema of a saved report: ``conformance/report.schema.json``, written from the classes."""

import json

from sdpo_ref.verification.reports.document import Document

FILE_NAME = "report.schema.json"
"""In ``conformance/``."""


def schema_text() -> str:
    """The schema as JSON Schema, draft 2020-12; ``sdpo-ref report --schema FILE`` writes it."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Document.model_json_schema()}
    return json.dumps({**schema, "title": "Report of sdpo-ref verify"}, indent=2, ensure_ascii=False) + "\n"
