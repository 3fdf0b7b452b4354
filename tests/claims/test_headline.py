"""The headline of a finding is the verdict on what the study states (STAT-034, STAT-035)."""

from collections.abc import Mapping
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref._resources import content
from sdpo_ref.claims.comparison import CellName, comparisons
from sdpo_ref.claims.findings import Findings, checked_parts, read_findings
from sdpo_ref.claims.headline import HOLDS, NOT_ASKED, finding_rows, part_word, rows_of, verdict_lines
from sdpo_ref.claims.rates import read_rates
from sdpo_ref.claims.records import read_ledger, record_sha256, released_claims
from sdpo_ref.claims.render import findings_table
from sdpo_ref.claims.runs import RunName
from sdpo_ref.claims.schema import Claim
from sdpo_ref.claims.statistics.outcome import ClaimOutcome, all_of
from sdpo_ref.claims.stored import FOLDER, Stored

CLAIMS = released_claims()
STORED = Stored(content("conformance") / FOLDER)

STUDYS: Mapping[str, set[str]] = {
    "F01": {"reward"},
    "F02": {"area", "early"},
    "F03": {"credit"},
    "F04": {"band"},
    "F05": {"recovers", "costs"},
    "F06": {"noise", "graceful"},
    "F07": {"direction", "identity"},
    "F08": {"ahead", "halo", "grows"},
    "F09": {"declines", "longer", "aspects", "restored", "ahead"},
    "F10": {"up to half"},
    "F11": {"collapse"},
    "F12": set(),
    "F13": set(),
    "F14": set(),
    "F15": {"reward", "area", "early", "credit", "weighted reward", "weighted area", "weighted early"},
    "F16": {"up to half"},
}
"""The parts that say a sentence of the study and no more."""


def released() -> Findings:
    """What is in the repository."""
    findings = read_findings(content("conformance"))
    assert findings is not None
    return findings


def flipped(claim: Claim) -> Claim:
    """The same, with every part called the other's statement."""
    other = {"study": "ours", "ours": "study"}
    parts = [part.model_copy(update={"source": other[part.source]}) for part in claim.parts]
    return claim.model_copy(update={"parts": tuple(parts)})


@pytest.mark.parametrize("name", CLAIMS)
def test_every_part_says_whose_statement_it_is(name: str) -> None:
    """By the lists of decisions 0038 and 0047."""
    assert {part.name for part in CLAIMS[name].parts if part.source == "study"} == STUDYS[name]


@pytest.mark.parametrize("name", CLAIMS)
def test_whose_statement_it_is_changes_no_record(name: str) -> None:
    """The fingerprint is the registered one whatever the source says."""
    registered = read_ledger(content("conformance")).registered()[name]
    assert record_sha256(flipped(CLAIMS[name])) == record_sha256(CLAIMS[name]) == registered


def test_whose_statement_it_is_changes_nothing_that_is_asked_of_others() -> None:
    """Level 4 checks the same parts."""
    rates = read_rates(content("conformance"))
    names = [
        {
            name: [part.name for part in parts]
            for name, parts in checked_parts(claims, released(), rates, implementation=True).items()
        }
        for claims in (list(CLAIMS.values()), [flipped(claim) for claim in CLAIMS.values()])
    ]
    assert names[0] == names[1]
    assert sum(map(len, names[0].values())) > 20


def test_the_findings_are_thirteen_of_the_studys_one_of_them_twice_and_three_of_ours() -> None:
    """F09 is two, whose parts are those of the claim, each once; F12 to F14 stand below a line."""
    rows = finding_rows(released(), CLAIMS)
    own = [f"F{number:02}" for number in (*range(1, 9), 10, 11, 15, 16)]
    assert [row.id for row in rows] == [*sorted([*own, "F09a", "F09b"]), "F12", "F13", "F14"]
    assert [row.id for row in rows if not row.studys] == ["F12", "F13", "F14"]
    assert {row.as_stated for row in rows if not row.studys} == {NOT_ASKED}
    lines = findings_table(released(), CLAIMS).splitlines()
    (line,) = [place for place, text in enumerate(lines) if "ours, not the study's" in text]
    assert [text[2:5] for text in lines[line + 1 :]] == ["F12", "F13", "F14"]


def test_the_released_verdicts_are_those_of_the_audit() -> None:
    """All but two of the study's findings hold; both are the other way round, one of them not with more aspects."""
    stated = {row.id: row.as_stated for row in finding_rows(released(), CLAIMS) if row.studys}
    assert stated.pop("F09a") == "REVERSED (vocabulary, length); SMALLER (aspects)"
    assert stated.pop("F16") == "REVERSED"
    assert set(stated.values()) == {HOLDS}


