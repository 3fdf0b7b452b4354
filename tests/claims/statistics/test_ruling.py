"""A claim's ruling from those of its comparisons."""

from itertools import permutations, product

import pytest

from sdpo_ref.claims.statistics.ruling import Ruling, all_of
from sdpo_ref.errors import InvalidInputError

WORST_FIRST = (Ruling.INVALID, Ruling.FAIL, Ruling.INCONCLUSIVE, Ruling.PASS)


def test_a_claim_passes_if_all_pass_and_fails_if_one_fails() -> None:
    """Of every three rulings the worst is the claim's, in whatever order they come."""
    for rulings in product(WORST_FIRST, repeat=3):
        worst = WORST_FIRST[min(WORST_FIRST.index(one) for one in rulings)]
        assert {all_of(order) for order in permutations(rulings)} == {worst}


def test_a_claim_about_nothing_is_refused() -> None:
    """No comparison is not a PASS."""
    with pytest.raises(InvalidInputError, match="at least one comparison"):
        all_of([])


def test_rulings_read_as_they_are_called() -> None:
    """They are written into reports by name."""
    assert [str(one) for one in Ruling] == ["PASS", "FAIL", "INCONCLUSIVE", "INVALID"]
