"""How far along a grid a claim is verified."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.claims.statistics.grid import grid_reading, verified_prefix
from sdpo_ref.claims.statistics.ruling import Ruling
from sdpo_ref.errors import InvalidInputError

LEVELS = [0.0, 0.1, 0.3, 0.5]
PASS, FAIL, OPEN = Ruling.PASS, Ruling.FAIL, Ruling.INCONCLUSIVE


@pytest.mark.parametrize(
    ("rulings", "verified", "reading"),
    [
        ([PASS] * 4, 4, "verified to 0.5"),
        ([PASS, PASS, PASS, OPEN], 3, "verified to 0.3; 0.5 INCONCLUSIVE"),
        ([PASS, OPEN, PASS, FAIL], 1, "verified to 0; 0.1 INCONCLUSIVE, 0.3 PASS, 0.5 FAIL"),
        ([FAIL] * 4, 0, "not verified; 0 FAIL, 0.1 FAIL, 0.3 FAIL, 0.5 FAIL"),
    ],
)
def test_a_grid_is_verified_up_to_the_first_level_that_does_not_pass(
    rulings: list[Ruling], verified: int, reading: str
) -> None:
    """What comes after is named, and verifies nothing."""
    assert verified_prefix(rulings) == verified
    assert grid_reading(LEVELS, rulings) == reading


@given(st.lists(st.sampled_from(Ruling), max_size=8))
def test_the_prefix_is_the_longest_that_passes(rulings: list[Ruling]) -> None:
    """All before it pass and the next one does not."""
    verified = verified_prefix(rulings)
    assert all(one is PASS for one in rulings[:verified])
    assert verified == len(rulings) or rulings[verified] is not PASS


@pytest.mark.parametrize(
    ("levels", "rulings"), [([], []), ([0.1], []), ([0.2, 0.1], [PASS, PASS]), ([0.1, 0.1], [PASS, PASS])]
)
def test_a_grid_that_is_none_is_refused(levels: list[float], rulings: list[Ruling]) -> None:
    """Levels increase, and each has one ruling."""
    with pytest.raises(InvalidInputError, match="received"):
        grid_reading(levels, rulings)
