"""Observations by label, and their numbers by seed."""

import math

import pytest

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import by_seed, names_along, numbers_along, select
from sdpo_ref.study.outcome import Outcome


def seen(seed: int, reward: float = 0.5, error: str | None = None, **labels: str | float) -> Observation:
    """One finished task."""
    return Observation(labels, seed, Outcome(metrics={"final_reward": reward}, error=error))


def test_selection_takes_what_has_all_labels() -> None:
    """One that lacks the axis is not taken for one with any value of it."""
    both = [seen(0, method="sdpo", noise=0.5), seen(0, method="sdpo"), seen(0, method="rloo", noise=0.5)]
    assert select(both, method="sdpo", noise=0.5) == both[:1]


def test_an_axis_is_read_in_order() -> None:
    """Names as they come, numbers ascending; each once."""
    several = [seen(0, method=name, size=size) for name, size in (("b", 8.0), ("a", 2.0), ("b", 4.0), ("a", 8.0))]
    assert names_along(several, "method") == ["b", "a"]
    assert numbers_along(several, "size") == [2.0, 4.0, 8.0]
    assert numbers_along(several, "method") == []


def test_what_is_no_number_is_left_out() -> None:
    """A run that ended early, a metric that is not there, and one that is not finite."""
    cell = [seen(0), seen(1, error="diverged"), seen(2, math.nan), seen(3, math.inf), seen(4, -1.0)]
    assert by_seed(cell, "final_reward") == {0: 0.5, 4: -1.0}
    assert by_seed(cell, "credit") == {}


def test_two_cells_are_not_mixed_up() -> None:
    """A forgotten label would otherwise overwrite one cell with another."""
    with pytest.raises(InvalidInputError, match=r"seed 0.*one cell at a time"):
        by_seed([seen(0, method="sdpo"), seen(0, method="rloo")], "final_reward")
