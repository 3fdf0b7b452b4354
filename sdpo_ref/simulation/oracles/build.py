"""From settings to an oracle: every regime and wrapper is chosen here."""

import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.oracles.biases import (
    CentralTendency,
    Halo,
    Position,
    Positivity,
    SelfPreference,
    Severity,
    Verbosity,
)
from sdpo_ref.simulation.oracles.regimes import BinaryOracle, CritiqueOracle, OrdinalOracle, RubricOracle, ScalarOracle
from sdpo_ref.simulation.oracles.staged import StagedOracle
from sdpo_ref.simulation.oracles.wrappers import Heterogeneous, Misleading, Missing
from sdpo_ref.simulation.settings import OracleSettings, RegimeSettings
from sdpo_ref.simulation.world import World, random_stream


def build_oracle(world: World, settings: OracleSettings, *, seed: int) -> StagedOracle:
    """The oracle that the settings describe.

    Wrappers stand in the order of the settings' fields, the first innermost; one of strength zero is left out.
    Implements: SIM-039, SIM-168.

    Args:
        world: the ground truth.
        settings: regime, biases and corruptions.
        seed: decides which prompts mislead and which prompt has which of several regimes.

    Returns:
        The oracle.

    Raises:
        InvalidInputError: if the settings do not fit the world, such as more spans than positions.

    Example:
        >>> from sdpo_ref.simulation.settings import WorldSettings
        >>> world = World.draw(WorldSettings(), seed=0)
        >>> type(build_oracle(world, OracleSettings(positivity=0.3), seed=0)).__name__
        'Positivity'
    """
    members = tuple(_regime(world, regime) for regime in settings.regimes)
    oracle = members[0] if len(members) == 1 else Heterogeneous(members, dealt(world, len(members), seed=seed))
    if settings.verbosity:
        filler = round(settings.filler_share * world.settings.vocab)
        oracle = Verbosity(oracle, settings.verbosity, tuple(range(filler)))
    if settings.position:
        oracle = Position(oracle, settings.position)
    if settings.self_preference:
        oracle = SelfPreference(oracle, settings.self_preference, world.settings.vocab)
    for bias, strength in (
        (Halo, settings.halo),
        (CentralTendency, settings.central_tendency),
        (Severity, settings.severity),
        (Positivity, settings.positivity),
    ):
        if strength:
            oracle = bias(oracle, strength)
    if settings.misleading_share:
        oracle = Misleading(oracle, misled(world, settings, seed=seed))
    return Missing(oracle, settings.missing_share) if settings.missing_share else oracle


def dealt(world: World, members: int, *, seed: int) -> tuple[int, ...]:
    """Which of several regimes each prompt has, dealt like cards: their shares differ by one prompt at most.

    What :func:`build_oracle` does with several regimes, so that a reader can be given the regime of each prompt.
    Implements: SIM-074.

    Args:
        world: whose prompts.
        members: how many regimes; at least 1.
        seed: the oracle's.

    Returns:
        For each prompt the index of its regime, from 0.

    Raises:
        InvalidInputError: if there is no member to deal.

    Example:
        >>> from sdpo_ref.simulation.settings import WorldSettings
        >>> sorted(dealt(World.draw(WorldSettings(prompts=5), seed=0), 2, seed=0))
        [0, 0, 0, 1, 1]
    """
    if members < 1:
        raise InvalidInputError(f"members must be at least 1, received {members}; pass the number of regimes")
    return tuple(place % members for place in _shuffled(world, seed, "regimes"))


def misled(world: World, settings: OracleSettings, *, seed: int) -> tuple[int, ...]:
    """The prompts whose feedback points the wrong way.

    Args:
        world: whose prompts.
        settings: give their share, rounded to whole prompts.
        seed: the oracle's; a higher share misleads the same prompts and some more.

    Returns:
        Their numbers.

    Example:
        >>> from sdpo_ref.simulation.settings import WorldSettings
        >>> len(misled(World.draw(WorldSettings(), seed=0), OracleSettings(misleading_share=0.25), seed=0))
        4
    """
    return tuple(_shuffled(world, seed, "misleading")[: round(settings.misleading_share * world.settings.prompts)])


def _regime(world: World, settings: RegimeSettings) -> StagedOracle:
    match settings.regime:
        case "binary":
            return BinaryOracle(world, settings.noise)
        case "ordinal":
            return OrdinalOracle(world, settings.noise)
        case "scalar":
            return ScalarOracle(world, settings.noise)
        case "rubric":
            return RubricOracle(world, settings.noise)
        case "critique":
            return CritiqueOracle(world, settings.noise, settings.spans)


def _shuffled(world: World, seed: int, purpose: str) -> list[int]:
    stream = random_stream(seed, "oracle", purpose)
    order: list[int] = torch.randperm(world.settings.prompts, generator=stream).tolist()
    return order
