"""A small simulated world: a policy, its self-teacher and one step's judged rollouts, for calling a trainer once."""

from dataclasses import dataclass

from sdpo_ref.protocols.policy import Policy
from sdpo_ref.protocols.teacher import Teacher
from sdpo_ref.simulation.assembly import assemble
from sdpo_ref.simulation.methods import Sdpo
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.run import every_prompt
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.simulation.settings import WorldSettings
from sdpo_ref.simulation.world import random_stream
from sdpo_ref.types import Judgement, Rollouts


@dataclass(frozen=True)
class SmallWorld:
    """What a trainer is given, and the judgement that it then receives.

    Attributes:
        policy: to be trained.
        base: another copy of it, to stay near to.
        teacher: of the policy.
        rollouts: that the policy sampled.
        judgement: of the rollouts.
    """

    policy: Policy
    base: Policy
    teacher: Teacher
    rollouts: Rollouts
    judgement: Judgement


def small_world() -> SmallWorld:
    """A world of two prompts, four positions and eight tokens; made anew at each call, always the same."""
    sizes = WorldSettings(prompts=2, time=4, vocab=8, embedding=4, aspects=2)
    parts = assemble(RunSettings(world=sizes, method=Sdpo()), seed=0)
    policy = parts.trainer.policy
    rollouts = policy.sample(
        every_prompt(parts.world, 4), num_tokens=sizes.time, generator=random_stream(0, 1, "rollouts")
    )
    judgement = parts.oracle.judge(rollouts, generator=random_stream(0, 1, "judgement"))
    return SmallWorld(policy, FirstOrderPolicy.base(parts.world), parts.teacher, rollouts, judgement)
