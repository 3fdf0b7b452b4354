"""How many further seeds the sign rule asks for."""

from itertools import product

import pytest

from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.claims.statistics.sign_rule import LIKELY, SignRule

RULE = SignRule((8, 16, 32, 64), alpha=0.05, beta=0.01, comparisons=4)
SMALL = SignRule((3, 6, 12), alpha=0.2, beta=0.3, comparisons=1)


@pytest.mark.parametrize("seeds", [0, 1, 3, 4, 6])
def test_a_decision_is_as_likely_as_all_continuations_say(seeds: int) -> None:
    """Every continuation, weighted by the posterior mean: the named look is the first by which 80 % are decided."""
    for wins in range(seeds + 1):
        so_far = [1.0] * wins + [-1.0] * (seeds - wins)
        decision = SMALL.decide(so_far, resolution=0.0)
        if decision.outcome is not ClaimOutcome.INCONCLUSIVE:
            continue
        poi = (wins + 1) / (seeds + 2)
        chances = {}
        for look in (one for one in SMALL.looks if one > seeds):
            decided = 0.0
            for rest in product([1.0, -1.0], repeat=look - seeds):
                if SMALL.decide([*so_far, *rest], resolution=0.0).outcome is not ClaimOutcome.INCONCLUSIVE:
                    decided += poi ** rest.count(1.0) * (1 - poi) ** rest.count(-1.0)
            chances[look - seeds] = decided
        first = next((further for further, chance in chances.items() if chance >= LIKELY), None)
        if first is None:
            assert decision.further_seeds is None or decision.further_seeds > SMALL.looks[-1] - seeds
        else:
            assert decision.further_seeds == first


def test_after_the_last_look_come_longer_rules() -> None:
    """40 wins of 64 are open with 12 comparisons; 128 seeds decide, by a rule that has a look there."""
    rule = SignRule((8, 16, 32, 64), alpha=0.05, beta=0.01, comparisons=12)
    assert rule.decide(([1.0] * 5 + [-1.0] * 3) * 8, resolution=0.0).further_seeds == 64


def test_the_clearer_the_lead_the_sooner_the_look() -> None:
    """15 wins of 19 probably pass at the next look, at 32; 6 of 8 may need all 64."""
    assert RULE.further_seeds(wins=15, ties=0, seeds=19) == 13
    assert RULE.further_seeds(wins=6, ties=0, seeds=8) == 56


def test_ties_that_go_on_are_never_decided() -> None:
    """Half of all seeds tie, the other half win: neither PASS nor FAIL comes into reach with 1024 seeds."""
    assert RULE.decide([0.0, 1.0] * 4, resolution=0.1).further_seeds is None
    assert RULE.decide([0.0] * 64, resolution=0.1).further_seeds is None
    assert RULE.decide([0.0, 1.0, 1.0, 1.0] * 2, resolution=0.1).further_seeds is not None


def test_what_is_decided_needs_no_more() -> None:
    """PASS and FAIL name no further seeds."""
    assert RULE.decide([1.0] * 8, resolution=0.1).further_seeds is None
    assert RULE.decide([-1.0] * 8, resolution=0.1).further_seeds is None
