"""What a batch is made of: its runs, and the random numbers of a step, which are those of the reference.

Streams are named by seed, step and purpose (``simulation.world.random_stream``), so a run draws the same numbers
alone, in any batch, and in ``sdpo_ref.simulation.run``; methods and settings that are compared at one seed share them,
and what is shared need not be drawn twice.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.simulation.oracles import Draws
from sdpo_ref.simulation.reader import Knowledge
from sdpo_ref.simulation.settings import RunBase
from sdpo_ref.simulation.world import World, random_stream

_STEPS_KEPT = 1024
"""Draws of so many steps stay in memory, which is less than 20 MB at the default size."""


@dataclass(frozen=True)
class Run:
    """One run of a batch.

    Attributes:
        settings: of the run, with :func:`~sdpo_ref.simulation.run_batch.batch_key` not ``None``.
        seed: of the oracle and of everything that is drawn in a step.
        world: the ground truth.
        knowledge: of each of the settings' readers.
    """

    settings: RunBase
    seed: int
    world: World
    knowledge: tuple[Knowledge, ...]


@dataclass(frozen=True)
class Sizes:
    """How many numbers a step takes.

    Attributes:
        prompts: of the world.
        rollouts: of each prompt.
        time: tokens of a completion.
        ratings: that are made of each rollout at most.
    """

    prompts: int
    rollouts: int
    time: int
    ratings: int


@dataclass(frozen=True)
class StepDraws:
    """Random numbers of one step.

    Attributes:
        uniform: decides each token.
        noise: standard normal, of each rating.
        missing: decides who goes without feedback.
    """

    uniform: Float[Tensor, "run prompt time rollout"]
    noise: Float[Tensor, "run prompt rollout rating"]
    missing: Float[Tensor, "run prompt rollout"]


def step_draws(seeds: Sequence[int], step: int, sizes: Sizes, *, device: torch.device) -> StepDraws:
    """What the reference draws in this step, for every run.

    Args:
        seeds: of the runs; equal ones are drawn once.
        step: from 1.
        sizes: of the draws.
        device: where they are needed.

    Returns:
        The draws, in float64.
    """
    distinct = sorted(set(seeds))
    rows = torch.tensor([distinct.index(seed) for seed in seeds], device=device)
    drawn = [_drawn(seed, step, sizes) for seed in distinct]
    return StepDraws(*(torch.stack(kind).to(device)[rows] for kind in zip(*drawn, strict=True)))


@functools.lru_cache(maxsize=_STEPS_KEPT)
def _drawn(seed: int, step: int, sizes: Sizes) -> tuple[Tensor, Tensor, Tensor]:
    shape = sizes.prompts, sizes.rollouts
    rollouts = random_stream(seed, step, "rollouts")
    uniform = torch.rand(*shape, sizes.time, generator=rollouts, dtype=torch.float64)
    draws = Draws.from_generator(random_stream(seed, step, "judgement"), sizes.prompts * sizes.rollouts)
    noise = draws.normal("noise", sizes.ratings).view(*shape, sizes.ratings)
    return uniform.mT.contiguous(), noise, draws.uniform("missing").view(shape)
