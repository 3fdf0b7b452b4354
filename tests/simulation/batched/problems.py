"""Runs for both simulators, and how far they are from each other."""

from collections.abc import Mapping, Sequence

import torch

from sdpo_ref.simulation.assembly import assemble, learned
from sdpo_ref.simulation.batched.measure import transition_log_probs
from sdpo_ref.simulation.batched.runs import Run
from sdpo_ref.simulation.measure import Measurement
from sdpo_ref.simulation.methods import MethodSettings
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.run import run
from sdpo_ref.simulation.run_batch import run_batch
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.simulation.settings import OracleSettings, ReaderSettings, RegimeName, RegimeSettings, WorldSettings
from sdpo_ref.simulation.world import World

SMALL: Mapping[str, object] = {"prompts": 6, "time": 5, "vocab": 13, "aspects": 2, "embedding": 3, "annotations": 8}
"""Sizes that differ from each other, so that no two axes can be mistaken for one another.

Not smaller: where advantages of a group cancel, what is left of the gradient is rounding, in either simulator, and Adam
enlarges it by 1e8 times the weight of a token and the chance of the one in question.
"""


def settings(
    regime: RegimeName,
    method: MethodSettings,
    *,
    world: Mapping[str, object] = SMALL,
    oracle: Mapping[str, object] | None = None,
    steps: int = 12,
    **reader: object,
) -> RunSettings:
    """A run under one regime; the critique has two spans, which do not divide five positions."""
    told = RegimeSettings(regime=regime, spans=2)
    return RunSettings(
        world=WorldSettings.model_validate(world),
        oracle=OracleSettings.model_validate({**(oracle or {}), "regimes": (told,)}),
        readers=(ReaderSettings.model_validate({"feedback": told, **reader}),),
        method=method,
        group_size=8,
        steps=steps,
        measure_every=4,
    )


def brought(one: RunSettings, seed: int) -> Run:
    """What a batch needs to know of a run."""
    world = World.draw(one.world, seed=seed)
    return Run(one, seed, world, tuple(learned(world, reader, seed=seed) for reader in one.readers))


def clear(one: RunSettings, seed: int) -> tuple[list[Measurement], FirstOrderPolicy]:
    """The run of the clear simulator."""
    parts = assemble(one, seed=seed)
    curve = run(
        parts.world,
        parts.oracle,
        parts.trainer,
        steps=one.steps,
        group_size=one.group_size,
        seed=seed,
        measure_every=one.measure_every,
    )
    policy = parts.trainer.policy
    assert isinstance(policy, FirstOrderPolicy)
    return curve, policy


def distance(found: Sequence[Measurement], expected: Sequence[Measurement]) -> float:
    """Largest difference of two curves, in any measurement."""
    assert [at.step for at in found] == [at.step for at in expected]
    return max(
        abs(float(getattr(one, name)) - float(getattr(other, name)))
        for one, other in zip(found, expected, strict=True)
        for name in ("reward", "score", "entropy", "distinctness", "kl_to_base")
    )


def differences(runs: Sequence[RunSettings], seeds: Sequence[int]) -> tuple[float, float]:
    """Of a batch from the clear simulator: in measurements, and in the probabilities of the final policy."""
    trained = run_batch([brought(one, seed) for one, seed in zip(runs, seeds, strict=True)])
    of_curves, of_policies = [], []
    for row, (one, seed) in enumerate(zip(runs, seeds, strict=True)):
        curve, policy = clear(one, seed)
        found = trained.curves[row]
        assert isinstance(found, list)
        of_curves.append(distance(found, curve))
        with torch.no_grad():
            apart = policy.transition_log_probs().exp() - transition_log_probs(trained.policy, row).exp()
        of_policies.append(float(apart.abs().max()))
    return max(of_curves), max(of_policies)
