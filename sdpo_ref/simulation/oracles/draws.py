"""The randomness of one judgement: a function of one number drawn from the caller's generator (SIM-166, SIM-167)."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.simulation.world import random_stream

_LARGEST_KEY = 2**63 - 1


@dataclass(frozen=True)
class Draws:
    """Random numbers of each rollout, by purpose.

    Every judgement takes exactly one number from the caller's generator, its key. A rollout's numbers depend on the
    key, the purpose, the column and the rollout's row, and on nothing else: not on the regime, on other columns, on
    biases, or on which of its neighbours the same oracle judges.
    Implements: SIM-166, SIM-167.

    Attributes:
        key: the number that was drawn.
        count: rollouts of the judgement.
        rows: those whose numbers are drawn.

    Example:
        >>> draws = Draws.from_generator(torch.Generator().manual_seed(0), 3)
        >>> bool((draws.normal("noise", 2)[:, 0] == draws.normal("noise", 1)[:, 0]).all())
        True
    """

    key: int
    count: int
    rows: Int[Tensor, " rollout"]

    @classmethod
    def from_generator(cls, generator: torch.Generator, count: int) -> "Draws":
        """The randomness of the next judgement.

        Args:
            generator: advanced by one number, whatever the oracle.
            count: rollouts to judge.

        Returns:
            Draws for all of them.
        """
        key = int(torch.randint(_LARGEST_KEY, (1,), generator=generator))
        return cls(key, count, torch.arange(count))

    def select(self, rows: Int[Tensor, " selected"]) -> "Draws":
        """The same numbers for some of the rollouts.

        Args:
            rows: their positions among the present ones.

        Returns:
            Draws for these alone.
        """
        return replace(self, rows=self.rows[rows])

    def normal(self, purpose: str, columns: int) -> Float[Tensor, "rollout column"]:
        """Standard normal numbers.

        Args:
            purpose: what they are for.
            columns: how many for each rollout.

        Returns:
            Float64 numbers.
        """
        stream = random_stream(self.key, purpose)
        drawn = [torch.randn(self.count, generator=stream, dtype=torch.float64) for _ in range(columns)]
        return torch.stack(drawn, dim=-1)[self.rows]

    def uniform(self, purpose: str) -> Float[Tensor, " rollout"]:
        """One number in [0, 1) for each rollout.

        Args:
            purpose: what they are for.

        Returns:
            Float64 numbers.
        """
        return torch.rand(self.count, generator=random_stream(self.key, purpose), dtype=torch.float64)[self.rows]
