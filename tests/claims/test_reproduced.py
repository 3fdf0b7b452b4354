"""The published statements asked of a trainer, and what the report says about one that ignores feedback."""

from collections.abc import Mapping

import pytest

from sdpo_ref._resources import content
from sdpo_ref.claims.comparison import Metrics
from sdpo_ref.claims.published import read_published_findings
from sdpo_ref.claims.records import read_published
from sdpo_ref.claims.reproduced import asked_parts, reproduce
from sdpo_ref.claims.runs import (
    BUNDLED,
    CONSTANT_FEEDBACK,
    CONTROLS,
    UNDER_TEST,
    UNTOLD_TEACHER,
    Fresh,
    RunName,
    controlled,
    implemented,
)
from sdpo_ref.claims.schema import Statement
from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.published.settings import Control, Outside, PublishedSettings
from sdpo_ref.simulation.methods import Sdpo
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.verification.level4 import claims_of
from tests.claims.fakes import Told

STATEMENTS = read_published(content("spec"))


def tiny(**changes: object) -> Statement:
    """SDPO's final reward against REINFORCE's, in cells of P07."""
    part = {
        "name": "lead",
        "says": "SDPO is ahead",
        "source": "study",
        "experiment": "P07",
        "lane": {"kind": "direction", "resolution": 0.001},
        "metric": "final_reward",
        "terms": [{"weight": 1.0, "cell": {"method": "sdpo"}}, {"weight": -1.0, "cell": {"method": "reinforce"}}],
    }
    return Statement.model_validate(
        {
            "id": "P07",
            "title": "Tiny",
            "statement": "SDPO is ahead.",
            "estimand": "probability of a win",
            "pairing": "by seed",
            "alpha": 0.05,
            "beta": 0.01,
            "looks": (5,),
            "seeds": {"claim": "P01", "setting": "test"},
            "parts": [{**part, **changes}],
        }
    )


def says_of(leads: Mapping[str, float], **changes: object) -> tuple[str, ...]:
    """What is said of a trainer with these leads, by variant, over a baseline at one half."""

    def say(one: RunName) -> Metrics:
        lead = leads[one.variant] if dict(one.cell.labels)["method"] == "sdpo" else 0.0
        return {"final_reward": 0.5 + 0.001 * one.index + lead}

    statement = tiny(**changes)
    source = Told(say)
    found = reproduce(
        {"P07": statement.parts}, [statement], fresh=source, bundled=source, profile="standard", implementation=True
    )
    assert all(control.holds for verdict in found.verdicts for control in verdict.controls)
    return found.says


LEADS = {UNDER_TEST: 0.2, BUNDLED: 0.2, CONSTANT_FEEDBACK: 0.2, UNTOLD_TEACHER: -0.1}


def test_a_lead_that_needs_no_feedback_is_said_to_need_none() -> None:
    """It passes, and so it does with constant feedback: the line says that nothing is shown about feedback."""
    (line,) = says_of(LEADS)
    assert line.startswith(
        "P07 lead: passed; with constant feedback (C01) it passes too, so the statement does not show"
    )
    assert line.endswith("show that feedback is used; with a teacher that is told nothing (C02): FAIL.")


def test_a_lead_that_needs_feedback_is_said_to_use_it() -> None:
    """With constant feedback it fails."""
    (line,) = says_of({**LEADS, CONSTANT_FEEDBACK: -0.1})
    assert "with constant feedback (C01): FAIL, so feedback is used" in line


def test_controls_are_asked_of_leads_that_passed() -> None:
    """Not of what failed, and not of what has no baseline."""
    assert says_of({**LEADS, UNDER_TEST: -0.2}) == ()
    alone = {"terms": [{"weight": 1.0, "cell": {"method": "sdpo"}}]}
    assert says_of(LEADS, **alone) == ()


