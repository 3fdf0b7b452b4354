"""Claim records: read from the specification, complete, and registered."""

import hashlib
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from sdpo_ref import SPEC_VERSION
from sdpo_ref._resources import content
from sdpo_ref.claims.comparison import comparisons, count_comparisons
from sdpo_ref.claims.records import Ledger, chosen_claims, read_claims, read_ledger, record_sha256, register
from sdpo_ref.claims.runs import verdict_seed
from sdpo_ref.errors import IntegrityError, UsageError
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.study.outcome import METRICS
from tests.claims.fakes import tiny_claim, tiny_part

CLAIMS = read_claims(content("spec"))


def test_sixteen_claims_are_registered_as_they_stand() -> None:
    """F01 to F16 have records, and each is the one that was registered for this version of the specification."""
    assert list(CLAIMS) == [f"F{number:02}" for number in range(1, 17)]
    ledger = read_ledger(content("conformance"))
    assert ledger.differences(CLAIMS) == ()
    assert ledger.entries[-1].spec_version == SPEC_VERSION


@pytest.mark.parametrize("name", CLAIMS)
def test_every_comparison_is_of_cells_that_exist(name: str) -> None:
    """Terms single out cells, metrics exist, the sides of a direction differ, and a part is not empty."""
    claim = CLAIMS[name]
    for part in claim.parts:
        assert part.metric in METRICS
        for one in comparisons(part):
            assert one.cells
            assert all(cell.settings is not None for cell in one.cells)
    assert count_comparisons(claim) == sum(len(comparisons(part)) for part in claim.parts)


def test_what_a_trainer_is_asked_has_a_trainer_in_it() -> None:
    """A part that asks an implementation has a cell in which its trainer stands, or none of the methods is SDPO."""
    for claim in CLAIMS.values():
        for part in claim.parts:
            if not part.asks_trainer:
                continue
            cells = [cell for one in comparisons(part) for cell in one.cells]
            assert all(isinstance(cell.settings, RunSettings) for cell in cells)


def test_the_sentence_is_the_statement() -> None:
    """What is claimed is the sentence under the heading, in one place."""
    text = (content("spec") / "07-claims.md").read_text(encoding="utf-8")
    for claim in CLAIMS.values():
        assert claim.statement in text
    assert not re.search(r"^statement", text, re.MULTILINE)


def test_axes_multiply_and_tables_go_together() -> None:
    """Two axes of two and three values make six comparisons; a table sets several names at once."""
    steps = ({"regime": "ordinal", "baseline": "rloo"}, {"regime": "critique", "baseline": "ppo"})
    terms = [{"weight": 1.0, "cell": {"method": "$baseline", "regime": "$regime"}}]
    part = tiny_claim(parts=[tiny_part(over={"step": steps}, terms=terms)]).parts[0]
    assert [one.name for one in comparisons(part)] == ["ordinal, rloo", "critique, ppo"]
    many = tiny_part(over={"regime": ("ordinal", "scalar"), "baseline": ("rloo", "grpo", "ppo")}, terms=terms)
    assert len(comparisons(tiny_claim(parts=[many]).parts[0])) == 6


def test_a_term_that_names_two_cells_is_refused() -> None:
    """Labels that single out no cell, or several, are named with their number."""
    vague = tiny_part(terms=[{"weight": 1.0, "cell": {"method": "sdpo"}}])
    with pytest.raises(IntegrityError, match="which 5 cells have; allowed is one"):
        comparisons(tiny_claim(parts=[vague]).parts[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parts": [tiny_part(), tiny_part()]}, "give each a name of its own"),
        ({"negative_control": {"part": "speed", "mutant": "deranged"}}, "the negative control is of 'speed'"),
        ({"parts": [tiny_part(lane={"kind": "grid", "along": "noise", "resolution": 0.1})]}, "a grid along 'noise'"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(changes: dict[str, object], message: str) -> None:
    """The message names what was received."""
    with pytest.raises(ValidationError, match=message):
        tiny_claim(**changes)


def test_a_broken_record_is_named(tmp_path: Path) -> None:
    """A chapter whose TOML cannot be read says which claim it is."""
    (tmp_path / "07-claims.md").write_text(
        "# 07\n\n### F01\n**MUST** · level 4\n\nIt is so.\n\n```toml\nalpha = \n```\n"
    )
    with pytest.raises(IntegrityError, match="the record of F01 cannot be read"):
        read_claims(tmp_path)


def test_claims_are_found_in_any_case() -> None:
    """f01 is F01, and what is no claim is refused with the names of those that are."""
    assert [claim.id for claim in chosen_claims(CLAIMS, ("f13", "F02"))] == ["F02", "F13"]
    with pytest.raises(UsageError, match="no claim is called 'F99'"):
        chosen_claims(CLAIMS, ("F99",))


def test_a_changed_number_is_noticed(tmp_path: Path) -> None:
    """A record that differs by one number from its registration is reported until it is registered with a reason."""
    before = {"F01": tiny_claim()}
    assert register(tmp_path, before, "first") == ("F01: new record",)
    after = {"F01": tiny_claim(alpha=0.06)}
    assert record_sha256(after["F01"]) != record_sha256(before["F01"])
    assert read_ledger(tmp_path).differences(after) == ("F01: record changed",)
    with pytest.raises(UsageError, match="empty reason"):
        register(tmp_path, after, " ")
    register(tmp_path, after, "a wider net")
    assert [entry.reason for entry in read_ledger(tmp_path).entries] == ["first", "a wider net"]
    assert register(tmp_path, after, "again") == ()
    assert read_ledger(tmp_path).differences({}) == ("F01: record gone",)
    assert Ledger().differences({}) == ()


def test_seeds_are_those_of_the_hash_and_nobody_elses() -> None:
    """By hand: the first eight bytes of the digest; claims, settings, indices and versions have seeds of their own."""
    seeds = CLAIMS["F01"].seeds
    name = f"{SPEC_VERSION}|F01|default world|0"
    assert verdict_seed(seeds, 0).to_bytes(8, "big") == hashlib.sha256(name.encode()).digest()[:8]
    found = {verdict_seed(claim.seeds, index) for claim in CLAIMS.values() for index in range(256)}
    assert len(found) == 256 * len({claim.seeds for claim in CLAIMS.values()})
    assert min(found) > 10_000_000  # pilot seeds and those of tuning are far below
    assert verdict_seed(seeds, 0, spec_version="9") not in found
