"""Controls: a mutant that passes, a level that is off, and a metric at its end make a verdict INVALID."""

import dataclasses

import pytest

from sdpo_ref._resources import content
from sdpo_ref.claims.comparison import Metrics, comparisons
from sdpo_ref.claims.records import read_claims
from sdpo_ref.claims.runs import BUNDLED, UNDER_TEST, RunName
from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.claims.verdict import ClaimVerdict, judge
from sdpo_ref.claims.wrong_runs import MUTANTS
from sdpo_ref.verification.level4 import Level4, result_of_claim
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.spec_text import read_catalogue
from tests.claims.fakes import SDPO_LEADS, Told, leading, tiny_claim


def verdict_of(fresh: Told, stored: Told, *, implementation: bool = False) -> ClaimVerdict:
    """On the tiny claim."""
    claim = tiny_claim()
    asked = {claim.id: claim.parts}
    (found,) = judge(asked, [claim], fresh=fresh, stored=stored, profile="standard", implementation=implementation)
    return found


def test_a_clear_lead_with_all_controls_is_a_pass() -> None:
    """PASS, with the mutant refuted, three levels held, and both error rates in their range."""
    found = verdict_of(Told(leading), Told(leading))
    assert found.outcome is ClaimOutcome.PASS
    assert all(control.holds for control in found.controls)
    assert 0 < found.false_fail <= 0.01
    assert 0.03 < found.false_pass <= 0.05


def test_a_mutant_that_passes_makes_it_invalid() -> None:
    """Feedback of other prompts that leads as well: the run cannot tell a known defect from the reference."""

    def credulous(one: RunName) -> Metrics:
        return leading(dataclasses.replace(one, variant=""))

    found = verdict_of(Told(credulous), Told(leading))
    assert found.outcome is ClaimOutcome.INVALID
    assert [control.name for control in found.controls if not control.holds] == ["mutant deranged"]


@pytest.mark.parametrize("method", ["rloo", "sdpo"])
def test_a_level_that_is_off_makes_it_invalid(method: str) -> None:
    """A sandbagged baseline, or a bundled SDPO that is not the stored one, is off its level by .02."""

    def off(one: RunName) -> Metrics:
        moved = dict(one.cell.labels)["method"] == method
        return {"final_reward": leading(one)["final_reward"] - (0.02 if moved else 0.0)}

    found = verdict_of(Told(off), Told(leading))
    assert found.outcome is ClaimOutcome.INVALID
    (broken,) = [control for control in found.controls if not control.holds]
    assert method in broken.name
    assert "-0.0200" in broken.says


def test_a_level_that_nobody_stored_makes_it_invalid() -> None:
    """Without a stored level a baseline may be anything."""
    found = verdict_of(Told(leading), Told(lambda one: None if "rloo" in str(one.cell) else leading(one)))
    assert found.outcome is ClaimOutcome.INVALID


def test_a_baseline_on_the_floor_makes_it_invalid() -> None:
    """A baseline that has learned nothing, stored or not, is no opponent."""

    def idle(one: RunName) -> Metrics:
        return {"final_reward": 0.0} if dict(one.cell.labels)["method"] == "grpo" else leading(one)

    found = verdict_of(Told(idle), Told(idle))
    assert found.outcome is ClaimOutcome.INVALID
    assert any("saturated" in control.says for control in found.controls)


def test_beside_an_implementation_the_bundled_sdpo_is_run() -> None:
    """If the bundled one is refuted in the same run, nothing is said about the implementation."""
    source = Told(leading)
    found = verdict_of(source, Told(leading), implementation=True)
    assert found.outcome is ClaimOutcome.PASS
    assert any(one.variant == BUNDLED for one in source.asked)

    def refuted(one: RunName) -> Metrics:
        behind = one.variant == BUNDLED and dict(one.cell.labels)["method"] == "sdpo"
        return {"final_reward": leading(one)["final_reward"] - (2 * SDPO_LEADS if behind else 0.0)}

    found = verdict_of(Told(refuted), Told(leading), implementation=True)
    assert found.outcome is ClaimOutcome.INVALID


def test_without_time_for_its_mutant_a_claim_is_not_decided() -> None:
    """No control, no verdict."""
    found = verdict_of(Told(lambda one: None if one.variant == "deranged" else leading(one)), Told(leading))
    assert found.outcome is None


@pytest.mark.parametrize("name", read_claims(content("spec")))
def test_every_claims_mutant_changes_what_is_run(name: str) -> None:
    """A mutant that changes no cell of its comparison controls nothing."""
    claim = read_claims(content("spec"))[name]
    first = comparisons(claim.part(claim.negative_control.part))[0]
    mutate = MUTANTS[claim.negative_control.mutant]
    assert any(mutate(cell.settings) != cell.settings for cell in first.cells)


def test_an_implementation_whose_run_ends_early_fails_and_the_suite_is_not_broken() -> None:
    """Its value is missing while every control holds: FAIL for a third party, INVALID for the bundled reference."""

    def lost(one: RunName) -> Metrics:
        theirs = one.variant == UNDER_TEST and dict(one.cell.labels)["method"] == "sdpo"
        return {} if theirs and one.index == 2 else leading(one)

    found = verdict_of(Told(lost), Told(leading), implementation=True)
    assert found.outcome is ClaimOutcome.INVALID
    assert all(control.holds for control in found.controls)
    requirement = read_catalogue(content("spec"))["F01"]
    entry = result_of_claim(requirement, found, Level4(), bundled=False)
    assert (entry.status, {check.status for check in entry.checks}) == (Status.FAIL, {Status.FAIL})
    assert result_of_claim(requirement, found, Level4(), bundled=True).status is Status.INVALID
