"""Evaluators that differ from prompt to prompt."""

from dataclasses import dataclass

import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.oracles.draws import Draws
from sdpo_ref.simulation.oracles.staged import Lens, StagedOracle
from sdpo_ref.types import Feedback, Judgement, Rollouts


@dataclass(frozen=True)
class Heterogeneous(StagedOracle):
    """Each prompt has its own oracle, with its own regime and noise.

    Implements: SIM-051.

    Attributes:
        members: the oracles.
        member_of: for each prompt the index of its oracle among the members.

    Raises:
        InvalidInputError: if an index is no member.
    """

    members: tuple[StagedOracle, ...]
    member_of: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        if any(not 0 <= member < len(self.members) for member in self.member_of):
            raise InvalidInputError(
                f"member_of holds {self.member_of}; there are {len(self.members)} members, numbered from 0"
            )

    def assess(self, rollouts: Rollouts, *, draws: Draws, lens: Lens) -> Judgement:
        """Each rollout as its prompt's oracle judges it, with the random numbers that it would have anywhere."""
        prompts = rollouts.prompts.group_ids
        unknown = sorted(set(prompts.tolist()) - set(range(len(self.member_of))))
        if unknown:
            raise InvalidInputError(
                f"received rollouts of prompts {unknown}; member_of has {len(self.member_of)} prompts, numbered from 0"
            )
        judged_by = torch.tensor(self.member_of, dtype=torch.long)[prompts]
        rewards = torch.zeros(prompts.shape[0], dtype=torch.float64)
        feedback: list[Feedback | None] = [None] * prompts.shape[0]
        for index, member in enumerate(self.members):
            rows = (judged_by == index).nonzero()[:, 0]
            judgement = member.assess(rollouts.select(rows), draws=draws.of(rows), lens=lens)
            rewards[rows] = judgement.rewards
            for row, said in zip(rows.tolist(), judgement.feedback, strict=True):
                feedback[row] = said
        return Judgement(rewards, tuple(feedback))
