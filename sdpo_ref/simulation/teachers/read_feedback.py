"""A policy conditioned on feedback through a posterior: what was read becomes a tilt of its logits (SIM-066).

The neighbour of ``reprompt``: there a language model reads the words, here a Bayesian reader reads the numbers. What
enters about the world comes from the reader's corpus; neither the ground truth nor the oracle is at hand.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.protocols import Policy
from sdpo_ref.simulation.reader import Reader, Reading
from sdpo_ref.types import Judgement, Rollouts, TeacherView


@dataclass(frozen=True)
class ReadFeedback:
    r"""Adds what the reader credits to the policy's logits.

    .. math::
        \ell(v \mid x, y_{<t}, c) = \ell(v \mid x, y_{<t}) + \kappa\, \mathrm{E}[q_{xtv} \mid c]

    The tilt is the same after every prefix. The implicit reward of a completion is therefore
    :math:`\kappa \sum_t \mathrm{E}[q_{x t y_t} \mid c]` minus the sum of the normalisers
    :math:`\log \sum_v \pi(v \mid x, y_{<t}) \exp(\kappa\, \mathrm{E}[q_{xtv} \mid c])`.
    Implements: SIM-066, SIM-067, SIM-069, SIM-070, TEACH-029.

    Attributes:
        reader: reads the ratings of each group.
        kappa: nats for each unit of credited quality; at least 0, which is the policy itself.

    Raises:
        InvalidInputError: if kappa is below 0 or not finite.
    """

    reader: Reader
    kappa: float = 1.0

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        if not (math.isfinite(self.kappa) and self.kappa >= 0):
            raise InvalidInputError(f"kappa must be finite and at least 0, received {self.kappa}; 0 reads nothing")

    def view(self, policy: Policy, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """Scores of ``policy`` for the rollouts once it has read the judgement; without gradient.

        Args:
            policy: whose logits are tilted.
            rollouts: of full length; ``prompts.group_ids`` are equal for rollouts that belong together.
            judgement: its feedback is read, its rewards are not.

        Returns:
            Logits for every completion token; rows are usable whose group has any feedback.

        Raises:
            InvalidInputError: if a completion is padded, or the feedback is not what the reader expects.
        """
        groups = _Groups.from_rollouts(rollouts)
        reading = self._reading(groups, rollouts, judgement)
        with torch.no_grad():
            logits = policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask).detach()
        tilt = self.kappa * reading.credited_quality[groups.group]
        return TeacherView(logits + tilt.to(logits), reading.has_feedback.any(-1)[groups.group])

    def read(self, rollouts: Rollouts, judgement: Judgement) -> Reading:
        """What the reader concludes about each prompt, for those who want to look inside.

        Args:
            rollouts: as for :meth:`view`.
            judgement: as for :meth:`view`.

        Returns:
            The conclusions; groups in ascending order of their ids, and rollouts of a group in theirs.

        Raises:
            InvalidInputError: as for :meth:`view`.
        """
        return self._reading(_Groups.from_rollouts(rollouts), rollouts, judgement)

    def _reading(self, groups: "_Groups", rollouts: Rollouts, judgement: Judgement) -> Reading:
        if not bool(rollouts.completion_mask.all()):
            raise InvalidInputError("received completions with padding; this teacher reads completions of full length")
        kinds = self.reader.design.positions.shape[0]
        numbers = [(math.nan,) * kinds if feedback is None else feedback.ratings for feedback in judgement.feedback]
        if any(len(row) != kinds for row in numbers):
            raise InvalidInputError(
                f"received feedback with {sorted({len(row) for row in numbers})} ratings, this reader expects {kinds}; "
                "set the reader's feedback to the oracle's regime"
            )
        has_feedback = torch.tensor([feedback is not None for feedback in judgement.feedback], dtype=torch.bool)
        ratings = torch.tensor(numbers, dtype=torch.float64).reshape(len(numbers), kinds)
        return self.reader.read(
            groups.packed(rollouts.completions), groups.packed(ratings), groups.packed(has_feedback)
        )


@dataclass(frozen=True)
class _Groups:
    """Where each rollout goes when groups, which may differ in size, become one padded tensor."""

    group: Int[Tensor, " rollout"]
    member: Int[Tensor, " rollout"]

    @classmethod
    def from_rollouts(cls, rollouts: Rollouts) -> "_Groups":
        _, group = torch.unique(rollouts.prompts.group_ids, return_inverse=True)
        same = group[:, None] == group
        return cls(group, same.tril(-1).sum(-1))

    def packed(self, rows: Shaped[Tensor, "rollout ..."]) -> Shaped[Tensor, "group member ..."]:
        """Rows as [group, member, ...]; zeros and False where a group has no such member."""
        groups, members = (int(index.max()) + 1 if index.numel() else 0 for index in (self.group, self.member))
        padded = torch.zeros(groups, members, *rows.shape[1:], dtype=rows.dtype)
        padded[self.group, self.member] = rows
        return padded
