"""Runs that are one program, and the random numbers of their steps (spec/09-published-study, E)."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.published.settings import PublishedSettings
from sdpo_ref.published.world import World, told_quality
from sdpo_ref.simulation.world import random_stream

_TOGETHER = 16
"""torch draws normal numbers in groups of so many; what an incomplete group is depends on how many are asked for."""


def batch_key(settings: PublishedSettings) -> Hashable | None:
    """Equal for settings whose runs can be one program: they differ in numbers, and not in what is done.

    Args:
        settings: of a run.

    Returns:
        The key; ``None`` for a run with a part from outside, which goes alone.
    """
    if settings.outside.part is not None:
        return None
    kinds = {"vocab", "time", "steps", "rollouts", "method", "feedback", "bias"}
    control = settings.control
    given = control.feedback if isinstance(control.feedback, str) else "constant"
    return (
        *settings.model_dump(include=kinds).values(),
        given,
        control.equal_mean,
        control.hints,
        settings.constants.effective_length,
    )


@dataclass(frozen=True)
class Batch:
    """Runs that are one program: settings of one :func:`batch_key`, their worlds, and their numbers as tensors.

    Attributes:
        settings: of each run.
        world: of all runs, stacked.
        told: the quality that teachers are told.
    """

    settings: Sequence[PublishedSettings]
    world: World
    told: Float[Tensor, "run time vocab"]
    _numbers: dict[str, Float[Tensor, " run"]] = field(default_factory=dict)

    @classmethod
    def draw(cls, settings: Sequence[PublishedSettings], seeds: Sequence[int]) -> "Batch":
        """The runs of some seeds.

        Args:
            settings: of each run.
            seeds: of each run.

        Raises:
            InvalidInputError: if there are none, or they cannot be one program.
        """
        keys = {batch_key(one) for one in settings}
        if len(keys) != 1 or len(settings) != len(seeds):
            raise InvalidInputError(
                f"received {len(settings)} settings of {len(keys)} kinds and {len(seeds)} seeds; allowed are as many "
                "settings as seeds, of one kind; group them by batch_key"
            )
        worlds = [World.draw(one, seed=seed) for one, seed in zip(settings, seeds, strict=True)]
        told = [told_quality(one, world, seed=seed) for one, world, seed in zip(settings, worlds, seeds, strict=True)]
        stacked = World(
            *(
                torch.stack([getattr(world, name) for world in worlds])
                for name in ("quality", "neighbours", "pattern", "pattern_weight")
            )
        )
        return cls(settings, stacked, torch.stack(told))

    def numbers(self, name: str) -> Float[Tensor, " run"]:
        """One number of every run, of its settings or of their constants.

        Args:
            name: of the setting.
        """
        if name not in self._numbers:
            of = [getattr(one if hasattr(one, name) else one.constants, name) for one in self.settings]
            self._numbers[name] = torch.tensor(of, dtype=torch.float64)
        return self._numbers[name]

    def constant_feedback(self) -> Float[Tensor, " run"]:
        """What every teacher of a run is given under the control that says so."""
        return torch.tensor([one.control.feedback for one in self.settings], dtype=torch.float64)


@dataclass(frozen=True)
class Draws:
    """Every random number of the runs' steps, by step.

    Attributes:
        uniform: from which tokens are sampled.
        noise: of the ratings, standard normal.
        hints: errors of a critique's hints, standard normal.
    """

    uniform: Float[Tensor, "step run rollout time"]
    noise: Float[Tensor, "step run rollout"]
    hints: Float[Tensor, "step run rollout time"]

    @classmethod
    def of_seeds(cls, settings: PublishedSettings, seeds: Sequence[int]) -> "Draws":
        """The numbers of some seeds; each depends on its seed, its purpose and its step, and not on the other seeds.

        Implements: PUB-031.

        Args:
            settings: sizes.
            seeds: of the runs.
        """
        shape = (settings.steps, settings.rollouts, settings.time)

        def of(name: str, *shape: int, uniform: bool = False) -> Tensor:
            make, count = torch.rand if uniform else torch.randn, math.prod(shape)
            whole = -(-count // _TOGETHER) * _TOGETHER
            each = [
                make(whole, generator=random_stream(seed, "published", name), dtype=torch.float64) for seed in seeds
            ]
            return torch.stack([one[:count].view(shape) for one in each], 1)

        return cls(of("rollouts", *shape, uniform=True), of("noise", *shape[:2]), of("hints", *shape))
