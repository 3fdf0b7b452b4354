"""The protocol of spec/09-published-study, once more: one run, in loops, from the chapter's text alone.

It shares no line with the package. The world and all random numbers come in as arrays; indices start at 0.
"""

from collections.abc import Sequence
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdpo_ref.published.settings import PublishedSettings

Array = NDArray[np.float64]


class World(NamedTuple):
    """Arrays of section A, and what the teacher is told of quality (PUB-042)."""

    quality: Array  # q, [time, vocab]
    told: Array  # [time, vocab]
    neighbours: Array  # b, [vocab, vocab]
    pattern: NDArray[np.int64]  # s*, [time]


class Numbers(NamedTuple):
    """Random numbers of a run."""

    uniform: Array  # [step, rollout, time]
    noise: Array  # epsilon, [step, rollout]
    hints: Array  # standard normal, [step, rollout, time]


def softmax(logits: Array) -> Array:
    return np.asarray(np.exp(logits) / np.exp(logits).sum())


def true_reward(world: World, a: float, tokens: Sequence[int]) -> float:
    """PUB-002."""
    total = sum(world.quality[t, v] + a * (v == world.pattern[t]) for t, v in enumerate(tokens))
    total += sum(world.neighbours[u, v] for u, v in pairwise(tokens))
    return float(1 / (1 + np.exp(-total / len(tokens))))


def rating(settings: PublishedSettings, world: World, noisy: float, tokens: list[int]) -> float:
    """PUB-007 to PUB-009, of the noisy reward."""
    if settings.bias == "length":
        counted = [v for v in tokens if settings.constants.effective_length == "all" or v != 0]
        return noisy + 0.15 * (len(counted) / len(tokens) - 0.5)
    if settings.bias == "anchoring":
        return 0.6 * noisy + 0.4 * float(world.quality[0, tokens[0]])
    return 0.3 + 0.7 * noisy if settings.bias == "positivity" else noisy


def feedback(kind: str, rated: float) -> float:
    """PUB-004 to PUB-006."""
    if kind == "binary":
        return float(rated > 0.5)
    if kind == "ordinal":
        return float(min(max(np.floor(5 * rated), 0), 4) / 4)
    return rated


def given(settings: PublishedSettings, true: list[float], rated: list[float]) -> list[float]:
    """What each teacher gets: PUB-041 and PUB-044."""
    f = [feedback(settings.feedback, r) for r in rated]
    if settings.control.feedback == "other":
        f = [f[i - 1] for i in range(len(f))]
    elif settings.control.feedback != "own":
        f = [settings.control.feedback for _ in f]
    shift = np.mean([feedback(settings.feedback, r) for r in true]) - np.mean(f)
    return [one + float(shift) for one in f] if settings.control.equal_mean else f


def seen(settings: PublishedSettings, world: World, t: int, token: int, normal: float) -> Array:
    """What feedback tilts the teacher by: quality as it is told, less a critique's hint (PUB-010, PUB-011, PUB-043)."""
    hint = world.told[t, token] + settings.constants.hint_noise * normal if settings.feedback == "critique" else 0.0
    everywhere = settings.control.hints == "position"
    return np.array(world.told[t] - hint * (everywhere | (np.arange(settings.vocab) == token)))


def credit_weight(world: World, tokens: list[int], t: int) -> float:
    """PUB-015."""
    above = [world.quality[u, v] - world.quality[u].mean() for u, v in enumerate(tokens)]
    return float(above[t] / (sum(abs(x) for x in above) + 1e-8))


def correlation(x: Array, y: Array) -> float:
    """Pearson's; 0 where x is constant."""
    x, y = x - x.mean(), y - y.mean()
    return 0.0 if np.abs(x).max() < 1e-14 else float(x @ y / np.sqrt((x @ x) * (y @ y)))


def entropy(p: Array) -> float:
    """Mean over positions; what never happens adds nothing."""
    return float(-(p * np.log(np.where(p > 0, p, 1.0))).sum(-1).mean())


def train(settings: PublishedSettings, world: World, numbers: Numbers) -> tuple[Array, dict[str, float]]:
    """Final logits, and the measurements of section D."""
    n, length, method, gate = settings.rollouts, settings.time, settings.method, settings.constants.gate
    logits = np.zeros((length, settings.vocab))
    history, samples = [], []
    for step in range(settings.steps):
        p = np.array([softmax(row) for row in logits])
        bounds, uniform = p.cumsum(-1)[:, :-1], numbers.uniform[step]
        tokens = [[int((bounds[t] <= uniform[i, t]).sum()) for t in range(length)] for i in range(n)]
        true = [true_reward(world, settings.constants.pattern_weight, s) for s in tokens]
        noise = settings.noise * numbers.noise[step]
        rated = [rating(settings, world, true[i] + noise[i], tokens[i]) for i in range(n)]
        above = np.array(rated) - np.mean(rated)
        f = given(settings, true, rated)
        sdpo, reinforce, divergence = np.zeros_like(p), np.zeros_like(p), 0.0
        for i, t in product(range(n), range(length)):
            if method in ("sdpo", "hybrid"):
                tilt = seen(settings, world, t, tokens[i][t], numbers.hints[step, i, t])
                q = softmax(logits[t] + settings.constants.strength * f[i] * tilt)
                sdpo[t] -= (q - p[t]) / n
                divergence += (q * np.log(q / p[t])).sum() / (n * length)
            if method != "sdpo":
                weight = credit_weight(world, tokens[i], t) if method == "advantage_weighted" else 1.0
                reinforce[t] += weight * above[i] * (p[t] - (np.arange(settings.vocab) == tokens[i][t])) / n
        sdpo += settings.pull * (p - 1 / settings.vocab)
        w = {"sdpo": 1.0, "hybrid": 1 / (1 + np.exp(-(divergence - gate) / (gate / 3)))}.get(method, 0.0)
        gradient = w * sdpo + (1 - w) * reinforce
        credit = [correlation(-gradient[t], world.quality[t] - p[t] @ world.quality[t]) for t in range(length)]
        history.append((np.mean(true), np.mean(credit), np.mean(f), w))
        samples.append(tokens)
        logits = logits - settings.learning_rate * gradient
    p = np.array([softmax(row) for row in logits])
    rewards, correlations, fed, weights = np.array(history).T
    drawn = np.array(samples[-20:]).reshape(-1, length, 1) == np.arange(settings.vocab)
    measured = {
        "final_reward": float(np.mean(rewards[-20:])),
        "early_reward": float(np.mean(rewards[30:50])),
        "credit": float(np.mean(correlations[-20:])),
        "credit_all": float(np.mean(correlations)),
        "final_entropy": entropy(p),
        "sampled_entropy": entropy(drawn.mean(0)),
    }
    if method in ("sdpo", "hybrid"):
        measured["mean_feedback"] = float(np.mean(fed))
    if method == "hybrid":
        measured |= {"weight_first": weights[0], "weight_last": float(np.mean(weights[-20:]))}
    if settings.vocab**length <= 2**18:
        every, a = product(range(settings.vocab), repeat=length), settings.constants.pattern_weight
        measured["expected_reward"] = sum(true_reward(world, a, s) * float(p[range(length), s].prod()) for s in every)
    return logits, measured
