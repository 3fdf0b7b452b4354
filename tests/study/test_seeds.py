"""Seeds of claims and of tuning never meet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.errors import UsageError
from sdpo_ref.study.experiment import claim_seeds, tuning_seeds

COUNTS = st.integers(1, 5000)


@given(COUNTS, COUNTS)
def test_no_claim_uses_a_seed_of_tuning(claims: int, tuning: int) -> None:
    """Whatever their numbers, the two have no seed in common, and each has the wanted number."""
    ours, others = claim_seeds(claims), tuning_seeds(tuning)
    assert (len(set(ours)), len(set(others))) == (claims, tuning)
    assert not set(ours) & set(others)


def test_the_longest_claim_ends_where_tuning_begins() -> None:
    """The limit is where the two would meet."""
    assert claim_seeds(1_000_000)[-1] + 1 == tuning_seeds(1)[0]


@pytest.mark.parametrize("count", [0, -1, 1_000_001])
def test_other_numbers_of_seeds_are_refused(count: int) -> None:
    """None, and so many that they would meet, are refused by name."""
    with pytest.raises(UsageError, match=f"received {count} seeds; allowed are 1 to 1000000"):
        claim_seeds(count)
    with pytest.raises(UsageError, match=f"received {count} seeds"):
        tuning_seeds(count)
