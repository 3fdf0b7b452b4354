"""What became of the published study, as released: decided by this code, about these records, and shown whole."""

import re
from pathlib import Path

import pytest

from sdpo_ref._resources import content
from sdpo_ref.claims.figures import published_tables
from sdpo_ref.claims.findings import read_findings
from sdpo_ref.claims.published import (
    PublishedFindings,
    decide_published,
    merged,
    read_published_findings,
    registrable,
)
from sdpo_ref.claims.readers import origins, readers_table
from sdpo_ref.claims.records import PUBLISHED_LEDGER, limits_of, read_claims, read_ledger, read_published, record_sha256
from sdpo_ref.claims.render_published import published_section
from sdpo_ref.claims.runs import Fresh
from sdpo_ref.errors import IntegrityError
from sdpo_ref.study.fingerprint import code_fingerprint


def released() -> PublishedFindings:
    """What is in the repository."""
    found = read_published_findings(content("conformance"))
    assert found is not None
    return found


def test_the_findings_are_about_this_code_and_these_records() -> None:
    """A change in the equations, a figure, a margin or a record makes them stale: `sdpo-ref claims decide P01 ...`."""
    found = released()
    assert found.code == code_fingerprint("published"), "run `sdpo-ref claims decide` and `sdpo-ref claims render`"
    records = registrable(read_published(content("spec")))
    decided = {name: one.record for name, one in found.tables.items()}
    decided |= {name: one.record for name, one in found.statements.items()}
    assert decided == {name: record_sha256(record) for name, record in records.items()}


def test_everything_is_registered() -> None:
    """Figures with their margins, statements and controls."""
    ledger = read_ledger(content("conformance"), PUBLISHED_LEDGER)
    assert ledger.differences(registrable(read_published(content("spec")))) == ()


def test_the_page_has_every_figure_and_every_part() -> None:
    """And every control says which published finding it explains (PUB-054)."""
    spec, found = content("spec"), released()
    page = published_section(found, read_published(spec), limits_of(spec))
    for table in published_tables():
        assert [one.name for one in found.tables[table.id].figures] == [figure.name for figure in table.figures]
        assert page.count(f"**{table.id} ") == 1
    for name, record in read_published(spec).items():
        assert all(part.says in page for part in record.parts), name
        assert name.startswith("P") or limits_of(spec)[name].startswith("Explains"), name


def test_a_decision_is_repeated_from_fresh_runs() -> None:
    """One table, at the registered seeds."""
    found = decide_published(["T16"], content("spec"), Fresh(None, jobs=1))
    assert found.tables["T16"] == released().tables["T16"]
    assert not found.statements


def test_findings_of_other_code_are_not_mixed() -> None:
    """What an earlier version of the equations gave is left out."""
    found = released()
    part = found.model_copy(update={"tables": {}, "statements": {}})
    assert merged(found, part) == found
    assert merged(found.model_copy(update={"code": "other"}), part) == part
    assert merged(None, part) == part


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    """Nothing is decided from it."""
    (tmp_path / "published.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"published\.json"):
        read_published_findings(tmp_path)


def test_readers_see_every_finding_of_the_publication_with_its_controls() -> None:
    """No published number stands in the table's words, and every control is named by some finding (PUB-055)."""
    spec = content("spec")
    findings = read_findings(content("conformance"))
    assert findings is not None
    table = readers_table(findings, read_claims(spec), released(), read_published(spec))
    assert "SDPO .634 to .654, REINFORCE .509 to .515" in table
    assert "7 of 12 figures, 4 SIGN TURNED" in table
    controls = {name for origin in origins().values() for name in origin.controls}
    assert controls == {name for name in read_published(spec) if name.startswith("C")}
    words = [re.sub(r"\{T\d\d [^}]*\}", "", origin.published) for origin in origins().values()]
    assert not [text for text in words if re.search(r"\.\d{2}", text)]
