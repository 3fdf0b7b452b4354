"""The seam of the simulated oracles: four stages of a judgement, and a lens that bends each of them.

    perceive -> rate -> noise -> clip -> (rewards) -> report -> (feedback)

A wrapper adds its lens to those of the wrappers around it and hands it inwards; the regime at the centre runs the
stages. So no wrapper depends on another or on the regime, a bias acts before noise and clipping wherever it stands, and
within a stage the innermost wrapper acts first (SIM-168).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.oracles.draws import Draws
from sdpo_ref.simulation.oracles.evidence import Evidence
from sdpo_ref.types import Judgement, Rollouts

Ratings = Float[Tensor, "rollout rating"]
"""Ratings of each rollout on the scale from 0 to 1: the overall one in column 0, then one for each part."""


def _as_perceived(evidence: Evidence, rollouts: Rollouts) -> Evidence:
    del rollouts
    return evidence


def _as_rated(ratings: Ratings) -> Ratings:
    return ratings


def _as_noisy(noise: float) -> float:
    return noise


def _as_reported(ratings: Ratings, rollouts: Rollouts) -> Ratings:
    del rollouts
    return ratings


@dataclass(frozen=True)
class Lens:
    """How an evaluator departs from a faultless one at each stage; the default does not depart.

    Attributes:
        perceive: bends what is perceived in the rollouts.
        rate: bends the clean ratings, before noise and clipping.
        noise: from the regime's standard deviation of the noise to the one that is used.
        tell: bends the ratings in the feedback, after noise and clipping; the rewards stay.
    """

    perceive: Callable[[Evidence, Rollouts], Evidence] = _as_perceived
    rate: Callable[[Ratings], Ratings] = _as_rated
    noise: Callable[[float], float] = _as_noisy
    report: Callable[[Ratings, Rollouts], Ratings] = _as_reported

    def followed_by(self, outer: "Lens") -> "Lens":
        """This lens first, the outer one second, at every stage.

        Args:
            outer: what is applied to this lens's result.

        Returns:
            One lens for both.

        Example:
            >>> Lens(noise=lambda noise: noise + 1).followed_by(Lens(noise=lambda noise: 10 * noise)).noise(0.0)
            10.0
        """
        return Lens(
            perceive=lambda evidence, rollouts: outer.perceive(self.perceive(evidence, rollouts), rollouts),
            rate=lambda ratings: outer.rate(self.rate(ratings)),
            noise=lambda noise: outer.noise(self.noise(noise)),
            report=lambda ratings, rollouts: outer.report(self.report(ratings, rollouts), rollouts),
        )


class StagedOracle(ABC):
    """An oracle whose judgement can be bent by lenses: a regime, or a wrapper around another staged oracle."""

    @abstractmethod
    def assess(self, rollouts: Rollouts, *, draws: Draws, lens: Lens) -> Judgement:
        """The judgement under given randomness, seen through the lens of the wrappers around this oracle.

        Args:
            rollouts: what to judge.
            draws: randomness of exactly these rollouts.
            lens: applied after this oracle's own.

        Returns:
            The judgement.
        """

    def judge(self, rollouts: Rollouts, *, generator: torch.Generator) -> Judgement:
        """Rewards and feedback of each rollout.

        Implements: ORACLE-001, ORACLE-002, SIM-164, SIM-165, SIM-166.

        Args:
            rollouts: complete rollouts; ``prompts.group_ids`` holds each rollout's prompt.
            generator: advanced by one number.

        Returns:
            Rewards in [0, 1], and feedback on each attempt where there is any.

        Raises:
            InvalidInputError: if the world has no such prompt or completion.
        """
        draws = Draws.from_generator(generator, rollouts.completions.shape[0])
        return self.assess(rollouts, draws=draws, lens=Lens())


@dataclass(frozen=True)
class Bias(StagedOracle):
    """A wrapper that bends its inner oracle's judgement through a lens, and changes nothing else.

    Implements: SIM-053, SIM-168, SIM-169.

    Attributes:
        inner: the oracle that is bent.
    """

    inner: StagedOracle

    @property
    @abstractmethod
    def lens(self) -> Lens:
        """How this bias departs from what it wraps."""

    def assess(self, rollouts: Rollouts, *, draws: Draws, lens: Lens) -> Judgement:
        """The inner oracle's judgement through this lens first and the outer one second."""
        return self.inner.assess(rollouts, draws=draws, lens=self.lens.followed_by(lens))


def refuse_outside(name: str, value: float, *, low: float, high: float) -> None:
    """Refuse a setting outside its range, by name.

    Args:
        name: of the setting.
        value: what was received.
        low: smallest allowed value.
        high: largest allowed value; infinity stands for any finite number.

    Raises:
        InvalidInputError: if the value is outside, not finite, or not a number.

    Example:
        >>> refuse_outside("strength", 1.5, low=0.0, high=1.0)
        Traceback (most recent call last):
        sdpo_ref.errors.InvalidInputError: strength must be finite and lie in [0.0, 1.0], received 1.5
    """
    if not (low <= value <= high and abs(value) < float("inf")):
        raise InvalidInputError(f"{name} must be finite and lie in [{low}, {high}], received {value}")
