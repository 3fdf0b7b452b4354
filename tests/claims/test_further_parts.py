"""What implementations are asked beside the records: their level in more metrics, and the credit in their gradient."""

import math

import pytest

from sdpo_ref._resources import content
from sdpo_ref.claims.comparison import comparisons, count_comparisons
from sdpo_ref.claims.findings import checked_parts, read_findings
from sdpo_ref.claims.first_gradient import CREDIT, gradient_credit
from sdpo_ref.claims.further_parts import with_further_levels
from sdpo_ref.claims.procedure import Answer, Compared, Question
from sdpo_ref.claims.profile import design_of
from sdpo_ref.claims.rates import read_rates
from sdpo_ref.claims.records import released_claims
from sdpo_ref.claims.rule import rule_of
from sdpo_ref.claims.runs import BUNDLED, FIRST_GRADIENT, UNDER_TEST, Fresh, RunName, implemented
from sdpo_ref.claims.verdict import ClaimVerdict
from sdpo_ref.errors import TaskError
from sdpo_ref.simulation.methods import Sdpo
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.simulation.settings import WorldSettings
from sdpo_ref.verification.level4 import Level4, result_of_claim
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.spec_text import read_catalogue

SMALL = RunSettings(method=Sdpo(), world=WorldSettings(prompts=6, time=6, vocab=12))
CLAIMS = released_claims()


def credit(factory: str) -> float:
    """Of a trainer, on the first rollouts of a small world."""
    settings = implemented(SMALL, f"tests.claims.trainers_of_others:{factory}", {"trainer"})
    assert isinstance(settings, RunSettings)
    return gradient_credit(settings, seed=5)


def test_a_level_is_asked_in_two_more_metrics() -> None:
    """Of the same cells, behind the part that asks for the final reward; other parts are as they were."""
    claim = CLAIMS["F01"]
    found = with_further_levels(claim.parts)
    assert [part.name for part in found] == ["reward", "level", "early level", "level of variety"]
    assert [part.metric for part in found[1:]] == ["final_reward", "early_reward", "final_distinctness"]
    assert len({comparisons(part) for part in found[1:]}) == 1
    assert [part.log for part in found[1:]] == [False, False, True]
    assert count_comparisons(claim) == 24, "the record, and what its other comparisons share, is as it was"


def test_implementations_are_asked_and_the_reference_is_not() -> None:
    """F01's further levels and F03's credit; F07, which is about the bundled gradient, stays n/a."""
    claims, findings = tuple(CLAIMS.values()), read_findings(content("conformance"))
    rates = read_rates(content("conformance"))
    theirs = checked_parts(claims, findings, rates, implementation=True)
    assert [part.name for part in theirs["F01"]] == ["reward", "level", "early level", "level of variety"]
    assert [part.name for part in theirs["F03"]] == ["credit", "richer"]
    assert theirs["F07"] == []
    ours = checked_parts(claims, findings, rates, implementation=False)
    assert [part.name for part in ours["F01"]] == ["reward", "level"]


def test_the_gradient_of_sdpo_credits_as_its_implicit_reward_does() -> None:
    """And that of a policy gradient as the reward does; where no gradient is seen, there is no number."""
    of_sdpo = credit("right")
    assert of_sdpo > 0.5
    assert credit("policy_gradient") < 0.4
    assert math.isnan(credit("by_hand"))
    assert credit("stronger") == pytest.approx(of_sdpo, abs=1e-9), "its size does not matter"


def test_the_variant_asks_for_the_gradient_alone() -> None:
    """No run is made; what raises is the implementation's, by its own line."""
    claim = CLAIMS["F03"]
    cell = next(
        cell
        for one in comparisons(claim.part("credit"))
        for cell in one.cells
        if dict(cell.labels) == {"method": "sdpo", "regime": "scalar"}
    )
    asked = RunName(claim.seeds, 0, cell, FIRST_GRADIENT)
    source = Fresh("tests.claims.trainers_of_others:right", 1, frozenset({"trainer"}))
    assert set(source.values([asked])[asked]) == {CREDIT}
    broken = Fresh("tests.claims.trainers_of_others:raising", 1, frozenset({"trainer"}))
    with pytest.raises(TaskError, match=r"ValueError: no feedback here .*trainers_of_others.py"):
        broken.values([asked])
    assert Fresh("tests.claims.trainers_of_others:right", 1, frozenset({"trainer"}), until=0.0).values([asked]) == {}
    assert len({FIRST_GRADIENT, UNDER_TEST, BUNDLED}) == 3


def verdict(claim_id: str, part_name: str, values: tuple[float, ...], variant: str = UNDER_TEST) -> ClaimVerdict:
    """On one part of a claim in which every comparison has the same values."""
    claim = CLAIMS[claim_id]
    part = next(one for one in with_further_levels(claim.parts) if one.name == part_name)
    design = design_of(claim, "standard", claims=len(CLAIMS))
    rule = rule_of(part.lane, design, comparisons=count_comparisons(claim))
    compared = tuple(Compared(one, rule.decide(values), values) for one in comparisons(part))
    return ClaimVerdict(claim, (Answer(Question(claim, part, design, variant), compared, rule, complete=True),), ())


@pytest.mark.parametrize(
    ("part", "values", "words"),
    [
        (
            "level",
            (0.024, 0.026, 0.025, 0.025, 0.024, 0.026, 0.025, 0.025),
            "higher than the reference's by 0.0250; that",
        ),
        ("early level", (-0.05, -0.051, -0.049, -0.05) * 2, "early reward is lower than the reference's by 0.0500 ("),
        ("level of variety", (0.14, 0.141, 0.139, 0.14) * 2, "distinctness is higher than the reference's by 0.1400 ("),
    ],
)
def test_what_is_better_is_told_so(part: str, values: tuple[float, ...], words: str) -> None:
    """It fails, because it is another method's value; a higher reward is called no defect."""
    requirement = read_catalogue(content("spec"))["F01"]
    found = result_of_claim(requirement, verdict("F01", part, values), Level4(), bundled=False)
    assert found.own_status is Status.FAIL
    (failure, *_) = [check.failure for check in found.checks if check.failure is not None]
    assert words in failure.got
    assert ("no defect" in failure.got) == (part == "level")


def test_a_trainer_whose_gradient_is_not_seen_is_not_asked() -> None:
    """F03 is n/a with the reason, and not a failure."""
    requirement = read_catalogue(content("spec"))["F03"]
    unseen = verdict("F03", "credit", (math.nan,) * 8, FIRST_GRADIENT)
    found = result_of_claim(requirement, unseen, Level4(), bundled=False)
    assert found.own_status is Status.NA
    assert "no gradient of this trainer" in found.reason
