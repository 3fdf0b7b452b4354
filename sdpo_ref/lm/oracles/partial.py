"""A judgement with gaps: what could not be judged has no reward, not a reward of zero (ORACLE-001)."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.types import Feedback, Judgement


@dataclass(frozen=True)
class PartialJudgement:
    """Rewards and feedback where there are any.

    Attributes:
        rewards: ``None`` where the judgement is missing.
        feedback: ``None`` where there is none; without a reward it is not used.
        device: where rewards and rows are wanted.

    Example:
        >>> part = PartialJudgement((0.5, None, 1.0), (Feedback("Shorter."), None, None))
        >>> part.rows, part.judgement.rewards
        (tensor([0, 2]), tensor([0.5000, 1.0000]))
    """

    rewards: tuple[float | None, ...]
    feedback: tuple[Feedback | None, ...]
    device: torch.device | str = "cpu"

    @property
    def rows(self) -> Int[Tensor, " judged"]:
        """Which rollouts were judged; ``rollouts.select(rows)`` are those that a trainer can use."""
        judged = [row for row, reward in enumerate(self.rewards) if reward is not None]
        return torch.tensor(judged, dtype=torch.long, device=self.device)

    @property
    def judgement(self) -> Judgement:
        """Of the rollouts that were judged, in their order."""
        given = [reward for reward in self.rewards if reward is not None]
        return Judgement(
            torch.tensor(given, dtype=torch.float32, device=self.device),
            tuple(self.feedback[row] for row in self.rows.tolist()),
        )

    def whole(self) -> Judgement:
        """Of all rollouts.

        Raises:
            InvalidInputError: if one is missing.
        """
        missing = [row for row, reward in enumerate(self.rewards) if reward is None]
        if missing:
            raise InvalidInputError(
                f"{len(missing)} of {len(self.rewards)} rollouts were not judged (rows {missing[:4]}); a missing "
                "judgement is no reward, so ask again, or train on `rollouts.select(part.rows)` with `part.judgement`, "
                "where `part = oracle.judge_some(rollouts, generator=...)`"
            )
        return self.judgement
