"""Verdicts on claims: the results of all parts, with controls, as printed, reported and kept in findings."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sdpo_ref.claims.controls import (
    Control,
    anchors,
    negative_control,
    negative_question,
    positive_control,
    positive_question,
    saturated,
)
from sdpo_ref.claims.first_gradient import CREDIT
from sdpo_ref.claims.procedure import Answer, Question, decide
from sdpo_ref.claims.profile import Design, ProfileName, design_of
from sdpo_ref.claims.runs import FIRST_GRADIENT, UNDER_TEST, Source
from sdpo_ref.claims.schema import Claim, Part, Statement
from sdpo_ref.claims.statistics.outcome import ClaimOutcome, all_of


@dataclass(frozen=True)
class ClaimVerdict:
    """A claim and what was decided.

    Attributes:
        claim: which.
        answers: to each part that was asked about.
        controls: of the run.
    """

    claim: Statement
    answers: tuple[Answer, ...]
    controls: tuple[Control, ...]

    @property
    def outcome(self) -> ClaimOutcome | None:
        """Of what was asked about; ``None`` where there was no time to decide."""
        if any(control.holds is False for control in self.controls):
            return ClaimOutcome.INVALID
        if any(control.holds is None for control in self.controls):
            return None
        found = [answer.outcome for answer in self.answers]
        known = [outcome for outcome in found if outcome is not None]
        if None not in found or ClaimOutcome.FAIL in known or ClaimOutcome.INVALID in known:
            return all_of(known)
        return None

    @property
    def seeds(self) -> int:
        """The most seeds that any comparison used."""
        return max((len(one.values) for answer in self.answers for one in answer.compared), default=0)

    @property
    def further_seeds(self) -> int | None:
        """How many further seeds would likely settle what is open; ``None`` if nothing is, or none would."""
        wanted = [
            one.decision.further_seeds
            for answer in self.answers
            for one in answer.compared
            if one.decision is not None and one.decision.outcome is ClaimOutcome.INCONCLUSIVE
        ]
        return None if None in wanted else max((one for one in wanted if one is not None), default=None)

    @property
    def false_pass(self) -> float:
        """Chance that it passes although one comparison is at its boundary."""
        return max((answer.rule.false_pass for answer in self.answers), default=math.nan)

    @property
    def false_fail(self) -> float:
        """Most that the chance can be that it fails although every comparison holds."""
        return math.fsum(answer.rule.false_fail * len(answer.compared) for answer in self.answers)


def judge(
    wanted: Mapping[str, Sequence[Part]],
    claims: Sequence[Claim],
    *,
    fresh: Source,
    stored: Source,
    profile: ProfileName,
    implementation: bool = False,
    has_time: Callable[[int], bool] = lambda _look: True,
) -> list[ClaimVerdict]:
    """Decide claims, or the parts of them that are asked about.

    Implements: STAT-017, STAT-018.

    Args:
        wanted: id of a claim to its parts that are asked about.
        claims: all there are.
        fresh: source of the runs that are judged.
        stored: source of the reference distribution.
        profile: how thorough.
        implementation: whether a third party's trainer takes SDPO's place.
        has_time: whether the look of an index may begin.

    Returns:
        A verdict on each claim that is asked about.
    """
    asked = [claim for claim in claims if wanted.get(claim.id)]
    questions: list[Question] = []
    for claim in asked:
        design = design_of(claim, profile, claims=len(claims))
        questions += [_asked(claim, part, design, implementation=implementation) for part in wanted[claim.id]]
        questions.append(negative_question(claim, design))
    answers = decide(questions, fresh, has_time=has_time)
    verdicts = []
    for claim in asked:
        own = [one for one in answers if one.question.claim is claim]
        judged = [one for one in own if one.question.variant in {UNDER_TEST, FIRST_GRADIENT}]
        mutants = [one for one in own if one.question.variant not in {UNDER_TEST, FIRST_GRADIENT}]
        controls = [negative_control(one) for one in mutants]
        if implementation:
            controls.append(positive_control(decide(positive_question(claim, judged), fresh)))
        controls += anchors(judged, fresh, stored, implementation=implementation)
        controls += saturated(judged, fresh)
        verdicts.append(ClaimVerdict(claim, tuple(judged), tuple(controls)))
    return verdicts


def _asked(claim: Claim, part: Part, design: Design, *, implementation: bool) -> Question:
    """Of a trainer from outside, a part about credit is asked of its first gradient."""
    of_gradient = implementation and part.metric == CREDIT
    return Question(claim, part, design, FIRST_GRADIENT if of_gradient else UNDER_TEST)
