"""Several ways to read, one for each prompt: for evaluators that differ from prompt to prompt (SIM-074).

The reader's side of :class:`~sdpo_ref.simulation.oracles.wrappers.Heterogeneous`: a reader that is given which
prompts get critiques and which get stars reads each for what it is.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.protocols import Policy
from sdpo_ref.teachers.weights import Conditioning
from sdpo_ref.types import Judgement, Rollouts, TeacherView


@dataclass(frozen=True)
class ReadByPrompt:
    """Each prompt's rollouts go to its own conditioning, and what comes back is put together again.

    A member sees the rollouts of its prompts only, in their order, so a placebo inside swaps feedback of one
    regime. With one member it is that member.
    Implements: SIM-074.

    Attributes:
        members: how judgements are read, such as one
            :class:`~sdpo_ref.simulation.teachers.read_feedback.ReadFeedback` a regime.
        member_of: for each prompt the index of its conditioning among the members; prompts are identified by group id.

    Raises:
        InvalidInputError: if an index is no member.
    """

    members: tuple[Conditioning, ...]
    member_of: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        if any(not 0 <= member < len(self.members) for member in self.member_of):
            raise InvalidInputError(
                f"member_of holds {self.member_of}; there are {len(self.members)} members, numbered from 0"
            )

    def view(self, policy: Policy, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """Scores of ``policy`` for the rollouts once each prompt's member has read its feedback; without gradient.

        Args:
            policy: that every member conditions.
            rollouts: of prompts that ``member_of`` has.
            judgement: on all of them.

        Returns:
            The rows in the order of the rollouts.

        Raises:
            InvalidInputError: if there is no rollout, one answers a prompt without a member, or a member refuses.
        """
        reads = self._members_of(rollouts)
        if len(self.members) == 1:
            return self.members[0].view(policy, rollouts, judgement)
        rows = [(reads == index).nonzero()[:, 0] for index in range(len(self.members))]
        views = [
            member.view(policy, rollouts.select(own), judgement.select(own))
            for member, own in zip(self.members, rows, strict=True)
            if own.numel()
        ]
        order = torch.cat(rows).argsort()
        return TeacherView(
            torch.cat([view.logits for view in views])[order],
            torch.cat([view.self_distillation_mask for view in views])[order],
        )

    def _members_of(self, rollouts: Rollouts) -> Int[Tensor, " rollout"]:
        """Who reads each rollout."""
        prompts = rollouts.prompts.group_ids
        if prompts.numel() == 0:
            raise InvalidInputError("received no rollouts, allowed is at least 1; leave the step out")
        if not 0 <= int(prompts.min()) <= int(prompts.max()) < len(self.member_of):
            raise InvalidInputError(
                f"received rollouts of prompts {int(prompts.min())} to {int(prompts.max())}; member_of has "
                f"{len(self.member_of)} prompts, numbered from 0; give one member for each prompt of the world"
            )
        return torch.tensor(self.member_of, dtype=torch.long)[prompts]
