"""Every regime and wrapper is an `Oracle`; mypy reads the functions, and the test calls through the Protocol."""

import pytest
import torch

from sdpo_ref.protocols import Oracle
from sdpo_ref.simulation.oracles import (
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
    Verbosity,
)
from sdpo_ref.simulation.world import World
from sdpo_ref.types import Rollouts
from tests.simulation.oracles.problems import REGIMES, WITH_EFFECT


def regimes_are_accepted(
    ordinal: OrdinalOracle, scalar: ScalarOracle, rubric: RubricOracle, critique: CritiqueOracle
) -> tuple[Oracle, ...]:
    """Compare the regimes with the Protocol."""
    return ordinal, scalar, rubric, critique


def rating_biases_are_accepted(
    positivity: Positivity, severity: Severity, central: CentralTendency, halo: Halo, noise: NoiseLevel
) -> tuple[Oracle, ...]:
    """Compare the biases of the scale with the Protocol."""
    return positivity, severity, central, halo, noise


def perception_biases_are_accepted(
    verbosity: Verbosity, position: Position, preference: SelfPreference
) -> tuple[Oracle, ...]:
    """Compare the biases of perception with the Protocol."""
    return verbosity, position, preference


def corruptions_are_accepted(
    misleading: Misleading, missing: Missing, recording: Recording, heterogeneous: Heterogeneous
) -> tuple[Oracle, ...]:
    """Compare the corruptions with the Protocol."""
    return misleading, missing, recording, heterogeneous


@pytest.mark.parametrize("wrapper", WITH_EFFECT)
@pytest.mark.parametrize("regime", REGIMES)
def test_every_oracle_judges(world: World, rollouts: Rollouts, regime: str, wrapper: str) -> None:
    """Finite float64 rewards on the scale, and feedback for each rollout or an explicit gap."""
    oracle: Oracle = WITH_EFFECT[wrapper](REGIMES[regime](world, 0.15))
    assert isinstance(oracle, Oracle)
    judgement = oracle.judge(rollouts, generator=torch.Generator().manual_seed(3))
    assert judgement.rewards.dtype == torch.float64
    assert len(judgement.feedback) == 48
    assert (None in judgement.feedback) == (wrapper == "missing")


def test_no_rollouts_no_judgement(world: World, rollouts: Rollouts) -> None:
    """An empty batch is judged, and the judgement is empty."""
    nothing = rollouts.select(torch.tensor([], dtype=torch.long))
    for regime in REGIMES.values():
        for wrap in WITH_EFFECT.values():
            judgement = wrap(regime(world, 0.15)).judge(nothing, generator=torch.Generator())
            assert (judgement.rewards.shape, judgement.feedback) == ((0,), ())
