"""Streams: the same by name, different by any part of it, indifferent to everything else."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.simulation.world.world import random_stream

KNOWN = [0.8925754129495598, 0.5466896627481777, 0.012300160249116732, 0.6529564757218789]
"""What ``numbers(0, 3, "rollouts")`` gave when the streams were defined."""


def numbers(seed: int, *path: int | str) -> list[float]:
    return torch.rand(4, generator=random_stream(seed, *path), dtype=torch.float64).tolist()


def test_known_numbers() -> None:
    """The mapping from names to numbers is fixed: a stored run can be continued by a later version."""
    assert numbers(0, 3, "rollouts") == pytest.approx(KNOWN, abs=1e-15)


def test_other_draws_change_nothing() -> None:
    """Neither the global generator nor another stream touches a stream."""
    before, state = numbers(1, 2, "rollouts"), torch.get_rng_state()
    torch.rand(3)
    numbers(1, 2, "judgements")
    assert numbers(1, 2, "rollouts") == before
    torch.set_rng_state(state)
    numbers(1, 2, "rollouts")
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "path",
    [
        (1, 3, "a"),
        (2, 2, "a"),
        (1, 2, "b"),
        (1, 2),
        (1, "2", "a"),
        (1, 2, "a", "a"),
        (12, "a"),
        (-1, 2, "a"),
        (2**32 + 1, 2, "a"),
    ],
)
def test_every_part_of_the_name_counts(path: tuple[int, ...]) -> None:
    """Another seed, step, purpose, depth or kind is another stream."""
    assert numbers(*path) != numbers(1, 2, "a")


def test_streams_are_uncorrelated() -> None:
    """Neighbouring steps and purposes share nothing: 400 streams, every pair, at most chance correlation."""
    drawn = torch.stack(
        [
            torch.randn(500, generator=random_stream(0, step, purpose), dtype=torch.float64)
            for step in range(200)
            for purpose in ("rollouts", "judgements")
        ]
    )
    correlation = torch.corrcoef(drawn) - torch.eye(400)
    assert float(correlation.abs().max()) < 6 / 500**0.5
    assert abs(float(correlation.square().sum() / (400 * 399)) * 500 - 1) < 0.05


@given(seed=st.integers(-(2**70), 2**70), name=st.text())
def test_any_seed_and_any_name_work(seed: int, name: str) -> None:
    """No integer is too large and no purpose too odd."""
    assert numbers(seed, name) == numbers(seed, name)
