"""Decides questions look by look: more seeds only for what is still open.

Data flows one way: questions -> the runs that open comparisons need -> their quantities -> decisions -> answers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sdpo_ref.claims.comparison import CellName, Comparison, Metrics, comparisons, count_comparisons, quantity
from sdpo_ref.claims.profile import Design
from sdpo_ref.claims.rule import Decision, Rule, rule_of
from sdpo_ref.claims.runs import BUNDLED, UNDER_TEST, RunName, Source
from sdpo_ref.claims.schema import Part, Reproduction, Statement
from sdpo_ref.claims.statistics.outcome import ClaimOutcome, all_of


@dataclass(frozen=True)
class Question:
    """A part to be decided.

    Attributes:
        claim: whose.
        part: which.
        design: looks and error rates.
        variant: whose SDPO is judged.
        comparisons: those of the part that are asked about.
    """

    claim: Statement
    part: Part
    design: Design
    variant: str = UNDER_TEST
    comparisons: tuple[Comparison, ...] = ()

    def compared(self) -> tuple[Comparison, ...]:
        """What is compared; the whole part by default."""
        return self.comparisons or comparisons(self.part)


@dataclass(frozen=True)
class Compared:
    """One comparison and what is known about it.

    Attributes:
        comparison: which.
        decision: the latest; ``None`` if there was no time for its first look.
        values: its quantities, in the order of seeds.
    """

    comparison: Comparison
    decision: Decision | None
    values: tuple[float, ...]


@dataclass(frozen=True)
class Answer:
    """A part and what was decided about it.

    Attributes:
        question: what was asked.
        compared: every comparison.
        rule: by which.
        complete: whether there was time for every look that was needed.
    """

    question: Question
    compared: tuple[Compared, ...]
    rule: Rule
    complete: bool

    @property
    def outcome(self) -> ClaimOutcome | None:
        """Of the part; ``None`` where there was no time to decide."""
        found = [one.decision.outcome for one in self.compared if one.decision is not None]
        if ClaimOutcome.FAIL in found or ClaimOutcome.INVALID in found:
            return all_of(found)
        return all_of(found) if self.complete else None


def decide(
    questions: Sequence[Question],
    source: Source,
    *,
    has_time: Callable[[int], bool] = lambda _look: True,
) -> list[Answer]:
    """Decide every question.

    A comparison that has passed keeps its outcome and uses no further seeds; a part ends with its first FAIL, or when
    all of it has passed.
    Implements: STAT-015.

    Args:
        questions: parts of claims.
        source: of the runs' metrics.
        has_time: whether the look of an index may begin.

    Returns:
        An answer to each question, in order.
    """
    open_questions = [_OpenQuestion(question) for question in questions]
    for look in range(max((len(one.question.design.looks) for one in open_questions), default=0)):
        if not has_time(look):
            break
        found = source.values([asked for one in open_questions for asked in one.wanted(look)])
        for one in open_questions:
            one.record(look, found)
    return [one.answer() for one in open_questions]


@dataclass
class _OpenQuestion:
    """A question while it is being decided."""

    question: Question
    values: dict[Comparison, list[float]] = field(default_factory=dict)
    decisions: dict[Comparison, Decision] = field(default_factory=dict)
    rule: Rule = field(init=False)

    def __post_init__(self) -> None:
        asked = self.question
        self.rule = rule_of(asked.part.lane, asked.design, comparisons=count_comparisons(asked.claim))
        self.values = {one: [] for one in asked.compared()}

    def wanted(self, look: int) -> Iterator[RunName]:
        """The runs that open comparisons need at a look."""
        for comparison in self._open(look):
            for index in range(len(self.values[comparison]), self.question.design.looks[look]):
                yield from self._runs(comparison, index)

    def record(self, look: int, found: Mapping[RunName, Metrics]) -> None:
        """Decide with what was found; a comparison whose runs are not all there stays as it was."""
        for comparison in tuple(self._open(look)):
            values = self.values[comparison]
            for index in range(len(values), self.question.design.looks[look]):
                runs = [found.get(asked) for asked in self._runs(comparison, index)]
                if any(run is None for run in runs):
                    break
                values.append(self._quantity(comparison, index, found))
            if len(values) == self.question.design.looks[look]:
                self.decisions[comparison] = self.rule.decide(values)

    def answer(self) -> Answer:
        """What is known now."""
        return Answer(
            question=self.question,
            compared=tuple(Compared(one, self.decisions.get(one), tuple(got)) for one, got in self.values.items()),
            rule=self.rule,
            complete=self._over() or all(self._used_up(one) for one in self.values if not self._settled(one)),
        )

    def _open(self, look: int) -> Iterator[Comparison]:
        looks = self.question.design.looks
        if look >= len(looks) or self._over():
            return
        before = looks[look - 1] if look else 0
        for comparison, values in self.values.items():
            if not self._settled(comparison) and len(values) >= before:
                yield comparison

    def _over(self) -> bool:
        outcomes = [one.outcome for one in self.decisions.values()]
        return (
            ClaimOutcome.FAIL in outcomes
            or ClaimOutcome.INVALID in outcomes
            or outcomes.count(ClaimOutcome.PASS) == len(self.values)
        )

    def _settled(self, comparison: Comparison) -> bool:
        decision = self.decisions.get(comparison)
        return decision is not None and decision.outcome is not ClaimOutcome.INCONCLUSIVE

    def _used_up(self, comparison: Comparison) -> bool:
        decision = self.decisions.get(comparison)
        return decision is not None and len(self.values[comparison]) == self.question.design.looks[-1]

    def _runs(self, comparison: Comparison, index: int) -> Iterator[RunName]:
        for variant in self._variants():
            for cell in comparison.cells:
                yield RunName(self.question.claim.seeds, index, cell, variant)

    def _variants(self) -> tuple[str, ...]:
        variant = self.question.variant
        return (variant, BUNDLED) if isinstance(self.question.part.lane, Reproduction) else (variant,)

    def _quantity(self, comparison: Comparison, index: int, found: Mapping[RunName, Metrics]) -> float:
        of: list[float] = []
        for variant in self._variants():
            runs: dict[CellName, Metrics] = {
                cell: found[RunName(self.question.claim.seeds, index, cell, variant)] for cell in comparison.cells
            }
            of.append(quantity(self.question.part, comparison, runs))
        return of[0] - of[1] if len(of) > 1 else of[0]
