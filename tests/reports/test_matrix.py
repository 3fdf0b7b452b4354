"""Reports side by side."""

from sdpo_ref.reports.matrix import matrix, matrix_as_markdown
from tests.reports.documents import document, requirement


def test_rows_are_where_they_differ() -> None:
    """And all rows on request; what one was not asked is empty."""
    one = document(requirement("LOSS-001"), requirement("LOSS-002"))
    other = document(requirement("LOSS-001"), requirement("LOSS-002", "FAIL"), requirement("LOSS-003"))
    found = matrix([one, other])
    assert found.rows == (("LOSS-002", ("PASS", "FAIL")), ("LOSS-003", ("", "PASS")))
    assert found.totals == ("2/2", "2/3")
    assert len(matrix([one, other], everything=True).rows) == 3


def test_markdown_has_a_column_for_each() -> None:
    """Whatever their names are."""
    hostile = document(requirement(), implementation=document().implementation.model_dump() | {"spec": "a|b"})
    lines = matrix_as_markdown(matrix([hostile, document(requirement())], everything=True)).splitlines()
    assert lines == [
        "| | a\\|b | my\\_sdpo:make |",
        "|---|---|---|",
        "| MUST | 1/1 | 1/1 |",
        "| LOSS-003 | PASS | PASS |",
    ]
