"""One run of the simulation with plain objects: the clear simulator, which any faster one must equal.

Data flows one way: prompts -> the policy samples rollouts -> the oracle judges them -> the trainer (and the teacher
inside it) reads the judgement and updates the policy -> exact measurements.
"""

from collections.abc import Callable

import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.protocols import Oracle, Trainer
from sdpo_ref.simulation.measure import Gauge, Measurement
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.world import World, random_stream
from sdpo_ref.types import Judgement, Prompts, Rollouts

Observer = Callable[[int, Rollouts, Judgement], None]
"""Is shown what was sampled and judged before each update; for credit maps and recordings."""


def run(
    world: World,
    oracle: Oracle,
    trainer: Trainer,
    *,
    steps: int,
    group_size: int,
    seed: int,
    measure_every: int = 1,
    observe: Observer = lambda _step, _rollouts, _judgement: None,
) -> list[Measurement]:
    """Train a policy in a world and measure it as it goes.

    Every step samples ``group_size`` completions to every prompt. The random numbers of a step depend on the run's
    seed and the step alone, so two methods with the same seed see the same noise, a run may be resumed at any step,
    and measuring more or less often changes nothing.
    Implements: SIM-124, SIM-125.

    Args:
        world: the ground truth; only the oracle and the measurements look at it.
        oracle: judges rollouts.
        trainer: holds the policy, a first-order policy of the same world.
        steps: how many iterations; at least 1.
        group_size: completions to each prompt; at least 1.
        seed: of the run.
        measure_every: steps between measurements; the start and the end are always measured.
        observe: is shown each step's rollouts and judgement.

    Returns:
        Measurements in order, the first before any update.

    Raises:
        InvalidInputError: if a number is below 1, or the trainer's policy is none that can be measured exactly.
    """
    for name, number in (("steps", steps), ("group_size", group_size), ("measure_every", measure_every)):
        if number < 1:
            raise InvalidInputError(f"{name} must be at least 1, received {number}")
    gauge, prompts = Gauge(world), every_prompt(world, group_size)
    found = [gauge.measure(_measurable(trainer), step=0)]
    for step in range(1, steps + 1):
        rollouts = trainer.policy.sample(
            prompts, num_tokens=world.settings.time, generator=random_stream(seed, step, "rollouts")
        )
        judgement = oracle.judge(rollouts, generator=random_stream(seed, step, "judgement"))
        observe(step, rollouts, judgement)
        trainer.step(rollouts, judgement)
        if step % measure_every == 0 or step == steps:
            found.append(gauge.measure(_measurable(trainer), step=step))
    return found


def every_prompt(world: World, group_size: int) -> Prompts:
    """A group of rollouts for each prompt of a world; the prompt's text is its number.

    Args:
        world: whose prompts.
        group_size: rollouts of each.

    Returns:
        Prompts in groups.

    Example:
        >>> from sdpo_ref.simulation.settings import WorldSettings
        >>> every_prompt(World.draw(WorldSettings(prompts=2), seed=0), 3).group_ids
        tensor([0, 0, 0, 1, 1, 1])
    """
    prompt_ids = torch.arange(world.settings.prompts).repeat_interleave(group_size)
    return Prompts(prompt_ids[:, None], torch.ones_like(prompt_ids[:, None], dtype=torch.bool), prompt_ids)


def _measurable(trainer: Trainer) -> FirstOrderPolicy:
    policy = trainer.policy
    if not isinstance(policy, FirstOrderPolicy):
        raise InvalidInputError(
            f"the trainer's policy is a {type(policy).__name__}; exact measurements need a FirstOrderPolicy, "
            "such as FirstOrderPolicy.base(world)"
        )
    return policy
