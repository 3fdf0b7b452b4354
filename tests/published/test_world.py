"""The published world: what completions are worth, what is drawn, and what the teacher is told."""

import math

import pytest
import torch

from sdpo_ref.published.settings import Constants, Control, PublishedSettings
from sdpo_ref.published.world import World, at_tokens, told_quality

SEEDS = range(400)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_a_reward_by_hand() -> None:
    """Tokens, the one pair in its order, and the one token of the pattern, shared out over two positions (PUB-002)."""
    world = World(
        quality=torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]], dtype=torch.float64) / 16,
        neighbours=torch.arange(9, dtype=torch.float64).reshape(3, 3) / 8,
        pattern=torch.tensor([2, 0]),
        pattern_weight=torch.tensor(0.5, dtype=torch.float64),
    )
    found = world.reward(torch.tensor([[0, 1], [2, 1]]))
    assert found.tolist() == pytest.approx(
        [_sigmoid((1 / 16 + 1 + 1 / 8) / 2), _sigmoid((4 / 16 + 1 + 7 / 8 + 0.5) / 2)]
    )


def test_the_smallest_world() -> None:
    """One position has no neighbours."""
    world = World(
        quality=torch.tensor([[0.5, -0.5]], dtype=torch.float64),
        neighbours=torch.full((2, 2), 100.0, dtype=torch.float64),
        pattern=torch.tensor([0]),
        pattern_weight=torch.tensor(1.0, dtype=torch.float64),
    )
    assert world.reward(torch.tensor([[0], [1]])).tolist() == pytest.approx([_sigmoid(1.5), _sigmoid(-0.5)])


def test_what_is_drawn() -> None:
    """Mean and variance over many seeds, within five standard errors, and the best token of a position (PUB-030)."""
    settings = PublishedSettings(constants=Constants(neighbour_spread=0.6, pattern_weight=0.5))
    worlds = [World.draw(settings, seed=seed) for seed in SEEDS]
    quality = torch.stack([world.quality for world in worlds])
    neighbours = torch.stack([world.neighbours for world in worlds])
    assert quality.shape[1:] == (6, 8)
    assert neighbours.shape[1:] == (8, 8)
    for drawn, spread in ((quality, 1.0), (neighbours, 0.6)):
        error = 5 / drawn.numel() ** 0.5
        assert abs(drawn.mean()) < error * spread
        assert abs(drawn.square().mean() / spread**2 - 1) < error * 2**0.5
    both = torch.stack((quality.flatten(1)[:, :48], neighbours.flatten(1)[:, :48])).flatten(1)
    assert abs(torch.corrcoef(both)[0, 1]) < 5 / both.shape[1] ** 0.5
    best = quality.max(-1).values
    for row, world in enumerate(worlds):
        assert torch.equal(world.quality.gather(-1, world.pattern[:, None])[:, 0], best[row])
        assert world.pattern_weight == 0.5


def test_a_world_depends_on_its_seed_and_size_alone() -> None:
    """Methods, kinds of feedback and controls are compared in one world (PUB-031)."""
    plain = World.draw(PublishedSettings(), seed=3)
    other = PublishedSettings(
        feedback="critique", bias="length", noise=1.0, control=Control(told=0.5), rollouts=7, steps=77
    )
    assert torch.equal(World.draw(other, seed=3).quality, plain.quality)
    assert torch.equal(World.draw(other, seed=3).neighbours, plain.neighbours)
    assert not torch.equal(World.draw(other, seed=4).quality, plain.quality)


@pytest.mark.parametrize("told", [0.0, 0.25, 0.7, 1.0])
def test_what_is_told_correlates_as_the_control_says(told: float) -> None:
    """Over many seeds within five standard errors, with the variance of the truth (PUB-042)."""
    settings = PublishedSettings(control=Control(told=told))
    worlds = {seed: World.draw(settings, seed=seed) for seed in SEEDS}
    truth = torch.stack([world.quality for world in worlds.values()]).flatten()
    found = torch.stack([told_quality(settings, world, seed=seed) for seed, world in worlds.items()]).flatten()
    error = 5 / truth.numel() ** 0.5
    assert abs(torch.corrcoef(torch.stack((truth, found)))[0, 1] - told) <= error * (1 - told**2) + 1e-12
    assert abs(found.square().mean() - 1) < error * 2**0.5
    if told == 1.0:
        assert torch.equal(found, truth)


def test_the_rest_of_what_is_told_is_shared() -> None:
    """Two doses differ in nothing but the dose (PUB-031)."""

    def rest(told: float) -> torch.Tensor:
        settings = PublishedSettings(control=Control(told=told))
        world = World.draw(settings, seed=5)
        found: torch.Tensor = (told_quality(settings, world, seed=5) - told * world.quality) / (1 - told**2) ** 0.5
        return found

    torch.testing.assert_close(rest(0.3), rest(0.8))


def test_entries_at_tokens() -> None:
    """One entry for each completion and position, of its own run."""
    table = torch.arange(12, dtype=torch.float64).reshape(2, 2, 3)
    tokens = torch.tensor([[[0, 2], [1, 1]], [[2, 0], [0, 1]]])
    assert at_tokens(table, tokens).tolist() == [[[0, 5], [1, 4]], [[8, 9], [6, 10]]]


def test_a_world_out_of_stacked_ones() -> None:
    """Each of its parts is that of the run."""
    worlds = [World.draw(PublishedSettings(), seed=seed) for seed in (1, 2)]
    names = ("quality", "neighbours", "pattern", "pattern_weight")
    stacked = World(*(torch.stack([getattr(world, name) for world in worlds]) for name in names))
    for name in names:
        assert torch.equal(getattr(stacked.of_run(1), name), getattr(worlds[1], name))
    tokens = torch.tensor([[[0, 1, 2, 3, 4, 5]], [[5, 4, 3, 2, 1, 0]]])
    alone = torch.stack([world.reward(tokens[row]) for row, world in enumerate(worlds)])
    torch.testing.assert_close(stacked.reward(tokens), alone)
