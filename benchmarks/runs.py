"""Runs of the simulator to be timed, one after another and as one program."""

import time
from dataclasses import dataclass

from sdpo_ref.simulation.assembly import assemble
from sdpo_ref.simulation.batched.runs import Run
from sdpo_ref.simulation.measure import Measurement
from sdpo_ref.simulation.methods import Sdpo
from sdpo_ref.simulation.run import run
from sdpo_ref.simulation.run_batch import Trained, run_batch
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.simulation.settings import WorldSettings

TABULAR = WorldSettings(time=1)
"""16 prompts and 32 tokens, a completion is one token: a table is the whole policy."""

DEFAULT = WorldSettings()
"""The study's: 16 prompts, 8 positions, 32 tokens."""


@dataclass(frozen=True)
class Training:
    """SDPO with its Bayesian reader, eight rollouts a prompt, measured at the start and at the end.

    Attributes:
        world: in which.
        steps: of each run.
    """

    world: WorldSettings
    steps: int

    @property
    def settings(self) -> RunSettings:
        """Of all runs."""
        method = Sdpo(learning_rate=0.1)
        return RunSettings(world=self.world, method=method, steps=self.steps, measure_every=self.steps)

    def alone(self, seed: int) -> tuple[float, list[Measurement]]:
        """One run of the clear simulator; the world and what is learned of it are there before the clock starts.

        Returns:
            CPU seconds, and the curve.
        """
        parts, settings = assemble(self.settings, seed=seed), self.settings
        start = time.process_time()
        curve = run(
            parts.world,
            parts.oracle,
            parts.trainer,
            steps=settings.steps,
            group_size=settings.group_size,
            seed=seed,
            measure_every=settings.measure_every,
        )
        return time.process_time() - start, curve

    def together(self, number: int) -> list[Run]:
        """Runs with seeds of their own in one world: that of seed 0, which costs nothing to share."""
        parts, settings = assemble(self.settings, seed=0), self.settings
        return [Run(settings, seed, parts.world, (parts.knowledge,)) for seed in range(number)]


def timed_batch(runs: list[Run]) -> tuple[float, Trained]:
    """All runs as one program.

    Returns:
        CPU seconds, and what became of them.
    """
    start = time.process_time()
    trained = run_batch(runs)
    return time.process_time() - start, trained