def test_a_baseline_that_was_held_back_is_seen() -> None:
    """Baselines are run once more without the implementation, and have to be the same."""

    def at(level: float) -> Told:
        return Told(lambda one: {"final_reward": 0.9 if dict(one.cell.labels)["method"] == "sdpo" else level})

    statement = tiny()
    (verdict,) = reproduce(
        {"P07": statement.parts}, [statement], fresh=at(0.3), bundled=at(0.5), profile="standard", implementation=True
    ).verdicts
    assert verdict.outcome is ClaimOutcome.INVALID


def test_what_the_published_sdpo_passes_is_asked() -> None:
    """As it was decided; of a trainer from outside nothing about the pull or the hybrid."""
    statements = [one for name, one in STATEMENTS.items() if name.startswith("P")]
    findings = read_published_findings(content("conformance"))
    assert findings is not None

    def names(*, implementation: bool) -> dict[str, set[str]]:
        asked = asked_parts(statements, findings, implementation=implementation)
        return {name: {part.name for part in parts} for name, parts in asked.items()}

    ours, theirs = names(implementation=False), names(implementation=True)
    for name in ours:
        passed = {p.name for p in findings.statements[name].parts if p.outcome is ClaimOutcome.PASS}
        assert theirs[name] <= ours[name] == passed
    assert ours["P02"]
    assert theirs["P02"] == theirs["P06"] - {"above reinforce"} == set()
    assert {"reward", "credit"} <= theirs["P01"]
    assert theirs["P03"] == ours["P03"]
    assert set(asked_parts(statements, None, implementation=True)) == set(theirs)
    assert not any(asked_parts(statements, None, implementation=True).values())


def test_a_trainer_stands_in_the_place_of_the_published_sdpo() -> None:
    """Without the pull; under a control too, and nothing else is touched."""
    ours = PublishedSettings(feedback="critique")
    outside = Outside(implementation="a:b")
    theirs = implemented(ours, "a:b", {"trainer"})
    assert theirs == PublishedSettings(feedback="critique", pull=0.0, outside=outside)
    assert implemented(ours, "a:b", {"hybrid_trainer"}) == ours
    for other in (PublishedSettings(method="reinforce"), PublishedSettings(method="hybrid")):
        assert implemented(other, "a:b", {"trainer"}) == other
        assert controlled(other, CONTROLS[UNTOLD_TEACHER]) == other
    placebo, untold = CONTROLS[CONSTANT_FEEDBACK], CONTROLS[UNTOLD_TEACHER]
    assert controlled(ours, placebo) == PublishedSettings(control=Control(feedback=0.6))
    assert controlled(ours, untold) == PublishedSettings(feedback="critique", control=Control(told=0.0))
    already = PublishedSettings(control=Control(feedback="other"))
    assert controlled(already, placebo) == already
    elsewhere = RunSettings(method=Sdpo())
    assert controlled(elsewhere, placebo) == elsewhere


def test_the_legend_of_the_report_has_the_lines() -> None:
    """Behind what is said of all claims together."""
    source = Told(lambda one: {"final_reward": 0.9 if dict(one.cell.labels)["method"] == "sdpo" else 0.5})
    statement = tiny()
    found = reproduce(
        {"P07": statement.parts}, [statement], fresh=source, bundled=source, profile="standard", implementation=False
    )
    claims = claims_of(found.verdicts, "standard", says=found.says)
    assert claims.legend[1] == found.says[0]
    assert [one.id for one in claims.verdicts] == ["P07"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["implementation", "ignorant"])
def test_the_librarys_trainer_and_one_that_ignores_feedback_both_pass(name: str) -> None:
    """Five seeds are enough for a lead that never fails; both are said not to have shown that they use feedback."""
    statement = tiny()
    source = Fresh(f"tests.published.parts:{name}", 1, frozenset({"trainer"}))
    found = reproduce(
        {"P07": statement.parts},
        [statement],
        fresh=source,
        bundled=Fresh(None, 1),
        profile="standard",
        implementation=True,
    )
    assert [one.outcome for one in found.verdicts] == [ClaimOutcome.PASS]
    assert "does not show that feedback is used" in found.says[0]
