"""The Protocol of an oracle: something that judges completions and never sees the policy (spec/02-oracle)."""

from typing import Protocol, runtime_checkable

import torch

from sdpo_ref.types import Judgement, Rollouts


@runtime_checkable
class Oracle(Protocol):
    """**Protocol:** a source of rewards and feedback."""

    def judge(self, rollouts: Rollouts, *, generator: torch.Generator) -> Judgement:
        """A finite reward for each rollout, and feedback on that very attempt where there is any (ORACLE-002)."""
        ...
