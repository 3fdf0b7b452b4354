"""What is compared at a seed: weighted sums, logarithms, frontiers."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.claims.comparison import CellName, Comparison, comparisons, quantity
from sdpo_ref.claims.schema import Part
from tests.claims.fakes import tiny_claim, tiny_part


def part(**changes: object) -> Part:
    """The tiny part with changes."""
    return tiny_claim(parts=[tiny_part(**changes)]).parts[0]


def of_first(one: Part, found: Mapping[str, Mapping[str, float]]) -> float:
    """The quantity of the first comparison, from metrics by method."""
    comparison = comparisons(one)[0]
    return quantity(one, comparison, {cell: found[str(dict(cell.labels)["method"])] for cell in comparison.cells})


def test_a_quantity_is_the_sum_less_the_offset() -> None:
    """By hand: .9 - .7 - .05."""
    found = {"sdpo": {"final_reward": 0.9}, "rloo": {"final_reward": 0.7}}
    assert of_first(part(offset=0.05), found) == pytest.approx(0.15, abs=1e-15)


def test_a_log_ratio_is_a_difference_of_logarithms() -> None:
    """By hand: log(.4/.5); a value of zero has no logarithm and makes the quantity missing."""
    assert of_first(part(log=True), {"sdpo": {"final_reward": 0.4}, "rloo": {"final_reward": 0.5}}) == pytest.approx(
        math.log(0.8), abs=1e-15
    )
    assert math.isnan(of_first(part(log=True), {"sdpo": {"final_reward": 0.0}, "rloo": {"final_reward": 0.5}}))


@pytest.mark.parametrize("lost", [{}, {"final_reward": math.nan}, {"final_reward": math.inf}])
def test_a_missing_value_makes_the_quantity_missing(lost: dict[str, float]) -> None:
    """Nothing is filled in for a run that ended early."""
    assert math.isnan(of_first(part(), {"sdpo": lost, "rloo": {"final_reward": 0.5}}))


FRONTIER = {
    "experiment": "F05",
    "over": {"distinctness": (0.5,)},
    "terms": [
        {
            "weight": 1.0,
            "cell": {"method": "sdpo"},
            "frontier": {"along": "kl_weight", "diversity": "final_distinctness", "at": "$distinctness"},
        }
    ],
}


def on_frontier(at: float, diversities: list[float], rewards: list[float]) -> float:
    """The frontier of seven runs at a diversity."""
    one = part(**{**FRONTIER, "over": {"distinctness": (at,)}})
    comparison: Comparison = comparisons(one)[0]
    places: list[CellName] = sorted(comparison.cells, key=lambda cell: float(dict(cell.labels)["kl_weight"]))
    pairs = zip(places, diversities, rewards, strict=True)
    found = {cell: {"final_distinctness": spread, "final_reward": reward} for cell, spread, reward in pairs}
    return quantity(one, comparison, found)


def test_a_frontier_is_read_between_neighbours() -> None:
    """By hand: half way between (.4, .8) and (.6, .6) lies (.5, .7); a run with more of both would be taken instead."""
    spreads = [0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95]
    rewards = [0.9, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2]
    assert on_frontier(0.5, spreads, rewards) == pytest.approx(0.7, abs=1e-15)
    assert on_frontier(0.1, spreads, rewards) == 0.9
    assert on_frontier(0.5, spreads, [*rewards[:-1], 0.95]) == 0.95
    assert math.isnan(on_frontier(0.99, spreads, rewards))


@given(
    st.lists(st.floats(0.0, 1.0), min_size=7, max_size=7),
    st.lists(st.floats(-1.0, 1.0), min_size=7, max_size=7),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
)
def test_a_frontier_falls_as_more_diversity_is_asked_for(
    spreads: list[float], rewards: list[float], one: float, other: float
) -> None:
    """What has more diversity also has less, so requiring more never gives more reward."""
    less, more = sorted((one, other))
    low, high = on_frontier(less, spreads, rewards), on_frontier(more, spreads, rewards)
    assert math.isnan(high) or low >= high - 1e-12
