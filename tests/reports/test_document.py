"""The document: what verify writes is what the schema says, and what is read is checked."""

import json
from pathlib import Path

import pytest

from sdpo_ref.errors import UsageError
from sdpo_ref.reports.document import Document
from sdpo_ref.reports.read import read_document
from sdpo_ref.reports.schema import FILE, schema_text
from sdpo_ref.resources import content
from sdpo_ref.verify.status import Status
from tests.reports.documents import document, requirement


def test_the_schema_on_file_is_that_of_the_models() -> None:
    """`sdpo-ref report --schema` prints it."""
    assert (content("conformance") / FILE).read_text(encoding="utf-8") == schema_text()


def test_every_status_is_in_the_schema() -> None:
    """In the order of the statuses."""
    allowed = Document.model_json_schema()["$defs"]["CheckPart"]["properties"]["status"]["enum"]
    assert allowed == [str(status) for status in Status]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """A document survives its file."""
    one = document(requirement(status="FAIL"))
    (tmp_path / "a.json").write_text(one.model_dump_json(by_alias=True), encoding="utf-8")
    assert read_document(tmp_path / "a.json") == one


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": "sdpo-ref/report/0"}, "schema"),
        ({"seconds": "1"}, "seconds"),
        ({"further": 1}, "further"),
        ({"requirements": [requirement(status="PASSED")]}, "requirements.0.status"),
    ],
)
def test_what_is_no_document_is_refused(tmp_path: Path, change: dict[str, object], says: str) -> None:
    """The first place that is wrong is named, and what to do."""
    fields = json.loads(document(requirement()).model_dump_json(by_alias=True)) | change
    (tmp_path / "a.json").write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(UsageError, match=rf"{says}.*sdpo-ref verify IMPL --json"):
        read_document(tmp_path / "a.json")


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00"])
def test_what_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    """So is anything else."""
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="is not a report"):
        read_document(tmp_path / "a.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With how to write one."""
    with pytest.raises(UsageError, match=r"cannot read .*nowhere.json: No such file"):
        read_document(tmp_path / "nowhere.json")


def test_counts_and_failures() -> None:
    """N/A is not applicable, a MUST comes before a SHOULD, and the check that shows most is shown."""
    one = document(
        requirement("LOSS-001", "FAIL", strength="SHOULD"),
        requirement("LOSS-002", "N/A"),
        requirement("LOSS-003", "ERROR"),
        requirement("LOSS-004"),
    )
    assert one.count("MUST", "04-loss") == (1, 2)
    assert [it.id for it in one.failing()] == ["LOSS-003", "LOSS-001"]
    shown = one.failing()[0].shown_failure
    assert shown is not None
    assert shown.expected == "1.5"
    assert [name for name, _ in shown.rows] == ["expected", "got", "given", "printed"]
