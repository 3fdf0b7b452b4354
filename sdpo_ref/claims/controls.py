"""Controls inside every run: if one of them fails, the results of that run show nothing."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sdpo_ref.claims.comparison import CellName, comparisons
from sdpo_ref.claims.procedure import Answer, Question
from sdpo_ref.claims.profile import Design
from sdpo_ref.claims.runs import BUNDLED, UNDER_TEST, RunName, Source
from sdpo_ref.claims.schema import Claim, Collapse, Reproduction, Statement
from sdpo_ref.claims.statistics.equivalence import EquivalenceRule
from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.published.settings import PublishedSettings
from sdpo_ref.simulation.methods import Hybrid, Sdpo
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.study.experiment import StudySettings

ANCHOR_MARGIN = 0.01
"""How far the mean of a stored cell may be off, in the metric's unit: a quarter of the smallest lead of the pilot."""

_ANCHOR_ALPHA, _ANCHOR_BETA = 0.05, 0.01


@dataclass(frozen=True)
class Control:
    """One control of a claim.

    Attributes:
        name: what it controls.
        holds: whether it came out as it must; ``None`` if there was no time for it.
        says: what came out.
    """

    name: str
    holds: bool | None
    says: str


def negative_question(claim: Claim, design: Design) -> Question:
    """The named mutant before the claim's own rule, at its first look and on the first comparison of its part.

    A mutant that passes one comparison might pass all; that is all that is asked, because it must not pass even one.
    """
    control = claim.negative_control
    part = claim.part(control.part)
    first = Design(design.looks[:1], design.alpha, design.beta)
    return Question(claim, part, first, control.mutant, comparisons(part)[:1])


def negative_control(answer: Answer) -> Control:
    """Whether the mutant was kept from passing.

    Implements: STAT-017.
    """
    mutant, outcome = answer.question.variant, answer.outcome
    holds = None if outcome is None else outcome is not ClaimOutcome.PASS
    return Control(f"mutant {mutant}", holds, f"got {'no time' if outcome is None else outcome}")


def anchors(answers: Sequence[Answer], fresh: Source, stored: Source, *, implementation: bool) -> list[Control]:
    """Whether every bundled cell that was run has the level that is stored for the same seeds.

    Baselines that were held back, and a simulator that is not the one of the stored runs, are found here. Without an
    implementation under test the cells of SDPO are bundled as well, and this is their positive control.
    Implements: STAT-018.

    Args:
        answers: to the questions about one claim.
        fresh: source of the runs that were judged.
        stored: source of the reference distribution.
        implementation: whether a third party's trainer takes SDPO's place.
    """
    gaps: dict[tuple[CellName, str], dict[RunName, float]] = {}
    missing: dict[CellName, None] = {}
    for answer in answers:
        metric = answer.question.part.metric
        for cell, asked in _bundled_runs(answer, implementation=implementation):
            of_stored, of_fresh = (source.values(asked) for source in (stored, fresh))
            for one in asked:
                if one in of_stored:
                    gap = of_fresh[one].get(metric, math.nan) - of_stored[one].get(metric, math.nan)
                    gaps.setdefault((cell, metric), {})[one] = gap
                else:
                    missing[cell] = None
    controls = [Control(f"level of {cell}", holds=False, says="no level is stored for it") for cell in missing]
    return [*controls, *(_anchored(cell, metric, list(of.values())) for (cell, metric), of in gaps.items())]


def positive_question(claim: Statement, answers: Iterable[Answer]) -> list[Question]:
    """The bundled SDPO before the same rules, at the first look.

    Args:
        claim: whose.
        answers: to the questions about the implementation.
    """
    return [
        Question(
            claim,
            answer.question.part,
            Design(answer.question.design.looks[:1], answer.question.design.alpha, answer.question.design.beta),
            BUNDLED,
            answer.question.comparisons,
        )
        for answer in answers
        if not isinstance(answer.question.part.lane, Reproduction | Collapse)
    ]


def positive_control(answers: Sequence[Answer]) -> Control:
    """Whether the bundled SDPO is not refuted where an implementation is judged.

    Implements: STAT-017.

    Args:
        answers: to the positive questions of a claim.
    """
    wrong = [one.question.part.name for one in answers if one.outcome in (ClaimOutcome.FAIL, ClaimOutcome.INVALID)]
    says = f"the bundled SDPO got FAIL in {', '.join(wrong)}" if wrong else "the bundled SDPO is not refuted"
    return Control("bundled SDPO", not wrong, says)


def saturated(answers: Sequence[Answer], fresh: Source) -> list[Control]:
    """Baselines whose reward stands at the floor or the ceiling: beating them shows nothing.

    Implements: STAT-018.

    Args:
        answers: to the questions about one claim.
        fresh: source of the runs that were judged.
    """
    controls: dict[CellName, Control] = {}
    for answer in answers:
        metric = answer.question.part.metric
        if metric not in ("final_reward", "area", "early_reward"):
            continue
        for cell, asked in _bundled_runs(answer, implementation=True):
            found = fresh.values(asked)
            values = [found[one].get(metric, math.nan) for one in asked]
            mean = math.fsum(values) / len(values)
            if not _FLOOR < mean < _CEILING:
                controls[cell] = Control(f"level of {cell}", holds=False, says=f"{metric} is saturated at {mean:.3f}")
    return list(controls.values())


_FLOOR, _CEILING = 0.001, 0.999


def _bundled_runs(answer: Answer, *, implementation: bool) -> Iterable[tuple[CellName, list[RunName]]]:
    question = answer.question
    for compared in answer.compared:
        for cell in compared.comparison.cells:
            if implementation and not _is_baseline(cell.settings):
                continue
            runs = [RunName(question.claim.seeds, index, cell, UNDER_TEST) for index in range(len(compared.values))]
            if runs:
                yield cell, runs


def _is_baseline(settings: StudySettings) -> bool:
    if isinstance(settings, PublishedSettings):
        return settings.method != "sdpo"
    return isinstance(settings, RunSettings) and not isinstance(settings.method, Sdpo | Hybrid)


def _anchored(cell: CellName, metric: str, gaps: Sequence[float]) -> Control:
    name = f"level of {cell}"
    if len(gaps) < 2:
        return Control(name, holds=False, says="fewer than two runs")
    rule = EquivalenceRule((len(gaps),), _ANCHOR_ALPHA, _ANCHOR_BETA, ANCHOR_MARGIN, least_seeds=2)
    outcome = rule.decide(gaps).outcome
    mean = math.fsum(gaps) / len(gaps)
    return Control(name, outcome is ClaimOutcome.PASS, f"{metric} is off its stored level by {mean:+.4f}")
