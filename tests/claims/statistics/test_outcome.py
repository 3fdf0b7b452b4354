"""A claim's outcome from those of its comparisons."""

from itertools import permutations, product

import pytest

from sdpo_ref.claims.statistics.outcome import ClaimOutcome, all_of
from sdpo_ref.errors import InvalidInputError

WORST_FIRST = (ClaimOutcome.INVALID, ClaimOutcome.FAIL, ClaimOutcome.INCONCLUSIVE, ClaimOutcome.PASS)


def test_a_claim_passes_if_all_pass_and_fails_if_one_fails() -> None:
    """Of every three outcomes the worst is the claim's, in whatever order they come."""
    for outcomes in product(WORST_FIRST, repeat=3):
        worst = WORST_FIRST[min(WORST_FIRST.index(one) for one in outcomes)]
        assert {all_of(order) for order in permutations(outcomes)} == {worst}


def test_a_claim_about_nothing_is_refused() -> None:
    """No comparison is not a PASS."""
    with pytest.raises(InvalidInputError, match="at least one comparison"):
        all_of([])


def test_outcomes_read_as_they_are_called() -> None:
    """They are written into reports by name."""
    assert [str(one) for one in ClaimOutcome] == ["PASS", "FAIL", "INCONCLUSIVE", "INVALID"]
