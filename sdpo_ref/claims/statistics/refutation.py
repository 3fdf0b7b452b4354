"""What a refuted direction is instead: the other way round, there but seldom, or level."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sdpo_ref.claims.statistics.interval import Sample, around
from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.claims.statistics.sign_rule import SignRule
from sdpo_ref.study.summary import student_half_width

RESOLUTIONS_OF_LEVEL = 10
"""So many resolutions from zero a mean is level: .01 where one is .001, as far as a stored level may be off."""


class Kind(StrEnum):
    """What a refuted direction is instead."""

    REVERSED = "REVERSED"
    """The opposite passes the rule that refuted the claim."""

    SMALLER = "SMALLER"
    """Its mean is above zero, but it is positive at too few seeds."""

    LEVEL = "LEVEL"
    """Neither of these, and its mean is within the margin of zero."""


@dataclass(frozen=True)
class Refutation:
    """What stored values show about a refuted direction.

    Attributes:
        kind: what it is instead; ``None`` where none of the kinds is shown.
        seeds: how many values.
        wins: on how many of them the quantity was positive by at least the resolution.
        mean: of all of them, in the quantity's unit.
        low: lower end of the two-sided 1 - 2 alpha interval by Student's t, which SMALLER and LEVEL are decided with.
        high: upper end.
    """

    kind: Kind | None
    seeds: int
    wins: int
    mean: float
    low: float
    high: float


def refutation(values: Sequence[float], rule: SignRule, *, resolution: float) -> Refutation | None:
    """What a refuted direction is instead, from all values that are there.

    Its sign first, because that is what was claimed, then its size. Each kind is wrong with at most ``rule.alpha``:
    REVERSED where the quantity is positive at half of the seeds or more, SMALLER where its mean is zero or less, LEVEL
    where its mean is ten resolutions or more from zero.
    Implements: STAT-030, STAT-031, STAT-032, STAT-033.

    Args:
        values: of the quantity by seed, in the order of the seeds and in its unit.
        rule: that refuted it.
        resolution: smallest value that means anything, in the same unit.

    Returns:
        The kind with its evidence; ``None`` if there are fewer than two values or one is not finite.

    Example:
        >>> rule = SignRule(looks=(8, 16), alpha=0.05, beta=0.01, comparisons=1)
        >>> behind, seldom = [-0.3] * 8, [0.02, -0.01] * 8 + [0.1] * 2
        >>> [refutation(values, rule, resolution=0.001).kind.value for values in (behind, seldom)]
        ['REVERSED', 'SMALLER']
    """
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    sample = Sample.from_values(values)
    low, high = around(sample.mean, student_half_width(sample.spread, sample.count, 1.0 - 2.0 * rule.alpha))
    margin = RESOLUTIONS_OF_LEVEL * resolution
    kind = None
    if rule.decide([-value for value in values], resolution=resolution).outcome is ClaimOutcome.PASS:
        kind = Kind.REVERSED
    elif low > 0.0:
        kind = Kind.SMALLER
    elif -margin <= low and high <= margin:
        kind = Kind.LEVEL
    wins = sum(value > 0.0 and value >= resolution for value in values)
    return Refutation(kind, sample.count, wins, sample.mean, low, high)
