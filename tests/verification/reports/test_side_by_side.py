"""Requirements by implementations: which rows there are, and what stands in them."""

from sdpo_ref.verification.reports.side_by_side import matrix, matrix_as_markdown, matrix_as_page
from sdpo_ref.verification.status import Status
from tests.verification.reports.examples import document, fields, requirement

ONE = document(requirement("A-001"), requirement("A-002"), requirement("A-003", Status.NA))
OTHER = document(
    requirement("A-001", Status.FAIL),
    requirement("A-002"),
    requirement("A-004"),
    implementation={**fields()["implementation"], "name": "theirs", "profile": {"aggregation": "token_mean"}},
)


def test_only_what_differs_is_shown() -> None:
    """A requirement that was not selected in one of them differs; the number of equal ones is shown."""
    found = matrix([ONE, OTHER], ["a.json", "b.json"])
    assert found.names == ("mine", "theirs")
    assert {it.id: it.cells for it in found.rows} == {
        "A-001": ("PASS", "FAIL"),
        "A-003": ("N/A", "-"),
        "A-004": ("-", "PASS"),
    }
    assert found.alike == 1
    assert "1 requirements with the same status everywhere" in matrix_as_markdown(found)


def test_everything_is_shown_on_request() -> None:
    """Nothing is left out then."""
    found = matrix([ONE, OTHER], ["a.json", "b.json"], everything=True)
    assert [it.id for it in found.rows] == ["A-001", "A-002", "A-003", "A-004"]
    assert found.alike == 0


def test_scores_and_declared_variants_stand_above() -> None:
    """A choice of the profile is shown where it differs and is no fault."""
    heads = {it.id: it.cells for it in matrix([ONE, OTHER], ["a.json", "b.json"]).heads}
    assert heads["MUST"] == ("2/2", "2/3")
    assert heads["profile: aggregation"] == ("row_mean", "token_mean")
    assert not any(name.startswith("version") for name in heads)


def test_columns_have_names_of_their_own() -> None:
    """Two reports on one implementation are distinguished by their files, and the same file by its place."""
    assert matrix([ONE, ONE], ["old.json", "new.json"]).names == ("mine (old.json)", "mine (new.json)")
    assert matrix([ONE, ONE], ["it.json", "it.json"]).names == ("mine (it.json) #1", "mine (it.json) #2")


def test_both_forms_have_the_same_cells() -> None:
    """Every cell of a row stands in the Markdown and on the page."""
    found = matrix([ONE, OTHER], ["a.json", "b.json"])
    assert "| A-001 | MUST | PASS | FAIL |" in matrix_as_markdown(found)
    for words in ("A-001", "FAIL", "A-001 holds.", "theirs"):
        assert words in matrix_as_page(found)
