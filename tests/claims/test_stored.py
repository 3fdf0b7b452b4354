"""Reference distributions: written, read back, and refused when they are not of this specification."""

import json
from pathlib import Path

import pytest

from sdpo_ref._resources import content
from sdpo_ref.claims.records import read_claims
from sdpo_ref.claims.runs import BUNDLED, Fresh, RunName
from sdpo_ref.claims.stored import FOLDER, Stored, generate, wanted_columns
from sdpo_ref.errors import IntegrityError
from tests.claims.fakes import Told, leading, tiny_claim

CLAIM = tiny_claim()


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Every run of every cell and of the mutant, to the rounding of float32; nothing else."""
    generate([CLAIM], CLAIM.seeds, 5, Told(leading), tmp_path)
    columns, metrics = wanted_columns([CLAIM], CLAIM.seeds)
    assert metrics == ("final_reward",)
    assert [variant for _, variant in columns] == [BUNDLED] * 3 + ["deranged"] * 2
    asked = [RunName(CLAIM.seeds, index, cell, variant) for cell, variant in columns for index in range(5)]
    found = Stored(tmp_path).values(asked)
    assert {one: pytest.approx(leading(one), abs=1e-7) for one in asked} == found
    assert Stored(tmp_path).count(CLAIM.seeds) == 5
    beyond = RunName(CLAIM.seeds, 5, asked[0].cell)
    assert Stored(tmp_path).values([beyond]) == {}


def test_an_order_draws_without_replacement(tmp_path: Path) -> None:
    """Repeat 0 of the order (3, 1) is the stored repeat 3; beyond the order there is nothing."""
    generate([CLAIM], CLAIM.seeds, 5, Told(leading), tmp_path)
    cell = next(iter(wanted_columns([CLAIM], CLAIM.seeds)[0]))[0]
    first, third = RunName(CLAIM.seeds, 0, cell), RunName(CLAIM.seeds, 3, cell)
    plain = Stored(tmp_path).values([third])[third]
    assert Stored(tmp_path, (3, 1)).values([first])[first] == plain
    assert Stored(tmp_path, (3, 1)).values([third]) == {}


def test_missing_files_hold_nothing(tmp_path: Path) -> None:
    """Nothing stored is no error here; what needs a level reports it."""
    assert Stored(tmp_path).count(CLAIM.seeds) == 0


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("spec_version", "0.0", "is of specification 0.0.*run `sdpo-ref claims reference`$"),
        ("count", 6, "its axes say otherwise"),
    ],
)
def test_files_of_another_making_are_refused(tmp_path: Path, field: str, value: object, message: str) -> None:
    """The message says what differs and how to make them again."""
    path = generate([CLAIM], CLAIM.seeds, 5, Told(leading), tmp_path)
    axes = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**axes, field: value}), encoding="utf-8")
    copy = tmp_path / "again"  # another folder, because what was read once is kept
    copy.mkdir()
    for file in tmp_path.glob("F01.*"):
        file.rename(copy / file.name)
    with pytest.raises(IntegrityError, match=message):
        Stored(copy).count(CLAIM.seeds)


def test_the_released_distributions_hold_every_column() -> None:
    """Of each claim's seeds: all cells and mutants, at 64 seeds or more, and 256 where a level is compared."""
    claims = read_claims(content("spec"))
    stored = Stored(content("conformance") / FOLDER)
    for seeds in dict.fromkeys(claim.seeds for claim in claims.values()):
        columns, metrics = wanted_columns(claims.values(), seeds)
        least = 256 if seeds.claim in ("F01", "F04") else 64
        assert stored.count(seeds) >= least
        found = stored.values([RunName(seeds, least - 1, cell, variant) for cell, variant in columns])
        assert len(found) == len(columns)
        if len(metrics) == 1:
            assert all(metrics[0] in values for values in found.values())


@pytest.mark.slow
def test_the_released_distributions_are_of_this_code() -> None:
    """One seed of the first cell and of the mutant, run again: distributions of older code would misjudge others."""
    claims = read_claims(content("spec"))
    stored = Stored(content("conformance") / FOLDER)
    asked = []
    for seeds in dict.fromkeys(claim.seeds for claim in claims.values()):
        (first, *_, last), _ = wanted_columns(claims.values(), seeds)
        asked += [RunName(seeds, 0, *first), RunName(seeds, 0, *last)]
    there = stored.values(asked)
    found = Fresh(None, jobs=1).values(asked)
    for one in asked:
        assert {metric: found[one][metric] for metric in there[one]} == pytest.approx(there[one], rel=1e-5, abs=1e-6)
