"""The runs behind a verdict: their seeds, which are needed, and fresh ones, with an implementation under test."""

import hashlib
import itertools
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from sdpo_ref import SPEC_VERSION
from sdpo_ref._loading import summary, where
from sdpo_ref.claims.comparison import CellName, Metrics
from sdpo_ref.claims.first_gradient import CREDIT, gradient_credit
from sdpo_ref.claims.schema import Seeds
from sdpo_ref.claims.wrong_runs import MUTANTS
from sdpo_ref.errors import TaskError
from sdpo_ref.published.settings import Control, Outside, PublishedSettings
from sdpo_ref.simulation.methods import Hybrid, Implementation, Sdpo
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.simulation.settings import SimulatorName
from sdpo_ref.study.experiment import StudySettings, Task
from sdpo_ref.study.outcome import Outcome
from sdpo_ref.study.simulators import simulator
from sdpo_ref.study.workers import Broken, ended

_BYTES = 8


def verdict_seed(seeds: Seeds, index: int, *, spec_version: str = SPEC_VERSION) -> int:
    """The seed of one repeat: the first eight bytes of SHA-256(spec version | claim | setting | index).

    Implements: STAT-011.

    Args:
        seeds: of a claim.
        index: of the repeat, from 0.
        spec_version: of the specification that registered the claim.

    Returns:
        A number from 0 to 2^64 - 1, big end first.

    Example:
        >>> verdict_seed(Seeds(claim="F01", setting="default"), 0, spec_version="0.2")
        8891217852884061847
    """
    name = f"{spec_version}|{seeds.claim}|{seeds.setting}|{index}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:_BYTES], "big")


UNDER_TEST = ""
"""The variant in which SDPO is what is being verified."""

BUNDLED = "bundled"
"""The variant in which SDPO is the bundled reference; other variants are names of mutants of it."""


FIRST_GRADIENT = "first gradient"
"""The variant in which what is being verified is asked for the credit in its first gradient, and for nothing else."""


CONSTANT_FEEDBACK, UNTOLD_TEACHER = "constant feedback", "untold teacher"

CONTROLS: Mapping[str, Control] = {
    CONSTANT_FEEDBACK: Control(feedback=0.6),
    UNTOLD_TEACHER: Control(told=0.0),
}
"""Variants in which the published SDPO, or what is being verified in its place, is under the control C01 or C02."""


@dataclass(frozen=True)
class RunName:
    """One run whose metrics are wanted.

    Attributes:
        seeds: of the claim.
        index: of the repeat, from 0.
        cell: of the study.
        variant: whose SDPO.
    """

    seeds: Seeds
    index: int
    cell: CellName
    variant: str = UNDER_TEST


@runtime_checkable
class Source(Protocol):
    """**Protocol:** gives metrics of runs."""

    def values(self, runs: Collection[RunName]) -> Mapping[RunName, Metrics]:
        """Metrics of those runs that there was time for, or that there are."""
        ...


Progress = Callable[[int, int], None]
"""Called with how many of how many runs are done."""


