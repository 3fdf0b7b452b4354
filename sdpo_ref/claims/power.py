"""Does level 4 find what is wrong? Known-bad trainers and held-back baselines before F01, at ever new seeds."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from sdpo_ref.claims.comparison import CellName, Comparison, Metrics, comparisons
from sdpo_ref.claims.controls import anchors, saturated
from sdpo_ref.claims.procedure import Question, decide
from sdpo_ref.claims.profile import Design
from sdpo_ref.claims.runs import UNDER_TEST, Fresh, Progress, RunName, Source
from sdpo_ref.claims.schema import Claim, Part
from sdpo_ref.claims.verdict import ClaimVerdict
from sdpo_ref.claims.wrong_runs import KNOWN_BAD
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.study.experiment import StudySettings

SANDBAGGED = "sandbagged"
"""Not a trainer but the baselines: a tenth of their learning rate."""

SEEDS = 8
"""Of each repeat: the first look. A defect that is refuted there is refuted for good."""

REGIME = "scalar"
"""A claim passes if every comparison does, so what does not pass in one regime does not pass."""

_REWARD = "final_reward"


@dataclass(frozen=True)
class Shifted:
    """A source whose repeats begin later.

    Attributes:
        source: of the runs.
        by: index of the first.
    """

    source: Source
    by: int

    def values(self, runs: Collection[RunName]) -> Mapping[RunName, Metrics]:
        """Metrics of the later runs, under the names of the wanted ones."""
        later = {one: replace(one, index=one.index + self.by) for one in runs}
        found = self.source.values(later.values())
        return {one: found[other] for one, other in later.items() if other in found}


@dataclass(frozen=True)
class _Known:
    """A bad trainer's runs are fresh; those of the bundled methods are the stored ones."""

    fresh: Source
    stored: Source

    def values(self, runs: Collection[RunName]) -> Mapping[RunName, Metrics]:
        under_test = [one for one in runs if one.variant == UNDER_TEST and dict(one.cell.labels)["method"] == "sdpo"]
        stored_runs = [one for one in runs if one not in set(under_test)]
        return {**self.fresh.values(under_test), **self.stored.values(stored_runs)}


class _HeldBack(Fresh):
    """The study's cells with a tenth of the learning rate for every baseline."""

    def settings(self, one: RunName) -> StudySettings:
        """With a slow baseline."""
        settings = super().settings(one)
        if not isinstance(settings, RunSettings) or settings.method.method == "sdpo":
            return settings
        slow = settings.method.model_copy(update={"learning_rate": settings.method.learning_rate / 10})
        return settings.model_copy(update={"method": slow})


@dataclass(frozen=True)
class Power:
    """What became of something that is wrong.

    Attributes:
        outcomes: how often F01 got which.
        rewards: cell to the final rewards of its first runs.
    """

    outcomes: Counter[str]
    rewards: Mapping[str, tuple[float, ...]]


def source_of_bad(name: str, stored: Source, *, jobs: int, progress: Progress = lambda _done, _all: None) -> Source:
    """Runs of F01's cells with something that is wrong.

    Args:
        name: of :data:`DEFECTS`.
        stored: the reference distribution, for the bundled methods beside a wrong trainer.
        jobs: worker processes.
        progress: is called with how far the runs are.
    """
    if name == SANDBAGGED:
        return _HeldBack(None, jobs, progress=progress)
    spec = f"sdpo_ref.claims.wrong_runs:make,name={name}"
    return _Known(Fresh(spec, jobs, frozenset({"trainer"}), progress=progress), stored)


def rewards_of_bad(name: str, claim: Claim, source: Source, indices: Sequence[int]) -> Mapping[str, tuple[float, ...]]:
    """The final rewards of the runs that a defect alters, by cell.

    Args:
        name: of :data:`DEFECTS`.
        claim: F01.
        source: of runs with the defect.
        indices: of the repeats.
    """
    altered = [cell for cell in _cells(claim) if (dict(cell.labels)["method"] == "sdpo") != (name == SANDBAGGED)]
    found = source.values([_asked(claim, index, cell) for cell in altered for index in indices])
    return {
        str(cell): tuple(found[_asked(claim, index, cell)].get(_REWARD, math.nan) for index in indices)
        for cell in altered
    }


def outcomes_of_bad(
    name: str,
    claim: Claim,
    stored: Source,
    *,
    repeats: int,
    jobs: int,
    seeds: int = SEEDS,
    progress: Progress = lambda _done, _all: None,
) -> Power:
    """How F01 in the scalar regime comes out for something that is wrong, repeatedly at new seeds.

    Args:
        name: of :data:`~sdpo_ref.claims.wrong_runs.KNOWN_BAD`, or ``sandbagged``.
        claim: F01.
        stored: the reference distribution, for the bundled methods and their levels.
        repeats: how many; each has seeds of its own.
        jobs: worker processes.
        seeds: of each repeat.
        progress: is called with how far the runs are.

    Returns:
        How often which outcome was reached, and rewards by which a change of the code can be compared.
    """
    source = source_of_bad(name, stored, jobs=jobs, progress=progress)
    design = Design((seeds,), claim.alpha, claim.beta)
    questions = [Question(claim, part, design, comparisons=_in_regime(part)) for part in claim.parts]
    source.values([_asked(claim, i, cell) for i in range(repeats * seeds) for cell in _cells(claim)])  # all at once
    found: Counter[str] = Counter()
    for number in range(repeats):
        fresh, level = Shifted(source, number * seeds), Shifted(stored, number * seeds)
        answers = decide(questions, fresh)
        controls = [*anchors(answers, fresh, level, implementation=True), *saturated(answers, fresh)]
        outcome = ClaimVerdict(claim, tuple(answers), tuple(controls)).outcome
        found["NOT-RUN" if outcome is None else outcome.value] += 1
    return Power(found, rewards_of_bad(name, claim, source, range(seeds)))


DEFECTS: Mapping[str, str] = {**KNOWN_BAD, SANDBAGGED: "every baseline learns at a tenth of its rate"}
"""Everything that must not pass, and what is wrong with it."""


def _in_regime(part: Part) -> tuple[Comparison, ...]:
    return tuple(one for one in comparisons(part) if REGIME in one.name)


def _cells(claim: Claim) -> tuple[CellName, ...]:
    return tuple(dict.fromkeys(cell for part in claim.parts for of in _in_regime(part) for cell in of.cells))


def _asked(claim: Claim, index: int, cell: CellName) -> RunName:
    return RunName(claim.seeds, index, cell, UNDER_TEST)
