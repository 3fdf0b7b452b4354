"""Group-sequential sign test: which of two is better at the same seed, decided by counting wins."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sdpo_ref.claims.statistics.design import advance, check_design, first_not_finite, not_finite, smallest_crossings
from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.errors import InvalidInputError

NO_DIFFERENCE = 0.5
"""Probability of improvement between two that are equally good."""

LIKELY = 0.8
"""Chance of a decision for which further seeds are worth naming."""

MOST_SEEDS = 1024
"""Beyond which no further look is considered."""


@dataclass(frozen=True)
class Outcomes:
    """What becomes of one comparison, exactly.

    Attributes:
        passed: probability.
        failed: probability.
        undecided: probability, after the last look.
        mean_seeds: expected number of seeds until it is decided or the looks end.
    """

    passed: float
    failed: float
    undecided: float
    mean_seeds: float


@dataclass(frozen=True)
class SignDecision:
    """What the differences of one comparison decide.

    Attributes:
        outcome: of the comparison.
        look: index of the look that decided; ``None`` if none did.
        seeds: how many differences were counted: those up to the deciding look, or all that the looks have room for.
        wins: among them.
        ties: among them; no wins for PASS, wins for FAIL.
        further_seeds: after which a decision is likely; ``None`` if decided, invalid, or never likely.
        reason: for a reader.
    """

    outcome: ClaimOutcome
    look: int | None
    seeds: int
    wins: int
    ties: int
    further_seeds: int | None
    reason: str


@dataclass(frozen=True)
class SignRule:
    """An exact sequential sign rule for one of a claim's comparisons. Implements: STAT-021.

    The estimand is the probability of improvement, P(left beats right at the same seed). The only assumption is that
    seeds are independent; the rates are binomial sums, not approximations. PASS is wrong with at most ``alpha`` where
    the probability is 1/2 or less, FAIL with at most ``beta / comparisons`` where it is ``least`` or more. Nothing is
    guaranteed in between.

    Error is spent over the looks k = 1…K. By look k PASS may have spent alpha (k/K)^(1/3) and FAIL
    (beta/comparisons) k/K: PASS is spent early, because few seeds decide only by a clean sweep and its probability is
    indivisible; FAIL evenly, because a refutation has no hurry. What a look cannot spend is there for the next.
    Both boundaries are computed as if the other did not exist. That overstates either rate a little, makes PASS
    independent of the number of comparisons, and keeps the guarantees for those who go on after a decision. Where they
    would overlap, PASS has the wins, and FAIL ends one below.

    Attributes:
        looks: increasing numbers of seeds at which the rule may decide.
        alpha: false-pass rate of the claim, (0, 1/2).
        beta: false-fail rate of the claim, (0, 1/2).
        comparisons: of the claim, each of which gets an equal share of ``beta``.
        least: smallest probability of improvement that counts as a reproduction, (1/2, 1).

    Raises:
        InvalidInputError: if a number is outside its range.

    Example:
        >>> rule = SignRule(looks=(5,), alpha=0.05, beta=0.01, comparisons=4)
        >>> rule.pass_at, rule.fail_at, rule.false_pass
        ((5,), (0,), 0.03125)
    """

    looks: tuple[int, ...]
    alpha: float
    beta: float
    comparisons: int
    least: float = 0.8

    def __post_init__(self) -> None:
        check_design(self.looks, self.alpha, self.beta, self.comparisons)
        if not NO_DIFFERENCE < self.least < 1.0:
            raise InvalidInputError(f"received least {self.least}; allowed is above {NO_DIFFERENCE} and below 1")

    @cached_property
    def pass_at(self) -> tuple[int | None, ...]:
        """Wins from which on each look gives PASS; ``None`` where it cannot."""
        return tuple(
            wins if wins <= seeds else None for wins, seeds in zip(self._pass_boundaries, self.looks, strict=True)
        )

    @cached_property
    def fail_at(self) -> tuple[int | None, ...]:
        """Wins up to which each look gives FAIL; ``None`` where it cannot. Implements: STAT-023."""
        budgets = [self.beta / self.comparisons * spent for spent in self._share_of_looks]
        losses = smallest_crossings(self.looks, 1.0 - self.least, budgets)
        most = [
            min(seeds - lost, wins - 1)
            for seeds, lost, wins in zip(self.looks, losses, self._pass_boundaries, strict=True)
        ]
        return tuple(wins if wins >= 0 else None for wins in most)

    @cached_property
    def false_pass(self) -> float:
        """Probability of PASS for two that are equally good, in one comparison, exactly."""
        return self.outcomes(NO_DIFFERENCE).passed

    @cached_property
    def false_fail(self) -> float:
        """Probability of FAIL at the smallest improvement that counts, in one comparison, exactly."""
        return self.outcomes(self.least).failed

    def outcomes(self, poi: float) -> Outcomes:
        """What becomes of one comparison, exactly, with both boundaries in force.

        Args:
            poi: true probability of improvement, [0, 1]; ties have none.

        Returns:
            Probabilities that sum to 1, and the expected number of seeds.

        Raises:
            InvalidInputError: if the probability is outside [0, 1].
        """
        if not 0.0 <= poi <= 1.0:
            raise InvalidInputError(f"received a probability of improvement of {poi}; allowed is 0 to 1")
        passed = failed = mean_seeds = 0.0
        undecided, before = 1.0, 0
        for seeds, passing, failing in self._walk(0, 0, 0, poi):
            mean_seeds += undecided * (seeds - before)
            passed, failed, before = passed + passing, failed + failing, seeds
            undecided = max(1.0 - passed - failed, 0.0)
        return Outcomes(passed, failed, undecided, mean_seeds)

    def decide(self, differences: Sequence[float], *, resolution: float) -> SignDecision:
        """Walks through the looks that the differences fill, up to the first that decides. Implements: STAT-002.

        A difference smaller than the resolution is a tie, and so is zero. A tie is no win for PASS and a win for FAIL,
        so that it can only keep a comparison open.

        Args:
            differences: left minus right by seed, in the order of the seeds and in the metric's unit; those beyond the
                last look are ignored.
            resolution: smallest difference that means anything, at least 0, in the same unit.

        Returns:
            The decision. INVALID if a difference that the looks have called for is not finite: those up to the look
            that decides, and all that are there if none does.

        Raises:
            InvalidInputError: if the resolution is negative or not finite.

        Example:
            >>> rule = SignRule(looks=(8, 16, 32, 64), alpha=0.05, beta=0.01, comparisons=1)
            >>> rule.decide([0.3] * 8, resolution=0.1).reason
            '8 wins in 8 seeds; 8 suffice for PASS'
        """
        if not (math.isfinite(resolution) and resolution >= 0.0):
            raise InvalidInputError(f"received resolution {resolution}; allowed is a finite number from 0 on")
        for look, seeds in enumerate(self.looks):
            if seeds > len(differences):
                break
            decided = self._at_look(look, differences[:seeds], resolution)
            if decided is not None:
                return decided
        return self._undecided(differences[: self.looks[-1]], resolution)

    def further_seeds(self, wins: int, ties: int, seeds: int) -> int | None:
        """Further seeds after which a decision is likely, from what is undecided so far. Implements: STAT-008.

        The probability of improvement is taken to be its posterior mean (wins + 1)/(seeds + 2), and ties to go on at
        their rate so far; the rest is exact. After the rule's own looks come longer rules, each with one more look at
        twice the seeds and the same rates, to which the seeds so far are taken to be undecided as well.

        Args:
            wins: so far.
            ties: so far.
            seeds: so far, at least wins and ties together.

        Returns:
            The smallest number that leads to a look by which the chance of PASS or FAIL is at least 80 %; ``None`` if
            1024 seeds do not.
        """
        poi = (wins + 1) / (seeds + 2)
        decided = 0.0
        for ahead, passing, failing in self._walk(wins, ties, seeds, poi):
            decided += passing + failing
            if decided >= LIKELY:
                return ahead - seeds
        return None if self._longer is None else self._longer.further_seeds(wins, ties, seeds)

    def _at_look(self, look: int, differences: Sequence[float], resolution: float) -> SignDecision | None:
        """The decision of one look; ``None`` if it leaves the comparison open."""
        seeds = len(differences)
        broken = first_not_finite(differences)
        if broken is not None:
            return _invalid(differences, broken, resolution)
        wins, ties = _count(differences, resolution)
        enough, few = self.pass_at[look], self.fail_at[look]
        if enough is not None and wins >= enough:
            reason = f"{wins} wins in {seeds} seeds; {enough} suffice for PASS"
            return SignDecision(ClaimOutcome.PASS, look, seeds, wins, ties, None, reason)
        if few is not None and wins + ties <= few:
            reason = f"{_wins_or_ties(wins, ties)} in {seeds} seeds; {few} or fewer refute"
            return SignDecision(ClaimOutcome.FAIL, look, seeds, wins, ties, None, reason)
        return None

    def _undecided(self, differences: Sequence[float], resolution: float) -> SignDecision:
        """What is left when no look decides."""
        broken = first_not_finite(differences)
        if broken is not None:
            return _invalid(differences, broken, resolution)
        seeds = len(differences)
        wins, ties = _count(differences, resolution)
        further = self.further_seeds(wins, ties, seeds)
        ahead = next((look for look in self.looks if look > seeds), None)
        where = "that was the last look" if ahead is None else f"the next look is at {ahead}"
        reason = f"{_wins_or_ties(wins, ties)} in {seeds} seeds decide nothing; {where}"
        return SignDecision(ClaimOutcome.INCONCLUSIVE, None, seeds, wins, ties, further, reason)

    def _walk(self, wins: int, ties: int, seeds: int, poi: float) -> Iterator[tuple[int, float, float]]:
        """For each look ahead: its seeds, and the probabilities that it is the first to give PASS, and FAIL."""
        walk = np.zeros(wins + 1)
        walk[wins] = 1.0
        before = seeds
        for ahead, enough, few in zip(self.looks, self.pass_at, self.fail_at, strict=True):
            if ahead <= seeds:
                continue
            walk = advance(walk, ahead - before, poi)
            expected_ties = -(-ties * ahead // seeds) if ties else 0
            least_pass = len(walk) if enough is None else enough
            least_open = 0 if few is None else max(few - expected_ties + 1, 0)
            yield ahead, float(walk[least_pass:].sum()), float(walk[:least_open].sum())
            walk[least_pass:] = 0.0
            walk[:least_open] = 0.0
            before = ahead

    @cached_property
    def _share_of_looks(self) -> tuple[float, ...]:
        """k/K."""
        return tuple((look + 1) / len(self.looks) for look in range(len(self.looks)))

    @cached_property
    def _pass_boundaries(self) -> tuple[int, ...]:
        """As ``pass_at``, but one more than the seeds where a look cannot pass. Implements: STAT-022."""
        return smallest_crossings(
            self.looks, NO_DIFFERENCE, [self.alpha * spent ** (1 / 3) for spent in self._share_of_looks]
        )

    @cached_property
    def _longer(self) -> "SignRule | None":
        """The rule with one more look; ``None`` if that would be too many seeds."""
        doubled = 2 * self.looks[-1]
        return replace(self, looks=(*self.looks, doubled)) if doubled <= MOST_SEEDS else None


def _count(differences: Sequence[float], resolution: float) -> tuple[int, int]:
    """Wins and ties."""
    ties = sum(abs(one) < resolution or one == 0.0 for one in differences)
    wins = sum(one > 0.0 and one >= resolution for one in differences)
    return wins, ties


def _wins_or_ties(wins: int, ties: int) -> str:
    """The counts in words."""
    return f"{wins} wins and {ties} ties" if ties else f"{wins} wins"


def _invalid(differences: Sequence[float], broken: int, resolution: float) -> SignDecision:
    """The outcome on differences one of which is not finite. Implements: STAT-026."""
    wins, ties = _count(differences[:broken], resolution)
    return SignDecision(ClaimOutcome.INVALID, None, broken, wins, ties, None, not_finite(differences, broken))
