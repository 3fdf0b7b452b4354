"""`sdpo-ref claims`, as typed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sdpo_ref._resources import content
from sdpo_ref.claims.figures import published_tables
from sdpo_ref.claims.published import registrable
from sdpo_ref.claims.records import read_published, released_claims
from sdpo_ref.cli.claims import app
from sdpo_ref.errors import UsageError

RUNNER = CliRunner()


def test_every_claim_is_listed_with_its_verdict() -> None:
    """A line each, F09 two, and ours last; of what is not decided the claim. Then the published study."""
    ours, _, published = RUNNER.invoke(app, ["list"]).output.partition("\nThe published study\n")
    lines = ours.splitlines()
    names = [line.split()[0] for line in lines]
    assert names == [name for name in dict.fromkeys(names) if name[:3] in released_claims()]
    assert {name[:3] for name in names} == set(released_claims())
    assert lines[0].split()[1] == "HOLDS"
    assert "F09a  REVERSED (vocabulary, length); SMALLER (aspects)  The lead in a larger world" in lines
    assert names[-3:] == ["F12", "F13", "F14"]
    assert [line.split()[0] for line in published.splitlines()] == registered_names()


def registered_names() -> list[str]:
    """Of published tables, statements and controls, in the order in which they are shown."""
    tables = [table.id for table in published_tables()]
    return [*tables, *read_published(content("spec"))]


@pytest.mark.parametrize("name", [*read_published(content("spec"))])
def test_a_published_statement_is_shown_like_a_claim(name: str) -> None:
    """Statement, seeds and parts; there is no known defect, since the controls are records themselves."""
    shown = RUNNER.invoke(app, ["show", name]).output
    record = read_published(content("spec"))[name]
    assert record.statement in shown
    assert "seeds: P01, published protocol" in shown
    assert all(f"{part.name}: {part.says}" in shown for part in record.parts)
    assert "negative control" not in shown


@pytest.mark.parametrize("name", released_claims())
def test_a_claim_is_shown_with_all_that_follows_from_it(name: str) -> None:
    """Statement, error rates, seeds, and each part with its boundaries."""
    shown = RUNNER.invoke(app, ["show", name.lower()]).output
    claim = released_claims()[name]
    assert claim.statement in shown
    assert "alpha 0.05, beta 0.01" in shown
    for part in claim.parts:
        whose = "the study states it" if part.source == "study" else "our extension"
        assert f"{part.name}: {part.says}\n  {whose}\n" in shown


def test_the_boundaries_are_shown_as_computed() -> None:
    """By hand from the table of the plan: 8, 13, 22, 41 wins pass."""
    assert "PASS from 8, 13, 22, 41 wins" in RUNNER.invoke(app, ["show", "F01"]).output


def test_the_released_records_are_registered(tmp_path: Path) -> None:
    """Locking what is locked writes nothing; a suite of one's own gets a ledger of its own."""
    done = RUNNER.invoke(app, ["lock", "--reason", "again"])
    assert done.output == "Nothing differs; no file was touched.\n"
    (tmp_path / "conformance").mkdir()
    (tmp_path / "spec").symlink_to(content("spec"))
    done = RUNNER.invoke(app, ["lock", "--reason", "ours", "--suite", str(tmp_path)])
    published = registrable(read_published(content("spec")))
    assert len(done.output.splitlines()) == len(released_claims()) + len(published)
    ledger = json.loads((tmp_path / "conformance" / "claims.json").read_text(encoding="utf-8"))
    assert [entry["reason"] for entry in ledger["entries"]] == ["ours"]


def test_an_unknown_table_is_refused_with_the_names_of_others() -> None:
    """Before anything runs."""
    done = RUNNER.invoke(app, ["decide", "T01", "T99", "--dry-run"])
    assert isinstance(done.exception, UsageError)
    assert "no figures, statement or control is called 'T99'; there are T01, T02" in str(done.exception)


def test_a_published_table_is_decided_by_name() -> None:
    """From fresh runs, and the released findings stay as they are."""
    before = (content("conformance") / "published.json").read_bytes()
    done = RUNNER.invoke(app, ["decide", "T16", "--dry-run", "--jobs", "1"])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1].startswith("T16  Five seeds: mean reward: ")
    assert (content("conformance") / "published.json").read_bytes() == before


def test_an_unknown_claim_is_refused_with_the_names_of_others() -> None:
    """The message lists them."""
    done = RUNNER.invoke(app, ["decide", "F99", "--dry-run"])
    assert isinstance(done.exception, UsageError)
    assert "there are F01" in str(done.exception)


def test_stored_runs_give_the_released_findings() -> None:
    """Decided from the reference distributions, F11 is what findings.json says, and nothing is written."""
    before = (content("conformance") / "findings.json").read_bytes()
    done = RUNNER.invoke(app, ["decide", "F11", "--stored", "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "| F11 | SDPO keeps the reward that it gained" in done.output
    assert "| HOLDS |" in done.output
    assert (content("conformance") / "findings.json").read_bytes() == before


def test_what_is_refuted_is_printed_with_its_kind() -> None:
    """Decided from the stored runs again, F09 is the two rows of the README, kinds included."""
    done = RUNNER.invoke(app, ["decide", "F09", "--stored", "--dry-run"])
    assert done.exit_code == 0, done.output
    first, second = (line for line in done.output.splitlines() if line.startswith("| F"))
    assert first.startswith("| F09a |")
    assert "| **REVERSED** (vocabulary, length); **SMALLER** (aspects) |" in first
    assert second.startswith("| F09b |")
    page = (Path(__file__).parent.parent.parent / "FINDINGS.md").read_text(encoding="utf-8")
    assert f"\n{first}\n{second}\n" in page


def test_the_reference_never_fails_in_a_few_repeats() -> None:
    """Three of what `sdpo-ref claims repeat` does 299 times, for two claims."""
    done = RUNNER.invoke(app, ["repeat", "F01", "F11", "--repeats", "3"])
    assert done.exit_code == 0, done.output
    assert "FAIL" not in done.output


def test_the_pages_are_current_and_a_stale_one_is_named(tmp_path: Path) -> None:
    """`--check` writes nothing; without it the page is written."""
    done = RUNNER.invoke(app, ["render", "--check", "--folder", str(tmp_path)])
    assert done.exit_code == 1
    assert "FINDINGS.md is stale" in done.output
    assert RUNNER.invoke(app, ["render", "--folder", str(tmp_path)]).exit_code == 0
    assert RUNNER.invoke(app, ["render", "--check", "--folder", str(tmp_path)]).exit_code == 0
    assert (tmp_path / "FINDINGS.md").read_text(encoding="utf-8").startswith("# Findings\n")
