"""Where the author of a part is sent: a line of theirs or what they defined, never a line of this package."""

import inspect
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from sdpo_ref.protocols import Trainer
from sdpo_ref.simulation.third_party import made_by_implementation
from sdpo_ref.study.workers import place


class NoPolicy:
    """A trainer without `policy`."""

    def step(self, rollouts: object, judgement: object) -> None:
        """Do nothing."""


def raising(learning_rate: float) -> None:
    """A trainer that raises."""
    raise ValueError(learning_rate)


narrow = SimpleNamespace(trainer=lambda policy: policy)
without_policy = SimpleNamespace(trainer=lambda **_: NoPolicy())
raises = SimpleNamespace(trainer=raising)


def line_of(function: Callable[..., object]) -> int:
    """Where something is defined here."""
    return inspect.getsourcelines(function)[1]


@pytest.mark.parametrize(
    ("name", "line", "shows"),
    [
        ("narrow", line_of(narrow.trainer), "<lambda>"),
        ("without_policy", line_of(NoPolicy), "NoPolicy"),
        ("raises", line_of(raising) + 2, "raise ValueError"),
    ],
)
def test_the_authors_place(name: str, line: int, shows: str) -> None:
    """For a signature that does not fit, an object without a method, and an exception."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of three kinds
        made_by_implementation(f"{__name__}:{name}", "trainer", Trainer, learning_rate=0.1)  # type: ignore[type-abstract]
    found = place(caught.value)
    assert f"test_place.py:{line}" in found, found
    assert shows in found
