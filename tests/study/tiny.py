"""A study so small that hundreds of its tasks take a second, for tests of what surrounds the tasks.

``python -m tests.study.tiny STORE SEEDS JOBS`` runs it until it is done or killed.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.study.experiment import Cell, Experiment, StudySettings, Task
from sdpo_ref.study.outcome import Curve, Outcome
from sdpo_ref.study.runner import run_tasks
from sdpo_ref.study.simulators import alone
from sdpo_ref.study.store import Store

RATES = (0.1, 0.2)


def settings(learning_rate: float = 0.1) -> RunSettings:
    """A run that nothing here carries out."""
    return RunSettings.model_validate({"method": {"method": "rloo", "learning_rate": learning_rate}})


def experiment(name: str = "tiny") -> Experiment:
    """Two cells."""
    cells = tuple(Cell(labels={"rate": rate}, settings=settings(rate)) for rate in RATES)
    return Experiment(name=name, title="Tiny", question="Does it run?", cells=cells)


def tasks(seeds: int) -> list[Task]:
    """Of that experiment."""
    return list(experiment().tasks(range(seeds)))


def answer(asked: StudySettings, seed: int) -> Outcome:
    """Numbers that depend on settings and seed alone."""
    assert isinstance(asked, RunSettings)
    reward = asked.method.learning_rate / (seed + 3)
    nothing = (0.0,) * 30
    curve = Curve(
        step=tuple(range(30)),
        reward=tuple(reward * step for step in range(30)),
        entropy=nothing,
        distinctness=nothing,
        kl_to_base=nothing,
    )
    return Outcome(metrics={"final_reward": reward}, curve=curve)


def quick(asked: StudySettings, seed: int) -> Outcome:
    """The answer after a moment."""
    time.sleep(0.002)
    return answer(asked, seed)


def slow(asked: StudySettings, seed: int) -> Outcome:
    """The answer after so long that others are surely under way."""
    time.sleep(0.2)
    return answer(asked, seed)


def fails_at_three(asked: StudySettings, seed: int) -> Outcome:
    """A mistake in a user's code that shows at seed 3."""
    if seed == 3:
        raise KeyError("no such tensor")
    return answer(asked, seed)


def slow_beside_a_mistake(asked: StudySettings, seed: int) -> Outcome:
    """Seed 3 raises while the others are still at work."""
    time.sleep(0.2 if seed == 3 else 1.0)
    return fails_at_three(asked, seed)


def diverges(asked: StudySettings, seed: int) -> Outcome:
    """An outcome that is an error."""
    del asked
    return Outcome(error=f"the policy of seed {seed} is not finite")


def dies(asked: StudySettings, seed: int) -> Outcome:
    """A worker that the operating system kills."""
    if seed == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer(asked, seed)


def threads(asked: StudySettings, seed: int) -> Outcome:
    """How many threads torch may use, and in which process."""
    del asked, seed
    return Outcome(metrics={"threads": torch.get_num_threads(), "process": os.getpid()})


def main() -> None:
    """Run it."""
    path, seeds, jobs = sys.argv[1:]
    with Store(Path(path)) as store:
        sys.stdout.write("running\n")
        sys.stdout.flush()
        run_tasks(tasks(int(seeds)), store, jobs=int(jobs), simulator=alone(quick))


if __name__ == "__main__":
    main()


def together(tasks: Sequence[Task]) -> list[Outcome]:
    """All of them, or none if one is a mistake."""
    return [fails_at_three(task.settings, task.seed) for task in tasks]


def one_batch(settings: StudySettings) -> str:
    """Everything goes together."""
    del settings
    return "everything"
