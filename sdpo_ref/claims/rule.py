"""From how a part is decided to the rule that decides its comparisons."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

from sdpo_ref.claims.profile import Design
from sdpo_ref.claims.schema import Collapse, Direction, Equivalence, Grid, Lane, Magnitude, Reproduction
from sdpo_ref.claims.statistics.bands import BandDecision
from sdpo_ref.claims.statistics.collapse import CollapseRule
from sdpo_ref.claims.statistics.equivalence import EquivalenceRule
from sdpo_ref.claims.statistics.magnitude import MagnitudeRule
from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.claims.statistics.sign_rule import SignRule
from sdpo_ref.errors import InvalidInputError


@dataclass(frozen=True)
class Decision:
    """What the seeds so far decide about one comparison.

    Attributes:
        outcome: what.
        seeds: how many were used.
        wins: on how many of them the quantity was positive; ``None`` where that is not what decides.
        further_seeds: how many more would likely settle it; ``None`` where it is settled, or never likely.
        reason: in words.
    """

    outcome: ClaimOutcome
    seeds: int
    wins: int | None
    further_seeds: int | None
    reason: str


@dataclass(frozen=True)
class Rule:
    """Decides one comparison.

    Attributes:
        decide: from its quantities in the order of seeds.
        false_pass: chance of PASS at the rule's boundary.
        false_fail: chance of FAIL where the comparison holds.
    """

    decide: Callable[[Sequence[float]], Decision]
    false_pass: float
    false_fail: float


def rule_of(lane: Lane, design: Design, *, comparisons: int) -> Rule:
    """The rule of a part.

    Args:
        lane: of a part.
        design: looks and error rates.
        comparisons: of the claim, which share the chance of a false FAIL.
    """
    alpha, beta, share = design.alpha, design.beta, design.beta / comparisons
    match lane:
        case Direction() | Grid():
            signs = sign_rule_of(lane, design, comparisons=comparisons)
            resolution = lane.resolution

            def decide(values: Sequence[float]) -> Decision:
                found = signs.decide(values, resolution=resolution)
                return Decision(found.outcome, found.seeds, found.wins, found.further_seeds, found.reason)

            return Rule(decide, signs.false_pass, signs.false_fail)
        case Magnitude():
            if design.looks[-1] < _LEAST_SEEDS:
                return Rule(_too_few, 0.0, 0.0)
            bands = MagnitudeRule(design.looks, alpha, beta, lane.claimed, lane.tolerated, comparisons=comparisons)
            return Rule(_of_band(bands.decide), alpha, share)
        case Equivalence() | Reproduction():
            margins = EquivalenceRule(
                design.looks, alpha, beta, lane.margin, comparisons=comparisons, least_seeds=min(8, design.looks[-1])
            )
            return Rule(_of_band(margins.decide), alpha, share)
        case Collapse():
            try:
                rates = CollapseRule(design.looks, alpha, beta, lane.most, lane.usual, comparisons)
            except InvalidInputError:  # no look of this design could show so low a rate
                return Rule(_too_few, 0.0, 0.0)

            def judge(values: Sequence[float]) -> Decision:
                missing = next((place for place, value in enumerate(values) if not math.isfinite(value)), None)
                if missing is not None:
                    return Decision(
                        ClaimOutcome.INVALID, len(values), None, None, f"the value of repeat {missing} is missing"
                    )
                decided = rates.decide([value > 0 for value in values])
                return Decision(decided.outcome, decided.seeds, None, decided.further_seeds, decided.reason)

            return Rule(judge, alpha, share)
        case _:
            assert_never(lane)


def sign_rule_of(lane: Direction | Grid, design: Design, *, comparisons: int) -> SignRule:
    """The sign rule of a direction, or of each level of a grid; as :func:`rule_of`."""
    return SignRule(design.looks, design.alpha, design.beta, comparisons, lane.least)


_LEAST_SEEDS = 16
"""Below which no mean is decided."""


def _of_band(decide: Callable[[Sequence[float]], BandDecision]) -> Callable[[Sequence[float]], Decision]:
    def decided(values: Sequence[float]) -> Decision:
        found = decide(values)
        return Decision(found.outcome, found.seeds, None, found.further_seeds, found.reason)

    return decided


def _too_few(values: Sequence[float]) -> Decision:
    return Decision(
        ClaimOutcome.INCONCLUSIVE,
        len(values),
        None,
        None,
        "this profile has too few seeds for it; take --profile standard",
    )
