"""Reward at equal distinctness, on frontiers that can be worked out by hand."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.outcome import Outcome
from sdpo_ref.study.report.figures.frontier import height, reward_at_equal_diversity


def frontier(stations: Sequence[tuple[float, float]], seed: int = 0) -> list[Observation]:
    """Distinctness and reward at growing KL weights."""
    return [
        Observation(
            {"kl_weight": float(place)},
            seed,
            Outcome(metrics={"final_distinctness": distinctness, "final_reward": reward}),
        )
        for place, (distinctness, reward) in enumerate(stations)
    ]


def test_a_frontier_is_compared_where_both_have_something() -> None:
    """Theirs has stations at 0.3, 0.5 and 0.95; the own one spans 0.2 to 0.6 and has 0.75 and 0.25 at the first two."""
    own, others = [(0.2, 1.0), (0.6, 0.0)], [(0.3, 0.5), (0.5, 0.15), (0.95, 0.0)]
    found = reward_at_equal_diversity(frontier(own), frontier(others))
    assert found is not None
    assert found.mean == pytest.approx(((0.75 - 0.5) + (0.25 - 0.15)) / 2)


def test_frontiers_that_do_not_overlap_are_not_compared() -> None:
    """Extrapolation would invent a policy."""
    assert reward_at_equal_diversity(frontier([(0.1, 1.0), (0.2, 0.9)]), frontier([(0.5, 0.5)])) is None


def test_seeds_are_paired() -> None:
    """Each seed has its own frontier; a seed of one side alone is left out."""
    own = [*frontier([(0.2, 1.0), (0.6, 1.0)]), *frontier([(0.2, 0.5), (0.6, 0.5)], seed=1)]
    others = [*frontier([(0.4, 0.9)]), *frontier([(0.4, 0.2)], seed=1), *frontier([(0.4, -9.0)], seed=2)]
    found = reward_at_equal_diversity(own, others)
    assert found is not None
    assert (found.count, round(found.mean, 9)) == (2, 0.2)


@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(-1.0, 1.0)), min_size=2, max_size=6))
def test_a_frontier_goes_through_its_own_stations(stations: list[tuple[float, float]]) -> None:
    """And is nowhere above its highest one."""
    for distinctness, reward in stations:
        at = height(stations, distinctness)
        assert at is not None
        assert reward - 1e-9 <= at <= max(high for _, high in stations) + 1e-9
