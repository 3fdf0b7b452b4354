"""A policy conditioned on a demonstration through a posterior: what SDFT's teacher reads in the simulation (SIM-170).

The neighbour of ``read_feedback``: there numbers are read, here only which completion of the group was shown. Nobody
says how good it is; that it was chosen says something, because the best of n is better than the rest by a known amount.
"""

import math
from dataclasses import dataclass

import torch

from sdpo_ref.functional.preference import best_and_worst
from sdpo_ref.protocols import Policy
from sdpo_ref.simulation.reader import Reader
from sdpo_ref.simulation.teachers.read_feedback import ReadFeedback
from sdpo_ref.types import Feedback, Judgement, Rollouts, TeacherView

_GRID = torch.linspace(-9, 9, 3601, dtype=torch.float64)
"""Scores for the integral of the expected maximum; steps of 1/200 of a standard deviation."""


@dataclass(frozen=True)
class ReadDemonstration:
    r"""Reads the best completion of each group as best, and the rest as the rest.

    The latent scores of a group are taken for n draws of a standard normal distribution. The one that was shown is
    then expected at the mean of their maximum, m, the others at :math:`-m / (n - 1)`, each give or take one standard
    deviation; a reader of scalar feedback reads these numbers on the tangent of the scale. Of several that share the
    highest reward the first is shown. A group of equal rewards has no demonstration, and its rows are not usable.
    Implements: SIM-103, SIM-170, SIM-171.

    Attributes:
        reader: of scalar feedback; its rating noise is the slope over 4, one standard deviation on that tangent.
        kappa: nats for each unit of credited quality; at least 0.

    Raises:
        InvalidInputError: if kappa is below 0 or not finite.
    """

    reader: Reader
    kappa: float = 1.0

    def view(self, policy: Policy, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """Scores of ``policy`` for the rollouts once it has seen the demonstrations; without gradient.

        Args:
            policy: whose logits are tilted.
            rollouts: of full length; ``prompts.group_ids`` are equal for rollouts that belong together.
            judgement: its rewards choose the demonstrations; feedback is not read.

        Returns:
            Logits for every completion token; rows are usable whose group has a demonstration.

        Raises:
            InvalidInputError: if a completion is padded.
        """
        return ReadFeedback(self.reader, self.kappa).view(policy, rollouts, self.shown(rollouts, judgement))

    def shown(self, rollouts: Rollouts, judgement: Judgement) -> Judgement:
        """The judgement as far as the demonstrations reveal it.

        Args:
            rollouts: whose groups.
            judgement: whose rewards.

        Returns:
            The same rewards, with one of two ratings for each completion, or ``None`` where nothing was shown.
        """
        groups = rollouts.prompts.group_ids
        feedback: list[Feedback | None] = [None] * len(judgement.feedback)
        best, _ = best_and_worst(judgement.rewards, groups)
        for shown in best.tolist():
            members = (groups == groups[shown]).nonzero()[:, 0]
            lead = expected_maximum(len(members))
            for member in members.tolist():
                score = lead if member == shown else -lead / (len(members) - 1)
                feedback[member] = Feedback("", (0.5 + self.reader.slope / 4 * score,))
        return Judgement(judgement.rewards, tuple(feedback))


def expected_maximum(count: int) -> float:
    r"""Mean of the largest of n standard normal numbers.

    .. math::
        \mathrm{E} \max = \int z \, n \, \Phi(z)^{n - 1} \varphi(z) \, dz

    Args:
        count: n, at least 1.

    Returns:
        In standard deviations; 0 for one number.

    Example:
        >>> round(expected_maximum(2), 6), round(1 / math.pi**0.5, 6)
        (0.56419, 0.56419)
    """
    density = torch.exp(-(_GRID**2) / 2) / math.sqrt(2 * math.pi)
    return float(torch.trapezoid(_GRID * count * torch.special.ndtr(_GRID) ** (count - 1) * density, _GRID))
