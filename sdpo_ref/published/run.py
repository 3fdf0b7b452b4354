"""Runs of the published protocol, many seeds as one program (spec/09-published-study, C to E).

Data flows one way: the student samples completions -> their rewards are rated and become feedback -> the method turns
them into a gradient -> plain gradient descent.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.published.batch import Batch, Draws
from sdpo_ref.published.metrics import (
    EARLY_STEPS,
    LAST_STEPS,
    credit,
    distinctness,
    entropy,
    every_completion_reward,
    expected_reward,
)
from sdpo_ref.published.settings import PublishedSettings
from sdpo_ref.published.step import Moment, descent

CURVE_EVERY = 10
"""Steps between points of a curve."""


@dataclass
class Trained:
    """What became of some runs.

    Attributes:
        student: probabilities after the last step.
        rewards: true reward of what was sampled, mean of each step.
        credits: of the update of each step.
        entropies: of the student after each step, the start first.
        distinctness: chance that two completions differ at a position, after each step, the start first.
        feedbacks: mean feedback of each step.
        weights: of SDPO in the hybrid, each step.
        tokens: that were sampled, each step.
    """

    student: Float[Tensor, "run time vocab"]
    rewards: list[Float[Tensor, " run"]] = field(default_factory=list)
    credits: list[Float[Tensor, " run"]] = field(default_factory=list)
    distinctness: list[Float[Tensor, " run"]] = field(default_factory=list)
    entropies: list[Float[Tensor, " run"]] = field(default_factory=list)
    feedbacks: list[Float[Tensor, " run"]] = field(default_factory=list)
    weights: list[Float[Tensor, " run"]] = field(default_factory=list)
    tokens: list[Int[Tensor, "run rollout time"]] = field(default_factory=list)


def train(batch: Batch, draws: Draws) -> Trained:
    """Train all runs, step by step together.

    A run gives the same numbers alone and in any batch, up to rounding: nothing is summed over runs.
    Implements: PUB-001, PUB-017, PUB-032.

    Args:
        batch: of runs.
        draws: their random numbers.

    Returns:
        Final students, and what was measured on the way.
    """
    rates = batch.numbers("learning_rate")[:, None, None]
    logits = torch.zeros_like(batch.world.quality)
    student = torch.softmax(logits, -1)
    done = Trained(student, entropies=[entropy(student)], distinctness=[distinctness(student)])
    for uniform, noise, hints in zip(draws.uniform, draws.noise, draws.hints, strict=True):
        tokens = sample(student, uniform)
        rewards = batch.world.reward(tokens)
        moved = descent(batch, Moment(logits, student, tokens, rewards, noise, hints))
        logits = logits - rates * moved.gradient
        done.tokens.append(tokens)
        done.rewards.append(rewards.mean(1))
        done.credits.append(credit(-moved.gradient, batch.world.quality))
        if moved.feedback is not None:
            done.feedbacks.append(moved.feedback)
        if moved.weight is not None:
            done.weights.append(moved.weight)
        student = torch.softmax(logits, -1)
        done.entropies.append(entropy(student))
        done.distinctness.append(distinctness(student))
    done.student = student
    return done


def sample(
    student: Float[Tensor, "run time vocab"], uniform: Float[Tensor, "run rollout time"]
) -> Int[Tensor, "run rollout time"]:
    """Tokens by inversion: the first whose cumulative probability exceeds the uniform number.

    Args:
        student: probabilities.
        uniform: in [0, 1).

    Example:
        >>> student = torch.tensor([[[0.25, 0.75]]], dtype=torch.float64)
        >>> sample(student, torch.tensor([[[0.1], [0.25], [0.9]]], dtype=torch.float64)).flatten().tolist()
        [0, 1, 1]
    """
    bounds = student.cumsum(-1)[..., :-1].contiguous()
    return torch.searchsorted(bounds, uniform.mT.contiguous(), right=True).mT


@dataclass(frozen=True)
class Measured:
    """What is kept of a run.

    Attributes:
        metrics: those of :data:`~sdpo_ref.published.metrics.METRICS` that exist for it.
        steps: of the points of its curves: every tenth.
        rewards: mean true reward of what was sampled in the steps since the point before.
        entropies: of the student after the step, in nats.
        distinctness: chance that two of its completions differ at a position.
    """

    metrics: Mapping[str, float]
    steps: tuple[int, ...]
    rewards: tuple[float, ...]
    entropies: tuple[float, ...]
    distinctness: tuple[float, ...]


def run_batch(settings: Sequence[PublishedSettings], seeds: Sequence[int]) -> list[Measured]:
    """Train and measure many runs.

    Implements: PUB-020, PUB-024.

    Args:
        settings: of the runs, with one :func:`~sdpo_ref.published.batch.batch_key`.
        seeds: of the runs.

    Returns:
        What is kept of each.

    Raises:
        InvalidInputError: if the settings cannot be one program, or have a part from outside, whose runs go alone.
    """
    if any(one.outside.part is not None for one in settings):
        raise InvalidInputError("received a part from outside; allowed are bundled parts: use objects.run_alone")
    batch = Batch.draw(settings, seeds)
    done = train(batch, Draws.of_seeds(settings[0], seeds))
    return list(measured(done, batch))


def measured(done: Trained, batch: Batch) -> Iterator[Measured]:
    """What is kept of each run.

    Args:
        done: what became of the runs.
        batch: of the same runs.

    Yields:
        For each run those metrics that exist for it, and its curves.
    """
    rewards, correlations, entropies = map(torch.stack, (done.rewards, done.credits, done.entropies))
    found = {
        "final_reward": rewards[-LAST_STEPS:].mean(0),
        "early_reward": rewards[EARLY_STEPS].mean(0),
        "credit": correlations[-LAST_STEPS:].mean(0),
        "credit_of_gradient": -correlations[-LAST_STEPS:].mean(0),
        "credit_all": correlations.mean(0),
        "final_entropy": entropies[-1],
        "sampled_entropy": entropy(_frequencies(torch.cat(done.tokens[-LAST_STEPS:], 1), vocab=done.student.shape[-1])),
        "entropy_lost": 1 - entropies[-1] / entropies[0],
    }
    if done.feedbacks:
        found["mean_feedback"] = torch.stack(done.feedbacks).mean(0)
    if done.weights:
        weights = torch.stack(done.weights)
        last = weights[-LAST_STEPS:].mean(0)
        found |= {"weight_first": weights[0], "weight_last": last, "weight_gain": last - weights[0]}
    points = tuple(range(CURVE_EVERY, len(rewards) + 1, CURVE_EVERY))
    curve = torch.stack([rewards[end - CURVE_EVERY : end].mean(0) for end in points])
    distinct = torch.stack(done.distinctness)
    for row in range(len(batch.settings)):
        metrics = {name: float(values[row]) for name, values in found.items()}
        listed = every_completion_reward(batch.world.of_run(row))
        if listed is not None:
            metrics["expected_reward"] = expected_reward(done.student[row], listed)
        yield Measured(
            metrics,
            points,
            rewards=tuple(curve[:, row].tolist()),
            entropies=tuple(entropies[list(points), row].tolist()),
            distinctness=tuple(distinct[list(points), row].tolist()),
        )


def _frequencies(tokens: Int[Tensor, "run rollout time"], *, vocab: int) -> Float[Tensor, "run time vocab"]:
    ones = torch.nn.functional.one_hot(tokens, vocab).to(torch.float64)
    return ones.mean(1)
