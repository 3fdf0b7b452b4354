"""Tiny worlds, a policy in each, and all that can happen in them."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.world.world import World
from tests.simulation.world.brute_force import WORLDS, Enumeration, enumerated


@dataclass(frozen=True)
class Tiny:
    """A world small enough to enumerate."""

    world: World
    policy: FirstOrderPolicy
    truth: list[Enumeration]

    @property
    def log_probs(self) -> Tensor:
        """The policy as a table."""
        return self.policy.transition_log_probs().detach()


@pytest.fixture(params=WORLDS)
def tiny(request: pytest.FixtureRequest) -> Tiny:
    """Each of the tiny worlds, with its base policy."""
    world = World.draw(WORLDS[request.param], seed=11)
    policy = FirstOrderPolicy.base(world)
    return Tiny(world, policy, [enumerated(world, policy, prompt) for prompt in range(world.settings.prompts)])


@pytest.fixture
def other(tiny: Tiny) -> FirstOrderPolicy:
    """A second policy in the same world, with another table and another grammar."""
    unlike = World.draw(tiny.world.settings, seed=12)
    return FirstOrderPolicy(unlike.base_logits, torch.flip(unlike.grammar, (0,)))
