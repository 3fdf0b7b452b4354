"""Exact binomial test of rare events: does a run collapse too often? Means do not show it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrc, betaincinv

from sdpo_ref.claims.statistics.design import check_design
from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.errors import InvalidInputError

MOST_SEEDS = 4096
"""Beyond which a decision counts as never reached."""


def collapse_bound(collapsed: int, seeds: int, confidence: float) -> float:
    """Exact one-sided upper bound of a rate, after Clopper and Pearson.

    Args:
        collapsed: how often it was seen, 0 to ``seeds``.
        seeds: how many were looked at, at least 1.
        confidence: that the rate is below the bound, (0, 1).

    Returns:
        The rate at which so few would be seen with probability 1 - ``confidence``; 1 if all were.

    Raises:
        InvalidInputError: if a number is outside its range.

    Example:
        >>> round(collapse_bound(0, 59, 0.95), 4), collapse_bound(3, 3, 0.95)
        (0.0495, 1.0)
    """
    if not (0 <= collapsed <= seeds and seeds >= 1 and 0.0 < confidence < 1.0):
        raise InvalidInputError(
            f"received {collapsed} of {seeds} at confidence {confidence}; allowed are 0 to all of at least 1 seed, and "
            "a confidence between 0 and 1"
        )
    if collapsed == seeds:
        return 1.0
    return float(betaincinv(collapsed + 1, seeds - collapsed, confidence))


@dataclass(frozen=True)
class CollapseDecision:
    """What collapsed runs decide about their rate.

    Attributes:
        outcome: of the comparison.
        look: index of the look that decided; ``None`` if none did.
        seeds: how many were counted: those up to the deciding look, or all that the looks have room for.
        collapsed: among them.
        bound: upper bound of the rate at the confidence that PASS needs, [0, 1].
        further_seeds: that would decide if the rate stayed; ``None`` if decided or if none would.
        reason: for a reader.
    """

    outcome: ClaimOutcome
    look: int | None
    seeds: int
    collapsed: int
    bound: float
    further_seeds: int | None
    reason: str


@dataclass(frozen=True)
class CollapseRule:
    """Whether a run collapses rarely enough, by exact binomial bounds. Implements: STAT-006.

    PASS if the upper bound of the rate at confidence 1 - alpha/K' is below ``most``; FAIL if so many collapses have at
    most the probability beta/(K' J) at the rate ``usual``; J counts the comparisons. K' counts the looks that decide:
    the largest number of last looks each of which would pass if nothing collapsed. Earlier looks spend nothing. Between
    ``usual`` and ``most`` both can hold when there are very many seeds, and then it is PASS: up to ``most`` is
    tolerated.

    Attributes:
        looks: increasing numbers of seeds.
        alpha: false-pass rate where runs collapse at rate ``most`` or more, (0, 1/2).
        beta: false-fail rate of the claim where they collapse at rate ``usual`` or less, (0, 1/2).
        most: rate that is not tolerated, (0, 1).
        usual: rate that is expected, above 0 and below ``most``.
        comparisons: of the claim, each of which gets an equal share of ``beta``.

    Raises:
        InvalidInputError: if a number is outside its range, or not even the last look could pass.

    Example:
        >>> rule = CollapseRule(looks=(8, 64), alpha=0.05, beta=0.01)
        >>> rule.deciding, str(rule.decide([False] * 64).outcome)
        ((64,), 'PASS')
    """

    looks: tuple[int, ...]
    alpha: float
    beta: float
    most: float = 0.05
    usual: float = 0.01
    comparisons: int = 1

    def __post_init__(self) -> None:
        check_design(self.looks, self.alpha, self.beta, self.comparisons)
        if not 0.0 < self.usual < self.most < 1.0:
            raise InvalidInputError(
                f"received usual {self.usual} and most {self.most}; allowed is 0 < usual < most < 1"
            )
        if not self.deciding:
            raise InvalidInputError(
                f"received looks {self.looks}; {self.looks[-1]} seeds without a collapse would not bound the rate "
                f"below {self.most}; add a later look"
            )

    @cached_property
    def deciding(self) -> tuple[int, ...]:
        """The looks that decide, each with an equal share of either rate."""
        for left_out in range(len(self.looks)):
            last = self.looks[left_out:]
            if collapse_bound(0, last[0], 1.0 - self.alpha / len(last)) < self.most:
                return last
        return ()

    def decide(self, collapsed: Sequence[bool]) -> CollapseDecision:
        """Walks through the looks that the seeds fill, up to the first that decides.

        Args:
            collapsed: whether the run collapsed, for each seed in order; those beyond the last look are ignored.

        Returns:
            The decision. It cannot be INVALID: a run without a result has collapsed, or is missing.
        """
        for seeds in self.deciding:
            if seeds > len(collapsed):
                break
            count = sum(collapsed[:seeds])
            outcome = self._compare(count, seeds)
            if outcome is not ClaimOutcome.INCONCLUSIVE:
                bound = collapse_bound(count, seeds, self._pass_confidence)
                reason = f"{count} of {seeds} runs collapsed; " + (
                    f"the rate is below {bound:.3g}, and {self.most:g} is tolerated"
                    if outcome is ClaimOutcome.PASS
                    else f"so many are too unlikely at the usual rate of {self.usual:g}"
                )
                return CollapseDecision(outcome, self.looks.index(seeds), seeds, count, bound, None, reason)
        return self._undecided(collapsed[: self.looks[-1]])

    def _undecided(self, collapsed: Sequence[bool]) -> CollapseDecision:
        """What is left when no look decides."""
        seeds, count = len(collapsed), sum(collapsed)
        bound = collapse_bound(count, seeds, self._pass_confidence) if seeds else 1.0
        ahead = next((look for look in self.deciding if look > seeds), None)
        where = "that was the last look" if ahead is None else f"the next look that decides is at {ahead}"
        reason = f"{count} of {seeds} runs collapsed, which decides nothing; {where}"
        further = self._further_seeds(count, seeds)
        return CollapseDecision(ClaimOutcome.INCONCLUSIVE, None, seeds, count, bound, further, reason)

    def _compare(self, count: int, seeds: int) -> ClaimOutcome:
        """PASS, FAIL or INCONCLUSIVE for so many collapses."""
        if self._passes(np.array(count), np.array(seeds)):
            return ClaimOutcome.PASS
        if self._fails(np.array(count), np.array(seeds)):
            return ClaimOutcome.FAIL
        return ClaimOutcome.INCONCLUSIVE

    def _further_seeds(self, count: int, seeds: int) -> int | None:
        """Seeds missing until this rate of collapse would decide. Implements: STAT-008.

        Collapses to come are taken at the rate so far, rounded up. Counted up to the next look where there is one, else
        at the confidence of the rule as it is; ``None`` if ``MOST_SEEDS`` would not decide.
        """
        ahead = np.arange(seeds + 1, MOST_SEEDS + 1)
        ahead = ahead[np.isin(ahead, self.deciding) | (ahead > self.looks[-1])]
        expected = -(-ahead * count // max(seeds, 1))
        decided = ahead[self._passes(expected, ahead) | self._fails(expected, ahead)]
        return int(decided[0]) - seeds if len(decided) else None

    def _passes(self, count: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the bound is below ``most``: so few or fewer are too unlikely there."""
        return np.asarray(bdtr(count, seeds, self.most) < 1.0 - self._pass_confidence)

    def _fails(self, count: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether so many or more are too unlikely at the rate ``usual``."""
        share = self.beta / (len(self.deciding) * self.comparisons)
        return np.asarray(bdtrc(count - 1, seeds, self.usual) <= share)

    @property
    def _pass_confidence(self) -> float:
        """Of the bound that has to be below ``most``."""
        return 1.0 - self.alpha / len(self.deciding)
