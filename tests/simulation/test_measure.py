"""Measurements are of the policy, however they are computed."""

import math

import pytest
import torch

from sdpo_ref.errors import DivergedError
from sdpo_ref.simulation.measure import Gauge
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.run import every_prompt
from sdpo_ref.simulation.settings import WorldSettings
from sdpo_ref.simulation.world import World, random_stream
from sdpo_ref.simulation.world.diversity import completion_entropy, distinctness, policy_kl
from sdpo_ref.simulation.world.exact import expected_score

SETTINGS = WorldSettings(prompts=5, time=3, vocab=4, aspects=2, embedding=4)


def moved_policy(world: World) -> FirstOrderPolicy:
    """A policy that is neither the base nor the best."""
    noise = torch.randn(world.base_logits.shape, generator=random_stream(2, "moved"), dtype=torch.float64)
    return FirstOrderPolicy(world.base_logits + noise, world.grammar)


@pytest.mark.parametrize("cells", [1, 2 * 3 * 4 * 4, 10**9])
def test_prompts_may_be_measured_in_portions(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    """One prompt at a time, two at a time or all at once: the same numbers."""
    world = World.draw(SETTINGS, seed=2)
    expected = vars(Gauge(world).measure(moved_policy(world), step=7))
    monkeypatch.setattr("sdpo_ref.simulation.measure._CELLS_AT_ONCE", cells)
    found = vars(Gauge(world).measure(moved_policy(world), step=7))
    assert found == pytest.approx(expected, rel=1e-13)


def test_every_number_is_that_of_the_world() -> None:
    """Computed from visits here, and by a recursion of its own for each number there."""
    world = World.draw(SETTINGS, seed=2)
    policy = moved_policy(world)
    table, base = (one.transition_log_probs().detach() for one in (policy, FirstOrderPolicy.base(world)))
    found = Gauge(world).measure(policy, step=7)
    assert found.score == pytest.approx(float(expected_score(table, world.step_scores()).mean()), rel=1e-12)
    assert found.entropy == pytest.approx(float(completion_entropy(table).mean()), rel=1e-12)
    assert found.distinctness == pytest.approx(float(distinctness(table).mean()), rel=1e-12)
    assert found.kl_to_base == pytest.approx(float(policy_kl(table, base).mean()), rel=1e-12)
    assert Gauge(world).measure(FirstOrderPolicy.base(world), step=0).kl_to_base == 0.0


def test_a_policy_that_rules_out_tokens_is_measured() -> None:
    """Zero probabilities give numbers, and an infinite divergence only where the base rules out what is taken."""
    world = World.draw(SETTINGS, seed=2)
    logits = world.base_logits.clone()
    logits[..., 1] = -torch.inf
    found = Gauge(world).measure(FirstOrderPolicy(logits, world.grammar), step=7)
    assert all(math.isfinite(number) for number in vars(found).values())


def test_a_policy_that_broke_is_named() -> None:
    """It can still be sampled from, so the run reaches the measurement, which says what happened."""
    world = World.draw(SETTINGS, seed=2)
    broken = FirstOrderPolicy(torch.full_like(world.base_logits, torch.nan), world.grammar)
    rollouts = broken.sample(every_prompt(world, 2), num_tokens=3, generator=random_stream(2))
    assert int(rollouts.completions.max()) < SETTINGS.vocab
    with pytest.raises(DivergedError, match="NaN after step 7"):
        Gauge(world).measure(broken, step=7)
