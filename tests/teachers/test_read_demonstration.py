"""SDFT's teacher in the simulation: it sees which completion was best, and not how good."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.reader import Knowledge, Reader
from sdpo_ref.simulation.run import every_prompt
from sdpo_ref.simulation.settings import ReaderSettings, RegimeSettings, WorldSettings
from sdpo_ref.simulation.teachers.read_demonstration import ReadDemonstration, expected_maximum
from sdpo_ref.simulation.world import World, random_stream
from sdpo_ref.simulation.world.corpus import annotate
from sdpo_ref.types import Judgement, Rollouts

SIZES = WorldSettings(prompts=2, time=4, vocab=8, aspects=2, embedding=3)


def shown() -> tuple[World, FirstOrderPolicy, ReadDemonstration, Rollouts]:
    """A world, its base policy, the conditioning, and five completions for each prompt."""
    world = World.draw(SIZES, seed=1)
    settings = ReaderSettings(feedback=RegimeSettings(regime="scalar", noise=0.25))
    knowledge = Knowledge.learn(annotate(world, seed=1), world.embeddings, basis="embedding", noise=1.0)
    policy = FirstOrderPolicy.base(world)
    rollouts = policy.sample(every_prompt(world, 5), num_tokens=4, generator=random_stream(1, "rollouts"))
    return world, policy, ReadDemonstration(Reader.from_settings(knowledge, settings)), rollouts


def judgement(*rewards: float) -> Judgement:
    """Rewards without a word."""
    return Judgement(torch.tensor(rewards, dtype=torch.float64), (None,) * len(rewards))


def test_only_the_choice_of_the_best_counts() -> None:
    """Rewards with the same best completions give the same teacher, to the last bit."""
    _, policy, conditioning, rollouts = shown()
    near = conditioning.view(policy, rollouts, judgement(0.1, 0.2, 0.3, 0.4, 0.5, 0.9, 0.1, 0.2, 0.3, 0.4))
    far = conditioning.view(policy, rollouts, judgement(0.0, 0.0, 0.0, 0.0, 1.0, 0.5, 0.4, 0.4, 0.4, 0.4))
    other = conditioning.view(policy, rollouts, judgement(0.9, 0.2, 0.3, 0.4, 0.5, 0.9, 0.1, 0.2, 0.3, 0.4))
    assert torch.equal(near.logits, far.logits)
    assert not torch.equal(near.logits, other.logits)


def test_a_group_of_equal_rewards_has_no_demonstration() -> None:
    """Its rows are not usable and its logits are the policy's; the other group is read."""
    _, policy, conditioning, rollouts = shown()
    view = conditioning.view(policy, rollouts, judgement(*[0.5] * 5, 0.9, 0.1, 0.2, 0.3, 0.4))
    assert view.self_distillation_mask.tolist() == [False] * 5 + [True] * 5
    own = policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
    assert torch.equal(view.logits[:5], own[:5].detach())
    assert not torch.equal(view.logits[5:], own[5:].detach())


def test_what_was_shown_becomes_more_likely() -> None:
    """The demonstration gains probability, and more than any sibling."""
    _, policy, conditioning, rollouts = shown()
    view = conditioning.view(policy, rollouts, judgement(0.1, 0.9, 0.1, 0.1, 0.1, 0.9, 0.1, 0.2, 0.3, 0.4))
    own = policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask).detach()
    gained = (view.logits.log_softmax(-1) - own.log_softmax(-1)).gather(-1, rollouts.completions[..., None]).sum((1, 2))
    assert int(gained[:5].argmax()) == 1
    assert float(gained[1]) > 0
    assert int(gained[5:].argmax()) == 0


@pytest.mark.parametrize(("count", "expected"), [(1, 0.0), (2, 0.5641895835), (3, 0.8462843753), (8, 1.4236003060)])
def test_the_expected_maximum_is_that_of_the_tables(count: int, expected: float) -> None:
    """Known values: 0, 1/sqrt(pi), 3/(2 sqrt(pi)), and the one for eight that tables of order statistics give."""
    assert expected_maximum(count) == pytest.approx(expected, abs=1e-8)


@given(st.integers(1, 60))
def test_the_expected_maximum_grows(count: int) -> None:
    """More draws, a higher best."""
    assert expected_maximum(count) < expected_maximum(count + 1)
