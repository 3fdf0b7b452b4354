"""FINDINGS.md and the README say what was decided, about the records and the code that are here."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sdpo_ref import SPEC_VERSION
from sdpo_ref._resources import content
from sdpo_ref.claims.code import Code
from sdpo_ref.claims.comparison import Metrics, comparisons, count_comparisons
from sdpo_ref.claims.findings import Findings, findings_of, merged, read_findings, write_findings
from sdpo_ref.claims.pages import stale_pages
from sdpo_ref.claims.power import DEFECTS, SEEDS
from sdpo_ref.claims.rates import Rates, read_rates
from sdpo_ref.claims.records import record_sha256, released_claims
from sdpo_ref.claims.render import render
from sdpo_ref.claims.runs import RunName
from sdpo_ref.claims.schema import Direction, Grid
from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.claims.statistics.refutation import Kind, Refutation, refutation
from sdpo_ref.claims.statistics.sign_rule import SignRule
from sdpo_ref.claims.stored import FOLDER, Stored, generate
from sdpo_ref.claims.verdict import judge
from sdpo_ref.errors import IntegrityError
from sdpo_ref.study.fingerprint import code_fingerprint
from sdpo_ref.verification.suite.spec_text import read_catalogue
from tests.claims.fakes import Told, leading, tiny_claim

ROOT = Path(__file__).parent.parent.parent


def limits() -> dict[str, str]:
    """Of each claim."""
    return {one.id: one.limits for one in read_catalogue(content("spec")).requirements.values() if one.limits}


def released() -> Findings:
    """What is in the repository."""
    findings = read_findings(content("conformance"))
    assert findings is not None
    return findings


def test_the_pages_are_what_the_findings_say() -> None:
    """`sdpo-ref claims render` would change nothing."""
    assert stale_pages(content("conformance"), content("spec"), ROOT) == {}


def test_the_findings_are_about_this_code_and_these_records() -> None:
    """A change to anything that a run executes makes them stale: they are carried, or decided again."""
    findings = released()
    assert findings.spec_version == SPEC_VERSION
    assert {name: code.now for name, code in findings.code.items()} == dict.fromkeys(
        released_claims(), code_fingerprint()
    ), "run `sdpo-ref claims carry` and `sdpo-ref claims render`; if a number differs, `sdpo-ref claims decide`"
    assert {name: found.record for name, found in findings.claims.items()} == {
        name: record_sha256(claim) for name, claim in released_claims().items()
    }


def test_every_claim_and_every_part_is_decided_or_says_why_not() -> None:
    """No part is left out, no control is broken, and what is open names how many seeds it had."""
    findings = released()
    for name, claim in released_claims().items():
        found = findings.claims[name]
        assert [part.name for part in found.parts] == [part.name for part in claim.parts]
        assert found.controls_broken == ()
        assert all(part.outcome is not None for part in found.parts)


def test_limits_and_refuted_parts_stand_on_the_page() -> None:
    """A reader of a verdict finds its limits, and what was refuted, by name."""
    text = (ROOT / "FINDINGS.md").read_text(encoding="utf-8")
    for name, found in released().claims.items():
        assert limits().get(name, "") in text
        for part in found.parts:
            assert f"**{part.name}**" in text
    assert text.index("## F13") < text.index("## F02")


def small(say: Callable[[RunName], Metrics] = leading, stored: Path = Path("nowhere")) -> Findings:
    """Of the tiny claim."""
    claim = tiny_claim()
    source = Told(say)
    verdicts = judge({claim.id: claim.parts}, [claim], fresh=source, stored=source, profile="standard")
    return findings_of(verdicts, Stored(stored), profile="standard")


def trailing(one: RunName) -> Metrics:
    """SDPO behind."""
    lead = {"final_reward": -0.2 if dict(one.cell.labels)["method"] == "sdpo" else 0.0}
    return {name: 0.5 + 0.001 * one.index + value for name, value in lead.items()}


def test_what_is_refuted_is_kept_with_its_kind(tmp_path: Path) -> None:
    """By hand: behind by .2 at each of twelve stored seeds; without stored runs there is no kind."""
    claim = tiny_claim()
    generate([claim], claim.seeds, 12, Told(trailing), tmp_path)
    (part,) = small(trailing, tmp_path).claims["F01"].parts
    assert part.outcome is ClaimOutcome.FAIL
    assert part.kinds == {"rloo": Kind.REVERSED, "grpo": Kind.REVERSED}
    assert part.refutations["rloo"] == Refutation(Kind.REVERSED, 12, 0, -0.2, -0.2, -0.2)
    text = render(small(trailing, tmp_path), {"F01": claim}, {}, Rates(spec_version=""), "")
    assert "## F01 Tiny: REVERSED" in text
    assert "| F01 | SDPO is ahead. | **REVERSED** | Read it with F13" in text
    assert "all stored: -0.200 [-0.200, -0.200] (90 %), 0 of 12" in text
    (part,) = small(leading, tmp_path).claims["F01"].parts
    assert part.refutations == {}
    (part,) = small(trailing).claims["F01"].parts
    assert part.kinds == {"rloo": None, "grpo": None}
    assert part.refutations == {}


@pytest.mark.parametrize("name", released_claims())
def test_the_kinds_are_those_of_the_stored_runs(name: str) -> None:
    """Decided again for every refuted comparison, and for no other one."""
    claim, found = released_claims()[name], released().claims[name]
    stored = Stored(content("conformance") / FOLDER)
    for part in found.parts:
        record = claim.part(part.name)
        refuted = [one.name for one in part.comparisons if one.outcome is ClaimOutcome.FAIL]
        assert list(part.refutations) == refuted
        for one in comparisons(record):
            if one.name in refuted:
                assert isinstance(record.lane, Direction | Grid)
                rule = SignRule(claim.looks, claim.alpha, claim.beta, count_comparisons(claim), record.lane.least)
                values = stored.quantities(record, one, claim.seeds)
                again = refutation(values, rule, resolution=record.lane.resolution)
                kept = part.refutations[one.name]
                assert again is not None
                assert (again.kind, again.seeds, again.wins) == (kept.kind, kept.seeds, kept.wins)
                assert (again.mean, again.low, again.high) == pytest.approx((kept.mean, kept.low, kept.high), abs=1e-6)


def test_findings_are_written_and_read_back(tmp_path: Path) -> None:
    """Equal after the round trip, and a file of something else is refused."""
    write_findings(tmp_path, small())
    assert read_findings(tmp_path) == small()
    (tmp_path / "findings.json").write_text("{}", encoding="utf-8")
    with pytest.raises(IntegrityError, match="sdpo-ref claims decide"):
        read_findings(tmp_path)
    assert read_findings(tmp_path / "nowhere") is None


def test_new_findings_stand_beside_old_ones() -> None:
    """Each keeps its own code; those of another specification or profile are dropped."""
    one, older = small(), Code(decided="older")
    other = one.model_copy(
        update={"claims": {"F01": one.claims["F01"], "F02": one.claims["F01"]}, "code": {"F01": older, "F02": older}}
    )
    assert list(merged(other, one).claims) == ["F01", "F02"]
    assert merged(other, one).code == {"F01": Code(decided=code_fingerprint()), "F02": older}
    assert merged(other.model_copy(update={"spec_version": "0.0"}), one) == one
    assert merged(other.model_copy(update={"profile": "smoke"}), one) == one
    assert merged(None, one) == one


def test_the_page_says_which_code_was_run_and_to_which_it_was_carried() -> None:
    """With names where the claims differ, and without where they do not."""
    found, carried = small(), Code(decided="a").carry("b", compared=20, of=60)

    def page(code: dict[str, Code]) -> str:
        return render(found.model_copy(update={"code": code}), {"F01": tiny_claim()}, {}, Rates(spec_version=""), "")

    assert "(specification 0.2, code `a`)" in page({"F01": Code(decided="a"), "F02": Code(decided="a")})
    both = page({"F01": Code(decided="c"), "F02": carried, "F03": carried})
    assert "code `c` (F01); `a`, and `b` gives the same numbers (F02 F03))" in both


def test_the_page_shows_effects_with_intervals_and_both_rates() -> None:
    """By hand: the lead is .1 at each of eight seeds, in both comparisons."""
    text = render(small(), {"F01": tiny_claim()}, {"F01": "In a test."}, Rates(spec_version=""), "")
    assert "| rloo | HOLDS | 0.100 [0.100, 0.100] | 8 of 8 |  |" in text
    rule = SignRule((8, 16, 32, 64), alpha=0.05, beta=0.01, comparisons=2)
    assert f"False PASS {100 * rule.false_pass:.2g} %, false FAIL {200 * rule.false_fail:.2g} % or less." in text
    assert "In a test." in text
    assert small().claims["F01"].parts[0].outcome is ClaimOutcome.PASS


def test_the_measured_rates_are_those_that_the_issue_asks_for() -> None:
    """The reference never failed in 299 repeats of every claim, and nothing that is wrong passed in 29."""
    rates = read_rates(content("conformance"))
    assert rates.spec_version == SPEC_VERSION
    assert {name: code.now for name, code in rates.code.items()} == dict.fromkeys(
        ("promotion", "reference", "wrong"), code_fingerprint()
    ), "run `sdpo-ref claims carry`; if a number differs, measure again"
    assert rates.promotion is not None, "run `sdpo-ref claims promote --keep`"
    assert rates.promotion.repeats >= 299
    assert rates.reference is not None, "run `sdpo-ref claims repeat --keep`"
    assert rates.reference.repeats >= 299
    assert set(rates.reference.outcomes) == set(released_claims())
    for counts in rates.reference.outcomes.values():
        assert sum(counts.values()) == rates.reference.repeats
        assert {"FAIL", "INVALID", "NOT-RUN"}.isdisjoint(counts)
    assert set(rates.wrong) == set(DEFECTS), "run `sdpo-ref claims power --keep`"
    assert {len(kept) for cells in rates.wrong_rewards.values() for kept in cells.values()} == {SEEDS}
    assert set(rates.wrong_rewards) == set(DEFECTS)
    for counts in rates.wrong.values():
        assert sum(counts.values()) >= 29
        assert "PASS" not in counts
