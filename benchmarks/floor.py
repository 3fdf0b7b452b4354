"""What a run-step of SDPO cannot do without: operations and bytes, counted from the sizes of the world."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from sdpo_ref.simulation.run_settings import RunSettings

_DOUBLE = 8
"""Bytes of a number."""


@dataclass(frozen=True)
class Floor:
    """Of one step of one run.

    Attributes:
        operations: multiplications and additions of the matrix products, reader included.
        moved: bytes that are read or written once for each pass that the step cannot do without.
    """

    operations: int
    moved: int

    def seconds(self, *, operations_a_second: float, bytes_a_second: float) -> float:
        """How long that takes at given rates.

        Args:
            operations_a_second: of matrix products of this size.
            bytes_a_second: of a copy that stays in the cache.
        """
        return self.operations / operations_a_second + self.moved / bytes_a_second


def floor_of(settings: RunSettings) -> Floor:
    """Count a step of SDPO under scalar feedback.

    Four products with the grammar: normalisers, expected direction, and two sums over rollouts. The reader: how each
    completion depends on taste, the covariance of a group, its Cholesky factor, and the posterior mean of every token.
    Sampling passes six times over the chances of all tokens after all prefixes (gathered, multiplied by the policy's
    factor in place, summed up in place, searched); the tables of logits, averages and gradients are passed over twelve
    times.

    Args:
        settings: of the run.
    """
    world = settings.world
    prompts, time_, vocab, rollouts = world.prompts, world.time, world.vocab, settings.group_size
    aspects, positions = world.aspects, world.prompts * world.time
    grammar = 4 * 2 * positions * vocab * (vocab + 1)
    rows = 2 * prompts * rollouts * time_ * aspects
    covariance = 2 * prompts * rollouts * rollouts * (aspects + time_)
    solved = prompts * (rollouts**3 // 3 + 4 * rollouts**2)
    posterior = 2 * positions * vocab * aspects
    sampled = 6 * positions * rollouts * vocab
    tables = 12 * positions * vocab
    return Floor(grammar + rows + covariance + solved + posterior, _DOUBLE * (sampled + tables))


def product_rate(settings: RunSettings, *, runs: int) -> float:
    """Operations a second of the products with the grammar, for so many runs together.

    Args:
        settings: of the runs.
        runs: how many.
    """
    world = settings.world
    tables = torch.randn(runs, world.prompts * world.time, world.vocab, dtype=torch.float64)
    grammar = torch.randn(runs, world.vocab, world.vocab + 1, dtype=torch.float64)
    out = torch.empty(*tables.shape[:2], world.vocab + 1, dtype=torch.float64)
    done = 2 * tables.numel() * (world.vocab + 1)
    return done / _least_seconds(lambda: torch.bmm(tables, grammar, out=out))


def copy_rate(*, kilobytes: int = 512) -> float:
    """Bytes a second that a copy reads and writes, in a block that stays in the cache.

    Args:
        kilobytes: of the block.
    """
    source = torch.zeros(kilobytes * 1024 // _DOUBLE, dtype=torch.float64)
    target = torch.empty_like(source)
    return 2 * kilobytes * 1024 / _least_seconds(lambda: target.copy_(source))


def _least_seconds(work: Callable[[], object]) -> float:
    times = []
    for _ in range(20):
        start = time.process_time()
        for _ in range(20):
            work()
        times.append((time.process_time() - start) / 20)
    return min(times)
