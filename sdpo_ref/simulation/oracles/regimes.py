"""The five regimes of feedback, from the poorest to the richest, and what they share (spec/06-simulation, B).

A regime defines which parts it rates, on which scale, which ratings the feedback has, and the reward; all run the
same pipeline from rollouts to a judgement.
"""

import functools
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.oracles.draws import Draws
from sdpo_ref.simulation.oracles.evidence import Evidence, evidence_of
from sdpo_ref.simulation.oracles.staged import Lens, Ratings, StagedOracle, refuse_outside
from sdpo_ref.simulation.settings import RegimeName
from sdpo_ref.simulation.world import World
from sdpo_ref.types import Feedback, Judgement, Rollouts

WORDS = ("very poor", "poor", "fair", "good", "excellent")
"""The five levels of a Likert scale, lowest first."""


def rendered(labels: Sequence[str], ratings: Float[Tensor, "rollout rating"]) -> list[str]:
    """A sentence for each rating: what it is about, the word of the nearest level, and the rating in hundredths.

    Ratings that differ by more than a hundredth never share a text, so no two levels of the ordinal scale do.
    Implements: SIM-038.

    Args:
        labels: what each rating is about.
        ratings: in [0, 1].

    Returns:
        One text for each rollout.

    Example:
        >>> rendered(["Overall", "Aspect 1"], torch.tensor([[0.75, 0.1]]))
        ['Overall: good (75 of 100). Aspect 1: very poor (10 of 100).']
    """
    hundredths: list[list[int]] = torch.round(100 * ratings).int().T.tolist()
    columns: list[list[str]] = []  # of one label each
    for label, values in zip(labels, hundredths, strict=True):
        sentences = _sentences(label)
        columns.append([sentences[value] for value in values])
    return [" ".join(sentences) for sentences in zip(*columns, strict=True)]


@functools.cache
def _sentences(label: str) -> tuple[str, ...]:
    """The sentence for each number of hundredths; rendering 128 rollouts a step must not cost more than judging."""
    return tuple(f"{label}: {WORDS[round(value / 25)]} ({value} of 100)." for value in range(101))


@dataclass(frozen=True)
class Regime(StagedOracle):
    r"""An evaluator that rates with noise.

    .. math::
        r_j = \mathrm{clip}_{[0, 1]} \big( b(\sigma(\beta h_j)) + \nu\, \epsilon_j \big), \qquad
        \epsilon_j \sim \mathcal N(0, 1)

    with :math:`h_0` the latent score of the whole, :math:`h_1, h_2, \ldots` those of the parts, and b the biases.
    Implements: SIM-031, SIM-035.

    Attributes:
        world: the ground truth that it judges by.
        noise: standard deviation of every rating's noise, as a fraction of the scale; at least 0.

    Raises:
        InvalidInputError: if the noise is below 0 or not finite.
    """

    world: World
    noise: float = 0.15

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        refuse_outside("noise", self.noise, low=0.0, high=float("inf"))

    @abstractmethod
    def parts(self, evidence: Evidence) -> Float[Tensor, "rollout part"]:
        """Latent scores of what is rated beside the whole."""

    @abstractmethod
    def on_scale(self, noisy: Ratings) -> Ratings:
        """Ratings that the scale allows."""

    @abstractmethod
    def reported(self, ratings: Ratings) -> Float[Tensor, "rollout reported"]:
        """The ratings that the feedback contains."""

    @abstractmethod
    def reward(self, ratings: Ratings) -> Float[Tensor, " rollout"]:
        """The scalar that methods without feedback see."""

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """What each reported rating is about."""

    def assess(self, rollouts: Rollouts, *, draws: Draws, lens: Lens) -> Judgement:
        """Run the stages; see ``staged``."""
        evidence = lens.perceive(evidence_of(self.world, rollouts), rollouts)
        scores = torch.cat([evidence.whole()[:, None], self.parts(evidence)], dim=-1)
        clean = lens.rate(torch.sigmoid(self.world.settings.slope * scores))
        noise = lens.noise(self.noise) * draws.normal("noise", clean.shape[-1])
        ratings = self.on_scale(clean + noise)
        reported = self.reported(lens.report(ratings, rollouts))
        texts = rendered(self.labels, reported)
        numbers: list[list[float]] = reported.tolist()
        feedback = tuple(Feedback(text, tuple(row)) for text, row in zip(texts, numbers, strict=True))
        return Judgement(self.reward(ratings), feedback)


LEVELS: Mapping[RegimeName, int] = {"binary": 2, "ordinal": 5}
"""Points of a scale that has levels: at 0 and 1, or at 0, 1/4, 1/2, 3/4 and 1."""


