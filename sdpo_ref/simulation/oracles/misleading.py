"""Feedback that points the wrong way, while the scalar stays honest."""

from dataclasses import dataclass

import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.oracles.staged import Bias, Lens, Ratings
from sdpo_ref.types import Rollouts


@dataclass(frozen=True)
class Misleading(Bias):
    """The feedback on some prompts says 1 - r where the evaluator means r; the rewards stay as they are.

    Implements: SIM-048.

    Attributes:
        prompts: whose feedback misleads.

    Raises:
        InvalidInputError: if a prompt is below 0.
    """

    prompts: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        if any(prompt < 0 for prompt in self.prompts):
            raise InvalidInputError(f"prompts holds {min(self.prompts)}; prompts are numbered from 0")

    @property
    def lens(self) -> Lens:
        """What is told is turned round."""
        return Lens(tell=self._tell)

    def _tell(self, ratings: Ratings, rollouts: Rollouts) -> Ratings:
        misled = torch.isin(rollouts.prompts.group_ids, torch.tensor(self.prompts, dtype=torch.long))
        return torch.where(misled[:, None], 1 - ratings, ratings)
