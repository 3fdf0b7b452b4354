"""How far along a grid a claim is verified."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.claims.statistics.outcome import ClaimOutcome, grid_reading, verified_prefix
from sdpo_ref.errors import InvalidInputError

LEVELS = [0.0, 0.1, 0.3, 0.5]
PASS, FAIL, OPEN = ClaimOutcome.PASS, ClaimOutcome.FAIL, ClaimOutcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("outcomes", "verified", "reading"),
    [
        ([PASS] * 4, 4, "verified to 0.5"),
        ([PASS, PASS, PASS, OPEN], 3, "verified to 0.3; 0.5 INCONCLUSIVE"),
        ([PASS, OPEN, PASS, FAIL], 1, "verified to 0; 0.1 INCONCLUSIVE, 0.3 PASS, 0.5 FAIL"),
        ([FAIL] * 4, 0, "not verified; 0 FAIL, 0.1 FAIL, 0.3 FAIL, 0.5 FAIL"),
    ],
)
def test_a_grid_is_verified_up_to_the_first_level_that_does_not_pass(
    outcomes: list[ClaimOutcome], verified: int, reading: str
) -> None:
    """What comes after is named, and verifies nothing."""
    assert verified_prefix(outcomes) == verified
    assert grid_reading(LEVELS, outcomes) == reading


@given(st.lists(st.sampled_from(ClaimOutcome), max_size=8))
def test_the_prefix_is_the_longest_that_passes(outcomes: list[ClaimOutcome]) -> None:
    """All before it pass and the next one does not."""
    verified = verified_prefix(outcomes)
    assert all(one is PASS for one in outcomes[:verified])
    assert verified == len(outcomes) or outcomes[verified] is not PASS


@pytest.mark.parametrize(
    ("levels", "outcomes"), [([], []), ([0.1], []), ([0.2, 0.1], [PASS, PASS]), ([0.1, 0.1], [PASS, PASS])]
)
def test_a_grid_that_is_none_is_refused(levels: list[float], outcomes: list[ClaimOutcome]) -> None:
    """Levels increase, and each has one outcome."""
    with pytest.raises(InvalidInputError, match="received"):
        grid_reading(levels, outcomes)
