"""Runs that are one program, and their random numbers."""

import pytest
import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.published.batch import Batch, Draws, batch_key
from sdpo_ref.published.settings import Constants, Control, PublishedSettings

NAMES = ("uniform", "noise", "hints")


@pytest.mark.parametrize(("rollouts", "time"), [(32, 6), (5, 3), (2, 1), (7, 2)])
def test_more_steps_share_the_beginning(rollouts: int, time: int) -> None:
    """A number is a function of its seed, its purpose and its step, at odd sizes too (PUB-031)."""
    short = PublishedSettings(rollouts=rollouts, time=time, steps=51)
    beginning = Draws.of_seeds(short, [3, 4])
    for steps in (53, 80):
        longer = Draws.of_seeds(short.model_copy(update={"steps": steps}), [3, 4])
        for name in NAMES:
            assert torch.equal(getattr(longer, name)[:51], getattr(beginning, name))


def test_numbers_do_not_depend_on_what_is_beside_them() -> None:
    """Neither on other seeds nor on what the settings do (PUB-031, PUB-032)."""
    together = Draws.of_seeds(PublishedSettings(), [3, 4])
    other = PublishedSettings(method="hybrid", vocab=3, noise=0.5, feedback="critique", control=Control(told=0.5))
    alone = Draws.of_seeds(other, [4])
    for name in NAMES:
        assert torch.equal(getattr(together, name)[:, 1:], getattr(alone, name))
        assert not torch.equal(getattr(together, name)[:, 0], getattr(together, name)[:, 1])


def test_what_is_drawn_for_the_steps() -> None:
    """Uniform and standard normal numbers, five standard errors; purposes have streams of their own."""
    draws = Draws.of_seeds(PublishedSettings(), [1, 2, 3])
    assert draws.uniform.shape == draws.hints.shape == (300, 3, 32, 6)
    assert draws.noise.shape == (300, 3, 32)
    assert draws.uniform.min() >= 0
    assert draws.uniform.max() < 1
    assert abs(draws.uniform.mean() - 0.5) < 5 * (1 / 12 / draws.uniform.numel()) ** 0.5
    for drawn in (draws.noise, draws.hints):
        assert abs(drawn.mean()) < 5 / drawn.numel() ** 0.5
        assert abs(drawn.square().mean() - 1) < 5 * (2 / drawn.numel()) ** 0.5
    of_seed = [drawn[:, 0].flatten()[:9600] for drawn in (draws.uniform, draws.noise, draws.hints)]
    assert torch.corrcoef(torch.stack(of_seed)).triu(1).abs().max() < 5 / 9600**0.5


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 1.0},
        {"pull": 1.0},
        {"noise": 1.0},
        {"constants": Constants(strength=2.0, pattern_weight=1.0, neighbour_spread=1.0, gate=1.0, hint_noise=1.0)},
        {"control": Control(told=0.5)},
    ],
)
def test_settings_that_differ_in_numbers_are_one_program(change: dict[str, object]) -> None:
    """Each run has its own numbers; their runs are compared with the same alone in test_run."""
    first = PublishedSettings()
    other = first.model_copy(update=change)
    assert batch_key(first) == batch_key(other)
    batch = Batch.draw([first, other], [1, 2])
    assert batch.numbers("learning_rate").tolist() == [0.02, other.learning_rate]
    assert batch.numbers("strength").tolist() == [1.5, other.constants.strength]
    assert torch.equal(batch.told[0], batch.world.quality[0])
    assert torch.equal(batch.told[1], batch.world.quality[1]) == (other.control.told == 1.0)


@pytest.mark.parametrize(
    "change",
    [
        {"vocab": 4},
        {"time": 4},
        {"steps": 100},
        {"rollouts": 4},
        {"method": "hybrid"},
        {"feedback": "binary"},
        {"bias": "length"},
        {"constants": Constants(effective_length="without token 0")},
        {"control": Control(feedback="other")},
        {"control": Control(feedback=0.5)},
        {"control": Control(equal_mean=True)},
        {"control": Control(hints="token")},
    ],
)
def test_settings_that_do_something_else_are_refused_in_one_batch(change: dict[str, object]) -> None:
    """Sizes, methods, kinds, biases and controls are the same for all runs of a batch."""
    first = PublishedSettings()
    other = first.model_copy(update=change)
    assert batch_key(first) != batch_key(other)
    with pytest.raises(
        InvalidInputError, match=r"received 2 settings of 2 kinds and 2 seeds; .* group them by batch_key"
    ):
        Batch.draw([first, other], [1, 2])


def test_a_seed_for_each_run() -> None:
    """Neither nothing nor a run without a seed is a batch."""
    with pytest.raises(InvalidInputError, match="received 1 settings of 1 kinds and 2 seeds"):
        Batch.draw([PublishedSettings()], [1, 2])
    with pytest.raises(InvalidInputError, match="received 0 settings"):
        Batch.draw([], [])


def test_constants_of_several_runs() -> None:
    """Each run's teachers are given its own constant (PUB-041)."""
    runs = [PublishedSettings(control=Control(feedback=level)) for level in (0.25, 1.0)]
    assert Batch.draw(runs, [1, 1]).constant_feedback().tolist() == [0.25, 1.0]
