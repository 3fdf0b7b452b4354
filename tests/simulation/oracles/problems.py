"""Rollouts to judge, every oracle and wrapper, and how to read a judgement."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from sdpo_ref.simulation.oracles import (
    BinaryOracle,
    CentralTendency,
    CritiqueOracle,
    Halo,
    Heterogeneous,
    Misleading,
    Missing,
    NoiseLevel,
    OrdinalOracle,
    Position,
    Positivity,
    Recording,
    RubricOracle,
    ScalarOracle,
    SelfPreference,
    Severity,
    StagedOracle,
    Verbosity,
)
from sdpo_ref.simulation.world import World, random_stream
from sdpo_ref.types import Judgement, Prompts, Rollouts

NOISE = 0.15
Regimes = Mapping[str, Callable[[World, float], StagedOracle]]
Wrapper = Callable[[StagedOracle], StagedOracle]

REGIMES: Regimes = {
    "binary": BinaryOracle,
    "ordinal": OrdinalOracle,
    "scalar": ScalarOracle,
    "rubric": RubricOracle,
    "critique": CritiqueOracle,
}

WITHOUT_EFFECT: Mapping[str, Wrapper] = {
    "noise level": lambda inner: NoiseLevel(inner, NOISE),
    "positivity": lambda inner: Positivity(inner, 0.0),
    "severity": lambda inner: Severity(inner, 0.0),
    "central tendency": lambda inner: CentralTendency(inner, 0.0),
    "halo": lambda inner: Halo(inner, 0.0),
    "verbosity": lambda inner: Verbosity(inner, 0.0, (0, 1, 2)),
    "verbosity without filler": lambda inner: Verbosity(inner, 1.0, ()),
    "position": lambda inner: Position(inner, 0.0),
    "self-preference": lambda inner: SelfPreference(inner, 0.0, 10),
    "misleading": lambda inner: Misleading(inner, ()),
    "missing": lambda inner: Missing(inner, 0.0),
    "recording": Recording,
    "heterogeneous": lambda inner: Heterogeneous((inner,), (0, 0, 0, 0, 0, 0)),
}
"""Every wrapper with strength zero, or the settings that its sentence calls none."""

WITH_EFFECT: Mapping[str, Wrapper] = {
    "noise level": lambda inner: NoiseLevel(inner, 0.3),
    "positivity": lambda inner: Positivity(inner, 0.6),
    "severity": lambda inner: Severity(inner, 0.6),
    "central tendency": lambda inner: CentralTendency(inner, 0.6),
    "halo": lambda inner: Halo(inner, 0.6),
    "verbosity": lambda inner: Verbosity(inner, 2.0, (0, 1, 2)),
    "position": lambda inner: Position(inner, -0.8),
    "self-preference": lambda inner: SelfPreference(inner, 2.0, 10),
    "misleading": lambda inner: Misleading(inner, (0, 3)),
    "missing": lambda inner: Missing(inner, 0.5),
    "recording": Recording,
    "heterogeneous": lambda inner: Heterogeneous((inner, NoiseLevel(inner, 0.4)), (0, 1, 0, 0, 1, 1)),
}
"""Every wrapper at work."""


def rollouts_in(world: World, count: int) -> Rollouts:
    """Completions taken at random, with made-up log-probabilities."""
    stream = random_stream(11, "rollouts")
    sizes = world.settings
    prompts = torch.arange(count) % sizes.prompts
    completions = torch.randint(sizes.vocab, (count, sizes.time), generator=stream)
    log_probs = -5 * torch.rand(count, sizes.time, generator=stream, dtype=torch.float64)
    everything = torch.ones(count, 1, dtype=torch.bool)
    return Rollouts(
        Prompts(prompts[:, None], everything, prompts), completions, everything.expand_as(completions), log_probs
    )


def judged(oracle: StagedOracle, rollouts: Rollouts, seed: int = 3) -> Judgement:
    """The judgement with a fresh generator, so that two calls have common random numbers."""
    return oracle.judge(rollouts, generator=torch.Generator().manual_seed(seed))


def ratings_of(judgement: Judgement) -> Tensor:
    """What the feedback says as numbers; there must be no gap."""
    told = [said.ratings for said in judgement.feedback if said is not None]
    assert len(told) == judgement.rewards.shape[0]
    return torch.tensor(told, dtype=torch.float64)


def close(one: Judgement, other: Judgement) -> bool:
    """Whether the numbers of two judgements agree up to rounding, which may depend on a batch's size."""
    rewards = torch.allclose(one.rewards, other.rewards, rtol=0, atol=1e-12)
    return rewards and torch.allclose(ratings_of(one), ratings_of(other), rtol=0, atol=1e-12)


def same(one: Judgement, other: Judgement) -> bool:
    """Whether two judgements agree bit for bit, words included."""
    return torch.equal(one.rewards, other.rewards) and one.feedback == other.feedback
