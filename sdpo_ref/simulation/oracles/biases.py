"""Systematic biases of an evaluator: of what it perceives, and of how it rates (spec/06-simulation, B)."""

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.oracles.evidence import Evidence
from sdpo_ref.simulation.oracles.staged import Bias, Lens, Ratings, refuse_outside
from sdpo_ref.types import Rollouts


@dataclass(frozen=True)
class Verbosity(Bias):
    """Filler looks better than it is: each filler token's quality appears higher by the strength.

    Implements: SIM-045.

    Attributes:
        strength: in units of a token's quality, whose standard deviation is 1; at least 0.
        filler: ids of the filler tokens.

    Raises:
        InvalidInputError: if the strength is below 0 or not finite, or an id is below 0.
    """

    strength: float
    filler: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        refuse_outside("strength", self.strength, low=0.0, high=math.inf)
        if any(token < 0 for token in self.filler):
            raise InvalidInputError(f"filler holds {min(self.filler)}; token ids start at 0")

    @property
    def lens(self) -> Lens:
        """A bonus for filler."""
        return Lens(perceive=self._perceive)

    def _perceive(self, evidence: Evidence, rollouts: Rollouts) -> Evidence:
        is_filler = torch.isin(rollouts.completions, torch.tensor(self.filler, dtype=torch.long))
        return evidence.plus(self.strength * is_filler.to(evidence.quality))


@dataclass(frozen=True)
class Position(Bias):
    r"""Early tokens count more (primacy), or late ones (recency).

    .. math::
        w_t = 1 + s\, \frac{T + 1 - 2t}{T - 1}, \qquad t = 1, \ldots, T

    The weights fall in a straight line from 1 + s to 1 - s, and their mean is 1.
    Implements: SIM-046.

    Attributes:
        strength: in [-1, 1]; above 0 is primacy, below 0 recency.

    Raises:
        InvalidInputError: if the strength is outside [-1, 1].
    """

    strength: float

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        refuse_outside("strength", self.strength, low=-1.0, high=1.0)

    @property
    def lens(self) -> Lens:
        """A weight for each position."""
        return Lens(perceive=self._perceive)

    def _perceive(self, evidence: Evidence, rollouts: Rollouts) -> Evidence:
        del rollouts
        time = evidence.quality.shape[-1]
        ramp = torch.arange(time - 1, -time, -2).to(evidence.quality) / max(time - 1, 1)
        return evidence.times(1 + self.strength * ramp)


@dataclass(frozen=True)
class SelfPreference(Bias):
    r"""What the current policy finds likely looks better than it is.

    .. math::
        q_t \leftarrow q_t + s \left( 1 + \frac{\log \mu(y_t)}{\log V} \right)

    A token that the policy was certain of gains the strength, a token as likely as chance nothing, a rarer one loses.
    The evaluator sees the policy through the rollouts' behaviour log-probabilities alone.
    Implements: SIM-047.

    Attributes:
        strength: in units of a token's quality, whose standard deviation is 1; at least 0.
        vocab: tokens to choose from, V; at least 2.

    Raises:
        InvalidInputError: if the strength is below 0 or not finite, or there are fewer than two tokens.

    References:
        arXiv:2410.21819 (evaluators that are language models prefer text of low perplexity).
    """

    strength: float
    vocab: int

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        refuse_outside("strength", self.strength, low=0.0, high=math.inf)
        if self.vocab < 2:
            raise InvalidInputError(f"vocab must be at least 2, received {self.vocab}; chance needs a choice")

    @property
    def lens(self) -> Lens:
        """A bonus for likely tokens."""
        return Lens(perceive=self._perceive)

    def _perceive(self, evidence: Evidence, rollouts: Rollouts) -> Evidence:
        log_probs = rollouts.behaviour_log_probs.to(evidence.quality)
        return evidence.plus(self.strength * (1 + log_probs / math.log(self.vocab)))


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
