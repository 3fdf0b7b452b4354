"""The optimum against trying everything."""

import torch

from sdpo_ref.simulation.world.exact import best_completions
from tests.simulation.world.conftest import Tiny


def test_no_completion_is_better(tiny: Tiny) -> None:
    """The score is the highest of all completions."""
    scores, _ = best_completions(tiny.world.step_scores())
    for prompt, truth in enumerate(tiny.truth):
        assert abs(float(scores[prompt]) - max(truth.scores)) < 1e-12


def test_the_completion_has_the_score(tiny: Tiny) -> None:
    """The completion that is returned is the one with the highest score."""
    _, completions = best_completions(tiny.world.step_scores())
    for prompt, truth in enumerate(tiny.truth):
        best = truth.completions[truth.scores.index(max(truth.scores))]
        assert tuple(completions[prompt].tolist()) == best


def test_ties_go_to_the_lowest_token() -> None:
    """A world in which nothing matters has the optimum 0 0 0."""
    scores, completions = best_completions(torch.zeros(1, 3, 4, 4))
    assert (scores.tolist(), completions.tolist()) == ([0.0], [[0, 0, 0]])
