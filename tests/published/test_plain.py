"""The package against the protocol as one plain program (plain.py), on the same world and random numbers."""

from collections.abc import Iterator
from itertools import cycle

import numpy as np
import pytest
import torch

from sdpo_ref.published import run
from sdpo_ref.published.batch import Batch, Draws
from sdpo_ref.published.metrics import METRICS
from sdpo_ref.published.run import Trained, run_batch, train
from sdpo_ref.published.settings import PublishedSettings
from tests.published import plain

DERIVED = {"credit_of_gradient", "entropy_lost", "weight_gain"}
"""Metrics that are others with a sign, a constant or a difference (test_metrics)."""

METHODS = ("sdpo", "hybrid", "reinforce", "advantage_weighted")
KINDS = ("binary", "ordinal", "continuous", "critique")
BIASES: tuple[dict[str, object], ...] = (
    {},
    {"bias": "length"},
    {"bias": "length", "constants": {"effective_length": "without token 0", "hint_noise": 0.4}},
    {"bias": "positivity", "constants": {"pattern_weight": 1.0, "gate": 0.02}},
    {"bias": "anchoring", "constants": {"strength": 0.7, "neighbour_spread": 1.5}},
)
CONTROLS: tuple[dict[str, object], ...] = (
    {"feedback": "other"},
    {"feedback": 0.5},
    {"feedback": 0.0},
    {"told": 0.0},
    {"told": 0.7, "hints": "token"},
    {"hints": "token", "feedback": "other"},
    {"equal_mean": True},
    {"equal_mean": True, "feedback": "other", "told": 0.4, "hints": "token"},
    {"equal_mean": True, "feedback": 0.9},
)
SIZES = ((2, 1, 2), (3, 4, 5), (5, 2, 3), (4, 3, 6), (6, 1, 9))
"""Vocabulary, time, rollouts."""


def _cases() -> Iterator[tuple[str, PublishedSettings]]:
    """SDPO with every kind and bias, and a critique with every control; the other methods with each bias."""
    kind = cycle(KINDS)
    plans: list[dict[str, object]] = [{"method": "sdpo", "feedback": k, **bias} for k in KINDS for bias in BIASES]
    plans += [{"method": method, "feedback": next(kind), **bias} for method in METHODS[1:] for bias in BIASES]
    plans += [{"method": "sdpo", "feedback": "critique", "control": control} for control in CONTROLS]
    plans += [{"method": "hybrid", "feedback": "critique", "control": control} for control in CONTROLS[::2]]
    for index, plan in enumerate(plans):
        vocab, time, rollouts = SIZES[(index + index // 5) % 5]
        numbers = {"noise": (0.0, 0.3, 1.0)[index % 3], "learning_rate": (0.02, 0.5)[index % 2], "pull": 0.05}
        sizes = {"vocab": vocab, "time": time, "rollouts": rollouts, "steps": 50}
        yield f"{index} {plan['method']}", PublishedSettings.model_validate(plan | numbers | sizes)
    yield "published", PublishedSettings(vocab=9)  # one token more, and completions are too many to list
    yield "long hybrid", PublishedSettings(method="hybrid", noise=0.2, time=4, rollouts=8)
    yield "long reinforce", PublishedSettings(method="reinforce", noise=0.2, time=3, rollouts=8)
    yield "long advantage_weighted", PublishedSettings(method="advantage_weighted", vocab=32, time=2, rollouts=8)


def _same(settings: PublishedSettings, *, seed: int) -> None:
    """Both programs give one result for a run; the package has another run beside it."""
    beside = settings.model_copy(update={"learning_rate": 0.1, "noise": 0.1, "pull": 0.0})
    runs, seeds = [beside, settings], [seed + 1, seed]
    batch, draws = Batch.draw(runs, seeds), Draws.of_seeds(settings, seeds)
    own = batch.world.of_run(1)
    world = plain.World(*(one.numpy() for one in (own.quality, batch.told[1], own.neighbours, own.pattern)))
    numbers = plain.Numbers(*(one[:, 1].numpy() for one in (draws.uniform, draws.noise, draws.hints)))
    logits, expected = plain.train(settings, world, numbers)
    kept: list[Trained] = []

    def keeping(batch: Batch, draws: Draws) -> Trained:
        kept.append(train(batch, draws))
        return kept[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "train", keeping)
        found = dict(run_batch(runs, seeds)[1].metrics)
    np.testing.assert_allclose(kept[0].student[1], torch.softmax(torch.tensor(logits), -1), atol=1e-10)
    assert found.keys() <= METRICS.keys()
    assert {name: value for name, value in found.items() if name not in DERIVED} == pytest.approx(expected, abs=1e-10)


CASES = dict(_cases())


@pytest.mark.parametrize("name", CASES)
def test_a_run_is_that_of_the_plain_program(name: str) -> None:
    """Final probabilities and every metric (PUB-002 to PUB-024, PUB-041 to PUB-044)."""
    _same(CASES[name], seed=len(name))
