"""A small world and rollouts in it, for every test of the oracles."""

import pytest

from sdpo_ref.simulation.settings import WorldSettings
from sdpo_ref.simulation.world import World
from sdpo_ref.types import Rollouts
from tests.simulation.oracles.problems import rollouts_in


@pytest.fixture
def world() -> World:
    """A world with coherence, so that nothing is only right without it."""
    return World.draw(WorldSettings(prompts=6, vocab=10, slope=1.3, coherence=0.7), seed=5)


@pytest.fixture
def rollouts(world: World) -> Rollouts:
    """Four dozen rollouts, eight for each prompt."""
    return rollouts_in(world, 48)
