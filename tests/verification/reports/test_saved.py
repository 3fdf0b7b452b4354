"""What is refused as a saved report, and the fix in the message."""

import json
from pathlib import Path
from typing import Any

import pytest

from sdpo_ref._resources import content
from sdpo_ref.errors import UsageError
from sdpo_ref.verification.isolation.text import printable
from sdpo_ref.verification.report import SCHEMA, SCHEMA_FILE, Report, schema_text
from sdpo_ref.verification.reports.saved import parse_report, read_report
from tests.verification.reports.examples import everything, fields, filled, read


def test_the_schema_on_file_is_the_schema() -> None:
    """`sdpo-ref report --schema conformance/report.schema.json` would change nothing."""
    assert (content("conformance") / SCHEMA_FILE).read_text(encoding="utf-8") == schema_text()


def test_the_schema_explains_every_field_and_admits_no_other() -> None:
    """It names its dialect; each object is closed, each field described."""
    schema = json.loads(schema_text())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    objects = [it for it in (schema, *schema["$defs"].values()) if it.get("type") == "object"]
    assert len(objects) > 15
    assert all(it["additionalProperties"] is False for it in objects)
    undescribed = [
        f"{it['title']}.{name}"
        for it in objects
        for name, field in it["properties"].items()
        if not {"description", "$ref"} & set(field)  # what refers to an object is described there
    ]
    assert undescribed == []


def test_a_document_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Nothing is lost between the file and the document."""
    (tmp_path / "it.json").write_text(json.dumps(everything()), encoding="utf-8")
    found = read_report(tmp_path / "it.json")
    assert json.loads(found.to_json()) == everything()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": "sdpo-ref/report/1"}, "'sdpo-ref/report/1', and this sdpo-ref reads 'sdpo-ref/report/3'; read it"),
        ({"schema": 1}, "is not a report: its schema is 1 and should be"),
        ({"verdict": None}, f"claims to follow {SCHEMA} and does not: verdict: "),
        ({"extra": 1}, "extra: "),
        ({"seconds": "1"}, "seconds: "),
    ],
)
def test_another_document_is_refused(changes: dict[str, Any], words: str) -> None:
    """The message names the file, what is wrong, and what to do."""
    with pytest.raises(UsageError) as refused:
        read({**fields(), **changes})
    assert str(refused.value).startswith("the report ")
    assert words in str(refused.value)
    assert "sdpo-ref" in str(refused.value).rpartition(";")[2]


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000, '{"schema": NaN}'])
def test_what_is_no_report_is_refused(text: str) -> None:
    """Whatever JSON, or none, it is."""
    with pytest.raises(UsageError, match="write one with `sdpo-ref verify IMPL --json FILE`"):
        parse_report(text, "it")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """No file, a folder, bytes that are no text."""
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name in ("none", "", "bytes"):
        with pytest.raises(UsageError, match="write one with"):
            read_report(tmp_path / name)


def test_a_report_holds_no_control_character() -> None:
    """Whether it is read from a file or made from a run: no form of it can show one."""

    def texts(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [text for pair in value.items() for item in pair for text in texts(item)]
        return [text for item in value for text in texts(item)] if isinstance(value, list) else [str(value)]

    found = texts(json.loads(filled("a\x1b[31m\x00\u202eb").to_json()))
    assert r"a\x1b[31m\x00\u202eb" in found
    assert all(printable(text) == text for text in found)


def test_a_document_does_not_change() -> None:
    """It is frozen, so that no form of a report can spoil the next."""
    assert Report.model_config["frozen"]
