"""The study's default setting, and the ways in which experiments depart from it."""

from collections.abc import Mapping
from typing import get_args

from sdpo_ref.simulation.methods import MethodSettings
from sdpo_ref.simulation.run_settings import ProbeSettings, RunSettings
from sdpo_ref.simulation.settings import (
    Basis,
    OracleSettings,
    ReaderSettings,
    RegimeName,
    RegimeSettings,
    WorldSettings,
)

REGIMES: tuple[RegimeName, ...] = get_args(RegimeName)
"""From the poorest feedback to the richest."""

SELF_DISTILLING = ("sdpo", "hybrid", "gated", "kl_gated", "sdft")
"""Methods that are drawn towards a teacher, as the study calls them."""

BASELINES = ("reinforce", "advantage_weighted", "rloo", "grpo", "ppo", "dpo")
"""Methods that are not: policy gradients and preferences. The advantage-weighted one shares out the reward by what the
teacher credits; the others see the scalar only."""

SWEPT_BASELINES = ("reinforce", "rloo", "grpo")
"""Baselines of the sweeps, in which every method at every point would cost more than it shows."""


def run_settings(
    regime: RegimeName,
    method: MethodSettings,
    *,
    noise: float = 0.15,
    told: float | None = None,
    basis: Basis = "embedding",
    overconfident: bool = False,
    world: Mapping[str, object] | None = None,
    oracle: Mapping[str, object] | None = None,
    measure_every: int = 10,
) -> RunSettings:
    """A run of the default size under one regime, whose reader has the true settings of it unless told another noise.

    Args:
        regime: of the feedback.
        method: what is trained.
        noise: of every rating.
        told: noise that the reader assumes; ``None`` for the true one.
        basis: in which the reader learns loadings.
        overconfident: whether the reader takes what it learned for the truth.
        world: settings of the world that depart from the default.
        oracle: biases and corruptions, which the reader is *not* given.
        measure_every: steps between measurements.

    Returns:
        Settings of the run.
    """
    of_world = WorldSettings.model_validate(world or {})
    judged, _ = _regime_and_reader(regime, noise, basis, of_world)
    _, read = _regime_and_reader(regime, noise if told is None else told, basis, of_world)
    read = read.model_copy(update={"overconfident": overconfident})
    return RunSettings(
        world=of_world,
        oracle=OracleSettings.model_validate({**(oracle or {}), "regimes": (judged,)}),
        readers=(read,),
        method=method,
        measure_every=measure_every,
    )


def probe_settings(regime: RegimeName, *, noise: float) -> ProbeSettings:
    """A probe of the default size under one regime, whose reader assumes the default noise.

    Args:
        regime: of the feedback.
        noise: of every rating.
    """
    world = WorldSettings()
    judged, _ = _regime_and_reader(regime, noise, "embedding", world)
    _, read = _regime_and_reader(regime, 0.15, "embedding", world)
    return ProbeSettings(world=world, oracle=OracleSettings(regimes=(judged,)), readers=(read,))


def mixed_settings(method: MethodSettings, regimes: tuple[RegimeSettings, ...]) -> RunSettings:
    """A run in which every prompt has one of several regimes, and the reader is given which.

    Args:
        method: what is trained.
        regimes: that are dealt to the prompts.
    """
    readers = tuple(ReaderSettings(feedback=regime) for regime in regimes)
    return RunSettings(oracle=OracleSettings(regimes=regimes), readers=readers, method=method)


def _regime_and_reader(
    regime: RegimeName, noise: float, basis: Basis, world: WorldSettings
) -> tuple[RegimeSettings, ReaderSettings]:
    judged = RegimeSettings(regime=regime, noise=noise)
    read = ReaderSettings(feedback=judged, basis=basis, slope=world.slope, idiosyncrasy=world.idiosyncrasy)
    return judged, read
