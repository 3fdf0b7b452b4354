"""The published statements asked of a trainer, and what its controls say about those that it passes.

A trainer that never looks at feedback passes parts of the published tables, because its teacher is told the truth. So
the same rules are asked of the same trainer with constant feedback (C01) and with a teacher that is told nothing (C02).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sdpo_ref.claims.comparison import comparisons
from sdpo_ref.claims.controls import anchors, positive_control, positive_question
from sdpo_ref.claims.procedure import Answer, Question, decide
from sdpo_ref.claims.profile import ProfileName, design_of
from sdpo_ref.claims.published import PublishedFindings
from sdpo_ref.claims.runs import CONSTANT_FEEDBACK, UNTOLD_TEACHER, Source, implemented
from sdpo_ref.claims.schema import Direction, Part, Statement
from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.claims.verdict import ClaimVerdict
from sdpo_ref.published.settings import PublishedSettings


@dataclass(frozen=True)
class Reproduced:
    """What became of published statements.

    Attributes:
        verdicts: on each statement that is asked about.
        says: a line for each part that passed, with what its controls say.
    """

    verdicts: tuple[ClaimVerdict, ...] = ()
    says: tuple[str, ...] = ()


def asked_parts(
    statements: Sequence[Statement], findings: PublishedFindings | None, *, implementation: bool
) -> dict[str, list[Part]]:
    """The parts of each statement that conformance is about: those that the published SDPO itself passes.

    A trainer from outside is not given the pull and makes no hybrid, so what is about either is not asked of it.
    Implements: PUB-060.

    Args:
        statements: of the publication.
        findings: for the bundled methods; ``None`` if nothing was decided yet.
        implementation: whether another trainer is checked.
    """
    return {
        one.id: [
            part
            for part in one.parts
            if part.name in _passed(findings, one.id) and (not implementation or _is_about_a_trainer(part))
        ]
        for one in statements
    }


def _passed(findings: PublishedFindings | None, statement: str) -> frozenset[str]:
    found = None if findings is None else findings.statements.get(statement)
    if found is None:
        return frozenset()
    return frozenset(part.name for part in found.parts if part.outcome is ClaimOutcome.PASS)


def _is_about_a_trainer(part: Part) -> bool:
    """Whether a trainer replaces something in it, in cells that stay different and have no hybrid beside them."""
    before = {cell.settings for one in comparisons(part) for cell in one.cells}
    if any(isinstance(one, PublishedSettings) and one.method == "hybrid" for one in before):
        return False
    after = {implemented(one, "a:b", ("trainer",)) for one in before}
    return after != before and len(after) == len(before)


def reproduce(
    wanted: Mapping[str, Sequence[Part]],
    statements: Sequence[Statement],
    *,
    fresh: Source,
    bundled: Source,
    profile: ProfileName,
    implementation: bool,
) -> Reproduced:
    """Decide published statements, or the parts of them that are asked about, and ask the controls of what passes.

    Implements: PUB-061.

    Args:
        wanted: id of a statement to its parts that are asked about.
        statements: all there are.
        fresh: source of the runs that are judged.
        bundled: source of the bundled methods' runs, with which baselines are compared.
        profile: how thorough.
        implementation: whether a third party's trainer takes SDPO's place.
    """
    verdicts, says = [], []
    for one in statements:
        if not wanted.get(one.id):
            continue
        design = design_of(one, profile, claims=len(statements))
        answers = decide([Question(one, part, design) for part in wanted[one.id]], fresh)
        controls = []
        if implementation:
            controls.append(positive_control(decide(positive_question(one, answers), fresh)))
            controls += anchors(answers, fresh, bundled, implementation=True)
        verdicts.append(ClaimVerdict(one, tuple(answers), tuple(controls)))
        says += [_said(answer, fresh) for answer in answers if _is_a_lead(answer)]
    return Reproduced(tuple(verdicts), tuple(says))


def _is_a_lead(answer: Answer) -> bool:
    """Whether it passed, and is SDPO's direction against a baseline: only then has a control something to say."""
    part = answer.question.part
    cells = [cell.settings for one in comparisons(part) for cell in one.cells]
    methods = {one.method for one in cells if isinstance(one, PublishedSettings)}
    return answer.outcome is ClaimOutcome.PASS and isinstance(part.lane, Direction) and len(methods) > 1


def _said(answer: Answer, fresh: Source) -> str:
    """The untold teacher is asked for the first comparison alone, because its runs differ from kind to kind."""
    asked = answer.question
    constant = Question(asked.claim, asked.part, asked.design, CONSTANT_FEEDBACK)
    untold = Question(asked.claim, asked.part, asked.design, UNTOLD_TEACHER, comparisons(asked.part)[:1])
    of_constant, of_untold = (one.outcome for one in decide([constant, untold], fresh))
    start = f"{asked.claim.id} {asked.part.name}: passed"
    match of_constant:
        case ClaimOutcome.PASS:
            middle = (
                "; with constant feedback (C01) it passes too, so the statement does not show that feedback is used"
            )
        case None:
            middle = "; there was no time to ask it with constant feedback (C01)"
        case _:
            middle = f"; with constant feedback (C01): {of_constant.value}, so feedback is used"
    end = "no time" if of_untold is None else of_untold.value
    return f"{start}{middle}; with a teacher that is told nothing (C02): {end}."
