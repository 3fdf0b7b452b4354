"""Biases in how the scale is used: functions of the clean ratings, before noise and clipping.

Each maps [0, 1] into itself and is increasing below strength 1. Biases in what is seen are in ``perception_biases``.
"""

from abc import abstractmethod
from dataclasses import dataclass

import torch

from sdpo_ref.simulation.oracles.staged import Bias, Lens, Ratings, refuse_outside


@dataclass(frozen=True)
class RatingBias(Bias):
    """A bias of the clean ratings.

    Attributes:
        strength: in [0, 1]; 0 is no bias.

    Raises:
        InvalidInputError: if the strength is outside [0, 1].
    """

    strength: float

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        refuse_outside("strength", self.strength, low=0.0, high=1.0)

    @abstractmethod
    def biased(self, ratings: Ratings) -> Ratings:
        """What becomes of the clean ratings."""

    @property
    def lens(self) -> Lens:
        """The bias, at the stage of rating."""
        return Lens(rate=self.biased)


@dataclass(frozen=True)
class Positivity(RatingBias):
    """Every rating moves towards the upper end: r becomes r + s (1 - r).

    Implements: SIM-041.
    """

    def biased(self, ratings: Ratings) -> Ratings:
        """Distances from the upper end shrink by the strength."""
        return ratings + self.strength * (1 - ratings)


@dataclass(frozen=True)
class Severity(RatingBias):
    """Every rating moves towards the lower end: r becomes r - s r.

    Implements: SIM-042.
    """

    def biased(self, ratings: Ratings) -> Ratings:
        """Distances from the lower end shrink by the strength."""
        return ratings - self.strength * ratings


@dataclass(frozen=True)
class CentralTendency(RatingBias):
    """Every rating moves towards the middle: r becomes r + s (1/2 - r).

    Implements: SIM-043.
    """

    def biased(self, ratings: Ratings) -> Ratings:
        """Distances from the middle shrink by the strength."""
        return ratings + self.strength * (0.5 - ratings)


@dataclass(frozen=True)
class Halo(RatingBias):
    """Ratings of parts move towards the overall one: r_j becomes r_j + s (r_0 - r_j).

    In a critique the overall rating is the impression that the evaluator keeps to themselves.
    Implements: SIM-044.
    """

    def biased(self, ratings: Ratings) -> Ratings:
        """Distances from the overall rating shrink by the strength; it stays itself."""
        return torch.lerp(ratings, ratings[:, :1].expand_as(ratings), self.strength)
