"""How tasks are done: many together by the batched simulator, or one by one with plain objects."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sdpo_ref.errors import UsageError
from sdpo_ref.published.batch import batch_key as published_key
from sdpo_ref.published.settings import PublishedSettings
from sdpo_ref.simulation.run_batch import batch_key, usable_device
from sdpo_ref.simulation.run_settings import ProbeSettings, RunSettings
from sdpo_ref.simulation.settings import SimulatorName
from sdpo_ref.study.execute import execute
from sdpo_ref.study.execute_batch import execute_batch, probe_batch
from sdpo_ref.study.execute_published import execute_published
from sdpo_ref.study.experiment import StudySettings, Task
from sdpo_ref.study.outcome import Outcome

_CELLS_TOGETHER = 2**17
"""Logits of the policies that are trained together, or of all their teachers in the published world.

More do not fit into a processor's cache.
"""


@dataclass(frozen=True)
class Simulator:
    """A way to do tasks.

    Attributes:
        execute: does tasks that go together; a module-level function, because worker processes import it by name.
        key: equal for tasks that go together; ``None`` for a task that goes alone.
    """

    execute: Callable[[Sequence[Task]], list[Outcome]]
    key: Callable[[StudySettings], Hashable | None]

    def name_for(self, settings: StudySettings) -> SimulatorName:
        """Which simulator does such a task."""
        return "reference" if self.key(settings) is None else "batched"

    def batches(self, tasks: Sequence[Task], *, jobs: int) -> Iterator[tuple[Task, ...]]:
        """Tasks that go together, in the order of the first of each batch.

        Args:
            tasks: in any order.
            jobs: workers; tasks that would fit into one batch are dealt to all of them.
        """
        together: dict[Hashable, list[Task]] = {}
        for number, task in enumerate(tasks):
            key = self.key(task.settings)
            together.setdefault(("alone", number) if key is None else key, []).append(task)
        for group in together.values():
            size = max(1, min(_most_together(group[0].settings), -(-len(group) // jobs)))
            yield from (tuple(group[start : start + size]) for start in range(0, len(group), size))


def simulator(name: SimulatorName, *, device: str = "cpu", sampled: bool = True) -> Simulator:
    """The simulator of a name.

    What the batched simulator cannot do, such as a run with a third party's part, is done by the reference.

    Args:
        name: which.
        device: where the batched simulator computes; the reference computes on the processor.
        sampled: whether the batched simulator measures final policies by samples as well.

    Raises:
        UsageError: if the reference is to compute elsewhere.
        UnsupportedError: if the device is not there.
    """
    if name == "reference":
        if device != "cpu":
            raise UsageError(
                f"received device {device!r} for the simulator 'reference', which computes on cpu; leave --device out, "
                "or use --simulator batched"
            )
        return alone(_execute_alone)
    usable_device(device)  # here, and not once in every worker
    return Simulator(partial(_batched, device=device, sampled=sampled), _key)


def alone(execute_one: Callable[[StudySettings, int], Outcome]) -> Simulator:
    """A simulator that does one task at a time.

    Args:
        execute_one: does a task; a module-level function.
    """
    return Simulator(partial(_one_by_one, execute_one), _nothing_together)


def _batched(tasks: Sequence[Task], *, device: str, sampled: bool) -> list[Outcome]:
    settings = [task.settings for task in tasks]
    reproduced = [one for one in settings if isinstance(one, PublishedSettings)]
    if len(reproduced) == len(tasks):
        return execute_published(reproduced, [task.seed for task in tasks])
    runs = [one for one in settings if isinstance(one, RunSettings) and batch_key(one) is not None]
    probes = [one for one in settings if isinstance(one, ProbeSettings)]
    if len(runs) == len(tasks):
        return execute_batch(runs, [task.seed for task in tasks], device=device, sampled=sampled)
    if len(probes) == len(tasks):
        seeds = [task.seed for task in tasks]
        return [
            Outcome(metrics=dict(probe_batch(one, seed=seed, device=device)))
            for one, seed in zip(probes, seeds, strict=True)
        ]
    return _one_by_one(_execute_alone, tasks)


def _one_by_one(execute_one: Callable[[StudySettings, int], Outcome], tasks: Sequence[Task]) -> list[Outcome]:
    return [execute_one(task.settings, task.seed) for task in tasks]


def _execute_alone(settings: StudySettings, seed: int) -> Outcome:
    if isinstance(settings, PublishedSettings):
        return execute_published([settings], [seed])[0]
    return execute(settings, seed)


def _key(settings: StudySettings) -> Hashable | None:
    if isinstance(settings, PublishedSettings):
        return published_key(settings)
    return batch_key(settings) if isinstance(settings, RunSettings) else "probe"


def _nothing_together(settings: StudySettings) -> None:
    del settings


def _most_together(settings: StudySettings) -> int:
    if isinstance(settings, PublishedSettings):
        return _CELLS_TOGETHER // (settings.rollouts * settings.time * settings.vocab)
    sizes = settings.world
    return _CELLS_TOGETHER // (sizes.prompts * sizes.time * sizes.vocab)
