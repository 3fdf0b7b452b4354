"""What noise in the feedback does to the first gradient of SDPO, and whether the implicit reward is exact (F07)."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.functional.implicit_reward import implicit_reward
from sdpo_ref.functional.log_probs import log_probs
from sdpo_ref.losses.reference import sdpo_loss
from sdpo_ref.simulation.oracles.build import build_oracle
from sdpo_ref.simulation.oracles.noise_level import NoiseLevel
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.run import every_prompt
from sdpo_ref.simulation.settings.run import ProbeSettings
from sdpo_ref.simulation.world import World, random_stream
from sdpo_ref.study.build_teacher import learned, read_feedback
from sdpo_ref.types import DistillationBatch, Judgement, Rollouts, TeacherView


def probe(settings: ProbeSettings, *, seed: int) -> Mapping[str, float]:
    """Judge the same rollouts again and again, and compare where the gradients point.

    The reader assumes the same noise throughout, so that only the judgements differ.
    Implements: SIM-135.

    Args:
        settings: the world, the oracle, the reader, and how many judgements.
        seed: of everything random.

    Returns:
        ``direction``, ``single_direction`` and ``identity_error``; see :data:`~sdpo_ref.study.outcome.METRICS`.
    """
    world = World.draw(settings.world, seed=seed)
    policy = FirstOrderPolicy.base(world)
    oracle = build_oracle(world, settings.oracle, seed=seed)
    rollouts = policy.sample(
        every_prompt(world, settings.group_size),
        num_tokens=settings.world.time,
        generator=random_stream(seed, "probe", "rollouts"),
    )
    reading = read_feedback(
        settings, world, [learned(world, reader, seed=seed) for reader in settings.readers], seed=seed
    )

    def views(judgement: Judgement) -> TeacherView:
        return reading.view(policy, rollouts, judgement)

    exact = views(NoiseLevel(oracle, 0.0).judge(rollouts, generator=random_stream(seed, "probe", 0)))
    clean = _gradient(policy, rollouts, exact)
    noisy = [
        _gradient(policy, rollouts, views(oracle.judge(rollouts, generator=random_stream(seed, "probe", draw))))
        for draw in range(1, settings.draws + 1)
    ]
    mean = torch.stack(noisy).mean(0)
    return {
        "direction": _cosine(mean, clean),
        "single_direction": sum(_cosine(one, clean) for one in noisy) / len(noisy),
        "identity_error": _identity_error(policy, rollouts, exact),
    }


def _gradient(policy: FirstOrderPolicy, rollouts: Rollouts, view: TeacherView) -> Float[Tensor, "prompt time vocab"]:
    batch = DistillationBatch(
        policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask),
        view.logits,
        rollouts.completions,
        rollouts.completion_mask,
        view.self_distillation_mask,
    )
    (gradient,) = torch.autograd.grad(sdpo_loss(batch, alpha=1.0), policy.table)
    return gradient


def _identity_error(policy: FirstOrderPolicy, rollouts: Rollouts, view: TeacherView) -> float:
    """The implicit reward against its closed form: tilts of the sampled tokens minus normalisers."""
    with torch.no_grad():
        before = log_probs(policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask))
        implicit = implicit_reward(view.logits, before, rollouts.completions, rollouts.completion_mask)
        tilt = view.logits - policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
        sampled = tilt.gather(-1, rollouts.completions[..., None]).squeeze(-1)
        normalizers = (before + tilt).logsumexp(-1)
        return float((implicit - (sampled - normalizers).sum(-1)).abs().max())


def _cosine(left: Tensor, right: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(left.flatten(), right.flatten(), dim=0))