def test_how_far_it_goes_names_where_it_ends() -> None:
    """By hand from the stored seeds: level at three quarters, the other way round where feedback is honest."""
    (row,) = rows_of(CLAIMS["F10"], released().claims["F10"])
    ends = [text.rpartition(": ENDS HERE ")[::2] for text in row.how_far if "ENDS HERE" in text]
    assert [text.split(" (")[0] for text, _ in ends] == ["three quarters", "honest mixture", "fixed weight"]
    assert [where for _, where in ends] == ["(LEVEL: rloo)", "(REVERSED: sdpo)", "(REVERSED: rloo)"]


@given(st.data())
def test_the_headline_is_the_outcome_of_the_studys_parts(data: st.DataObject) -> None:
    """Whatever becomes of our extensions; and a part that the study states never ENDS HERE."""
    name = data.draw(st.sampled_from([name for name in STUDYS if STUDYS[name] and name != "F09"]))
    claim, found = CLAIMS[name], released().claims[name]
    outcomes = {
        part.name: data.draw(st.sampled_from([ClaimOutcome.PASS, ClaimOutcome.FAIL, ClaimOutcome.INCONCLUSIVE]))
        for part in found.parts
    }
    parts = tuple(
        part.model_copy(
            update={
                "outcome": outcomes[part.name],
                "comparisons": tuple(
                    one.model_copy(update={"outcome": outcomes[part.name]}) for one in part.comparisons
                ),
                "refutations": {},
            }
        )
        for part in found.parts
    )
    changed = found.model_copy(update={"parts": parts, "outcome": all_of(outcomes.values())})
    (row,) = rows_of(claim, changed)
    outcome = all_of(outcomes[name] for name in STUDYS[name])
    words = {ClaimOutcome.PASS: "HOLDS", ClaimOutcome.INCONCLUSIVE: "OPEN", ClaimOutcome.FAIL: "REFUTED"}
    assert row.as_stated.split(" (")[0] == words[outcome]
    for part in parts:
        word = part_word(claim.part(part.name), part)
        assert ("ENDS HERE" in word) == (part.name not in STUDYS[name] and part.outcome is ClaimOutcome.FAIL)


def final_rewards(claim: Claim, cell: CellName) -> list[float]:
    """Of every stored repeat."""
    names = [RunName(claim.seeds, index, cell) for index in range(STORED.count(claim.seeds))]
    return [run["final_reward"] for run in STORED.values(names).values()]


def cells(claim: Claim) -> dict[tuple[object, ...], CellName]:
    """Method, regime and, where it has one, noise, to the cell of a claim's first part."""
    found = (cell for one in comparisons(claim.parts[0]) for cell in one.cells)
    return {tuple(dict(cell.labels).get(axis) for axis in ("method", "regime", "noise")): cell for cell in found}


def test_baselines_in_scalar_and_rubric_are_the_same_runs() -> None:
    """Bit for bit, as the README says; SDPO's are not."""
    claim = CLAIMS["F01"]
    where = cells(claim)
    for method in ("reinforce", "rloo", "grpo", "ppo", "dpo", "sdpo"):
        runs = [final_rewards(claim, where[method, regime, None]) for regime in ("scalar", "rubric")]
        assert (runs[0] == runs[1]) == (method != "sdpo")


def test_every_baseline_is_as_graceful() -> None:
    """At each stored seed of every regime a baseline keeps more than half of its noiseless reward."""
    claim = CLAIMS["F06"]
    names = {
        cell
        for part in (claim.part("noise"), claim.part("no noise"))
        for one in comparisons(part)
        for cell in one.cells
    }
    found = {
        (dict(cell.labels)["method"], dict(cell.labels)["regime"], dict(cell.labels)["noise"]): cell for cell in names
    }
    for method in ("reinforce", "rloo", "grpo"):
        for regime in ("ordinal", "scalar", "rubric", "critique"):
            noisy, exact = (final_rewards(claim, found[method, regime, noise]) for noise in (0.5, 0.0))
            assert all(there > 0.5 * without for there, without in zip(noisy, exact, strict=True))


def test_a_reader_that_is_told_too_little_noise_is_nearly_level() -> None:
    """Over all stored seeds, as the note says: a little higher in scalar, a little lower in critique."""
    claim = CLAIMS["F14"]
    part = claim.part("told noise")
    means = [fmean(STORED.quantities(part, one, claim.seeds)) for one in comparisons(part)]
    assert [round(mean, 3) for mean in means] == [0.006, -0.011]
    (row,) = rows_of(claim, released().claims["F14"])
    assert ".006 higher in scalar and .011 lower in critique" in row.note


def test_a_verdict_stands_beside_what_its_claim_compares() -> None:
    """F14 has no experiment of its own: it stands beside R02, R04 and, after F06's own, beside F06; F02 beside F02."""
    lines = verdict_lines(released(), CLAIMS)
    (beside,) = lines["R02"]
    assert beside.startswith("F14: ours, the study does not ask it. How far: coherence (")
    assert lines["R04"] == [beside]
    assert [line[:4] for line in lines["F06"]] == ["F06:", "F14:"]
    assert [line[:4] for line in lines["F02"]] == ["F02:"]
    assert [line[:5] for line in lines["F09"]] == ["F09a:", "F09b:"]