@dataclass
class Fresh:
    """Executes the wanted runs, each task once.

    Attributes:
        implementation: ``module:factory[,key=value]`` of what stands in SDPO's place; ``None`` for the bundled SDPO.
        offers: capabilities of the implementation.
        jobs: worker processes.
        until: moment of :func:`time.monotonic` after which no further batch is begun; ``None`` for no end.
        time_limit: seconds that one batch of an implementation may take.
        progress: is called with how far it is.
        using: the simulator that executes the runs.
    """

    implementation: str | None
    jobs: int
    offers: frozenset[str] = frozenset()
    until: float | None = None
    time_limit: float | None = None
    progress: Progress = lambda _done, _all: None
    using: SimulatorName = "batched"
    _done: dict[tuple[StudySettings, int], Metrics] = field(default_factory=dict)
    _credits: dict[tuple[StudySettings, int], Metrics] = field(default_factory=dict)

    def values(self, runs: Collection[RunName]) -> Mapping[RunName, Metrics]:
        """Metrics of the runs that there was time for.

        Args:
            runs: which.

        Raises:
            TaskError: if a run raises, hangs or dies.
        """
        wanted = {one: (self.settings(one), verdict_seed(one.seeds, one.index)) for one in runs}
        probed = {one: key for one, key in wanted.items() if one.variant == FIRST_GRADIENT and _is_theirs(key[0])}
        done = self.run([Task(*key) for key in dict.fromkeys(key for one, key in wanted.items() if one not in probed)])
        found = {one: done[key] for one, key in wanted.items() if one not in probed and key in done}
        for one, (settings, seed) in probed.items():
            if self.until is None or time.monotonic() < self.until:
                found[one] = self._credit(settings, seed)
        return found

    def run(self, tasks: Sequence[Task]) -> Mapping[tuple[StudySettings, int], Metrics]:
        """Metrics of all tasks that have been done, by settings and seed; those that were done before are kept.

        Args:
            tasks: that are wanted, as far as there is time.

        Raises:
            TaskError: if a run raises, hangs or dies.
        """
        self._run([task for task in dict.fromkeys(tasks) if (task.settings, task.seed) not in self._done])
        return self._done

    def _credit(self, settings: StudySettings, seed: int) -> Metrics:
        """The credit in a trainer's first gradient; each is asked once."""
        assert isinstance(settings, RunSettings)  # noqa: S101 - the caller has looked
        if (settings, seed) not in self._credits:
            try:
                self._credits[settings, seed] = {CREDIT: gradient_credit(settings, seed=seed)}
            except (Exception, SystemExit) as error:
                raise TaskError(f"a run raised {summary(error)} ({where(error, machinery=__file__)})") from error
        return self._credits[settings, seed]

    def settings(self, one: RunName) -> StudySettings:
        """What is executed for a run.

        Args:
            one: its name.
        """
        settings, variant = one.cell.settings, one.variant
        if variant in CONTROLS:
            settings, variant = controlled(settings, CONTROLS[variant]), UNDER_TEST
        if variant == FIRST_GRADIENT:
            variant = UNDER_TEST
        if variant == UNDER_TEST and self.implementation is not None:
            return implemented(settings, self.implementation, self.offers)
        return settings if variant in (UNDER_TEST, BUNDLED) else MUTANTS[variant](settings)

    def _run(self, todo: list[Task]) -> None:
        together = simulator(self.using, sampled=False)

        def in_time() -> Iterator[tuple[Task, ...]]:
            for batch in together.batches(todo, jobs=self.jobs):
                if self.until is not None and time.monotonic() >= self.until:
                    return
                yield batch

        with closing(ended(together, in_time(), jobs=self.jobs, time_limit=self.time_limit)) as done:
            for count, one in enumerate(itertools.chain.from_iterable(done), start=1):
                if isinstance(one, Broken):
                    raise TaskError(f"a run raised {one.summary} ({one.where})")
                self._done[one.task.settings, one.task.seed] = kept(one.outcome)
                self.progress(count, len(todo))


def _is_theirs(settings: StudySettings) -> bool:
    return isinstance(settings, RunSettings) and isinstance(settings.method, Implementation)


def implemented(settings: StudySettings, implementation: str, offers: Collection[str]) -> StudySettings:
    """Settings in which an implementation replaces the bundled SDPO, as far as it has the part for it.

    Args:
        settings: of a cell.
        implementation: ``module:factory[,key=value]``.
        offers: its capabilities.
    """
    if isinstance(settings, PublishedSettings) and settings.method == "sdpo" and "trainer" in offers:
        replaced = {"outside": Outside(implementation=implementation), "pull": 0.0}
        return settings.model_copy(update=replaced)
    if not isinstance(settings, RunSettings):
        return settings
    ours = settings.method
    needed = {Sdpo: "trainer", Hybrid: "hybrid_trainer"}.get(type(ours))
    if needed not in offers or not isinstance(ours, Sdpo | Hybrid):
        return settings
    theirs = Implementation(
        implementation=implementation,
        learning_rate=ours.learning_rate,
        student=ours.student,
        kl_weight=ours.kl_weight,
        placebo=ours.placebo,
        reward_weight=ours.reward_weight if isinstance(ours, Hybrid) else None,
        gated=isinstance(ours, Hybrid) and ours.gated,
    )
    return settings.model_copy(update={"method": theirs})


def controlled(settings: StudySettings, control: Control) -> StudySettings:
    """Settings of the published SDPO under a control; all others, and what is under a control already, as they are.

    With constant feedback its kind does not matter, and a critique has no hints either.

    Args:
        settings: of a cell.
        control: that the cell is run under.
    """
    if not isinstance(settings, PublishedSettings) or settings.method != "sdpo" or settings.control != Control():
        return settings
    changed: dict[str, object] = {"control": control}
    if not isinstance(control.feedback, str):
        changed["feedback"] = "continuous"
    return settings.model_copy(update=changed)


def kept(outcome: Outcome) -> Metrics:
    """What verdicts need of an outcome: a run that ended early has collapsed and has no other metric."""
    return outcome.metrics if outcome.error is None else {"collapsed": 1.0}
