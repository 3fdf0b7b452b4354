"""What the study asks about a run, from its measurements and its final policy."""

from collections.abc import Mapping, Sequence

import torch

from sdpo_ref.simulation.measure import Measurement, area_under_curve, steps_to_reach
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.run import every_prompt
from sdpo_ref.simulation.world import World, random_stream
from sdpo_ref.simulation.world.diversity import distinct_n
from sdpo_ref.study.outcome import Curve
from sdpo_ref.study.self_bleu import self_bleu

_CELLS_AT_ONCE = 2**19
"""Entries of a policy's table that are looked at together; many more do not fit into a processor's cache."""


def curve_of(measurements: Sequence[Measurement]) -> Curve:
    """The measurements as columns.

    Args:
        measurements: in order.
    """
    return Curve(
        step=tuple(at.step for at in measurements),
        reward=tuple(at.reward for at in measurements),
        entropy=tuple(at.entropy for at in measurements),
        distinctness=tuple(at.distinctness for at in measurements),
        kl_to_base=tuple(at.kl_to_base for at in measurements),
    )


def curve_metrics(measurements: Sequence[Measurement]) -> Mapping[str, float]:
    """What the curve says.

    Args:
        measurements: in order, at least two.
    """
    end = measurements[-1]
    half = steps_to_reach(measurements, 0.5)
    early = next((at.reward for at in measurements if 4 * at.step == end.step), None)
    return {
        "final_reward": end.reward,
        "area": area_under_curve(measurements),
        "collapsed": float(end.reward < max(at.reward for at in measurements) / 2),
        "final_entropy": end.entropy,
        "final_distinctness": end.distinctness,
        "final_kl": end.kl_to_base,
        **({} if early is None else {"early_reward": early}),
        **({} if half is None else {"steps_to_half": float(half)}),
    }


def diversity_metrics(policy: FirstOrderPolicy, world: World, *, seed: int, group_size: int) -> Mapping[str, float]:
    """How varied a group of completions of the final policy is.

    Args:
        policy: after training.
        world: whose prompts.
        seed: of the completions that are sampled for self-BLEU.
        group_size: completions to each prompt.
    """
    found: dict[str, float] = {}
    if world.settings.time > 1:
        table = policy.transition_log_probs().detach()
        parts = torch.split(table, max(1, _CELLS_AT_ONCE // table[0].numel()))
        of_prompts = torch.cat([distinct_n(part, n=2, completions=group_size) for part in parts])
        found["distinct_2"] = float(of_prompts.mean())
    if world.settings.time >= 4:
        rollouts = policy.sample(
            every_prompt(world, group_size),
            num_tokens=world.settings.time,
            generator=random_stream(seed, "self_bleu"),
        )
        groups: list[list[list[int]]] = rollouts.completions.reshape(world.settings.prompts, group_size, -1).tolist()
        found["self_bleu"] = sum(self_bleu(group) for group in groups) / len(groups)
    return found
