"""What the report shows beside its runs: it is what was decided, and the picture is of this code."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from sdpo_ref._resources import content
from sdpo_ref.claims.comparison import CellName, Metrics
from sdpo_ref.claims.figures import published_tables
from sdpo_ref.claims.outside import arms_of, outside_of, published_lines, published_numbers, read_rewards
from sdpo_ref.claims.published import read_published_findings
from sdpo_ref.claims.records import read_published
from sdpo_ref.errors import IntegrityError
from sdpo_ref.study.fingerprint import code_fingerprint
from sdpo_ref.study.published import PUBLISHED
from sdpo_ref.study.report.contents import picture
from tests.study.synthetic import observations

ROOT = Path(__file__).parents[2]

SEEDS = range(10)


def runs(experiment: str) -> list[Mapping[CellName, Metrics]]:
    """What the synthetic study found, as verdicts want it."""
    found: list[dict[CellName, Metrics]] = [{} for _ in SEEDS]
    for one in observations(experiment, SEEDS):
        found[one.seed][CellName(experiment, tuple(sorted(one.labels.items())))] = one.outcome.metrics
    return list(found)


@pytest.mark.parametrize("place", range(len(published_tables())))
def test_a_number_of_ours_is_the_one_that_verdicts_are_about(place: int) -> None:
    """The report's own computation over its seeds agrees with the tables' where a block is all of the seeds or one."""
    table = published_tables()[place].model_copy(update={"seeds": 1 if published_tables()[place].seeds == 1 else 10})
    of = [one for one in published_numbers(None) if one.table == table.id]
    for number, figure in zip(of, table.figures, strict=True):
        values = table.values(figure, runs(table.experiment))
        ours = number.ours(observations(table.experiment, SEEDS))
        assert ours is not None
        assert ours.mean == pytest.approx(sum(values) / len(values))


def test_every_experiment_of_the_published_study_has_its_verdicts() -> None:
    """Each statement and each table once, beside the figure that it is about."""
    found, statements = read_published_findings(content("conformance")), read_published(content("spec"))
    assert found is not None
    lines = published_lines(found, statements)
    assert set(lines) == set(PUBLISHED)
    written = " ".join(line for own in lines.values() for line in own)
    for name in (*statements, *(table.id for table in published_tables())):
        assert len(re.findall(rf"\b{name}\b(?=[:,])", written)) == 1, name
    assert lines["P07"][-1] == "T16, T17: 5 of 6 figures REPRODUCED, 1 OPEN."
    assert any(line.startswith("C09: ") for line in lines["P01"])
    assert outside_of(content("conformance"), content("spec")).verdicts.items() >= lines.items()


def test_the_picture_is_of_this_code_and_of_the_seeds_of_the_verdicts() -> None:
    """A change of either world makes it stale: `sdpo-ref claims picture`."""
    rewards, found = read_rewards(content("conformance")), read_published_findings(content("conformance"))
    assert rewards is not None
    assert found is not None
    assert rewards.code == {"published": code_fingerprint("published"), "ours": code_fingerprint("simulated")}, (
        "run `sdpo-ref claims picture`"
    )
    decided = {one.name: one.mean for one in found.tables["T01"].figures}
    assert rewards.rewards["C01: arm sdpo"].raw == pytest.approx(decided["sdpo, continuous"], abs=2e-6)
    assert rewards.rewards["C01: arm reinforce"].raw == pytest.approx(decided["reinforce, continuous"], abs=2e-6)


def test_the_picture_in_the_readme_is_drawn_from_what_is_kept() -> None:
    """Its words and numbers; how a machine's matplotlib places them is not compared."""
    rewards = read_rewards(content("conformance"))
    assert rewards is not None
    arms = arms_of(rewards)
    assert all(arm.rewards and (len(arm.rewards) == 2 or set(arm.without.values()) != {""}) for arm in arms)

    def words(drawing: str) -> list[str]:
        return re.findall(r"<text[^>]*>([^<]*)</text>", drawing)

    kept = (ROOT / "docs" / "lead.svg").read_text(encoding="utf-8")
    assert words(kept) == words(picture(arms).svg), "run `sdpo-ref claims picture --kept`"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "](docs/lead.svg)" in readme
    assert "`sdpo-ref claims picture`" in readme


def test_a_broken_file_of_rewards_is_named(tmp_path: Path) -> None:
    """And none at all is no error: the report is then without its first picture."""
    assert read_rewards(tmp_path) is None
    (tmp_path / "lead.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"(?s)lead.json cannot be read .*; restore it, or run"):
        read_rewards(tmp_path)