@dataclass(frozen=True)
class LevelOracle(Regime):
    """The noisy overall rating, moved to the nearest of a few levels; reward and feedback are this level.

    Attributes:
        regime: whose levels.
    """

    regime: ClassVar[RegimeName]

    def parts(self, evidence: Evidence) -> Float[Tensor, "rollout part"]:
        """No parts."""
        return evidence.quality[:, :0]

    def on_scale(self, noisy: Ratings) -> Ratings:
        """The nearest level."""
        steps = LEVELS[self.regime] - 1
        return torch.round(noisy.clamp(0, 1) * steps) / steps

    def reported(self, ratings: Ratings) -> Float[Tensor, "rollout reported"]:
        """The overall level."""
        return ratings

    def reward(self, ratings: Ratings) -> Float[Tensor, " rollout"]:
        """The overall level."""
        return ratings[:, 0]

    @property
    def labels(self) -> tuple[str, ...]:
        """One."""
        return ("Overall",)


@dataclass(frozen=True)
class BinaryOracle(LevelOracle):
    """Two levels, a thumb up or down: 1 for a noisy overall rating above one half, else 0.

    Implements: SIM-184.
    """

    regime = "binary"


@dataclass(frozen=True)
class OrdinalOracle(LevelOracle):
    """Five levels.

    Implements: SIM-032.
    """

    regime = "ordinal"


@dataclass(frozen=True)
class ScalarOracle(Regime):
    """The noisy overall rating; reward and feedback are the same number.

    Implements: SIM-031.
    """

    def parts(self, evidence: Evidence) -> Float[Tensor, "rollout part"]:
        """No parts."""
        return evidence.quality[:, :0]

    def on_scale(self, noisy: Ratings) -> Ratings:
        """Clipped to the ends of the scale."""
        return noisy.clamp(0, 1)

    def reported(self, ratings: Ratings) -> Float[Tensor, "rollout reported"]:
        """The overall rating."""
        return ratings

    def reward(self, ratings: Ratings) -> Float[Tensor, " rollout"]:
        """The overall rating."""
        return ratings[:, 0]

    @property
    def labels(self) -> tuple[str, ...]:
        """One."""
        return ("Overall",)


@dataclass(frozen=True)
class RubricOracle(Regime):
    """The overall rating and a rating of what each aspect contributes to it; the reward is the overall rating.

    Implements: SIM-033.
    """

    def parts(self, evidence: Evidence) -> Float[Tensor, "rollout part"]:
        """The aspects."""
        return evidence.by_aspect()

    def on_scale(self, noisy: Ratings) -> Ratings:
        """Clipped to the ends of the scale."""
        return noisy.clamp(0, 1)

    def reported(self, ratings: Ratings) -> Float[Tensor, "rollout reported"]:
        """Every rating, the overall one first."""
        return ratings

    def reward(self, ratings: Ratings) -> Float[Tensor, " rollout"]:
        """The overall rating."""
        return ratings[:, 0]

    @property
    def labels(self) -> tuple[str, ...]:
        """The whole, then the aspects by number."""
        return ("Overall", *(f"Aspect {aspect + 1}" for aspect in range(self.world.settings.aspects)))


@dataclass(frozen=True)
class CritiqueOracle(Regime):
    """A rating of each span; the reward is their mean, so that methods without feedback average the noise as well.

    Implements: SIM-034.

    Attributes:
        spans: how many, from 1 to the number of positions.

    Raises:
        InvalidInputError: if there are fewer than one or more spans than positions, or if the noise is below 0.
    """

    spans: int = 4

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        super().__post_init__()
        if not 1 <= self.spans <= self.world.settings.time:
            raise InvalidInputError(
                f"spans must lie in [1, {self.world.settings.time}], the positions of a completion, "
                f"received {self.spans}"
            )

    def parts(self, evidence: Evidence) -> Float[Tensor, "rollout part"]:
        """The spans."""
        return evidence.by_span(self.spans)

    def on_scale(self, noisy: Ratings) -> Ratings:
        """Clipped to the ends of the scale."""
        return noisy.clamp(0, 1)

    def reported(self, ratings: Ratings) -> Float[Tensor, "rollout reported"]:
        """The ratings of the spans; the overall one is not reported."""
        return ratings[:, 1:]

    def reward(self, ratings: Ratings) -> Float[Tensor, " rollout"]:
        """The mean rating of the spans."""
        return ratings[:, 1:].mean(-1)

    @property
    def labels(self) -> tuple[str, ...]:
        """The positions of each span, counted from 1."""
        spans = torch.tensor_split(torch.arange(1, self.world.settings.time + 1), self.spans)
        return tuple(f"Tokens {int(span[0])} to {int(span[-1])}" for span in spans)
