"""The study's bars of exactness, in the default world: against a million samples, and where zero must be zero."""

import pytest
import torch
from torch import Tensor

from sdpo_ref.functional.implicit_reward import implicit_reward
from sdpo_ref.functional.log_probs import log_probs
from sdpo_ref.losses.reference import sdpo_loss
from sdpo_ref.simulation.oracles import build_oracle
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.reader import Knowledge, Reader
from sdpo_ref.simulation.run import every_prompt
from sdpo_ref.simulation.settings import OracleSettings, ReaderSettings, RegimeName, RegimeSettings, WorldSettings
from sdpo_ref.simulation.teachers.placebo import ConstantFeedback
from sdpo_ref.simulation.teachers.read_feedback import ReadFeedback
from sdpo_ref.simulation.world import World, random_stream
from sdpo_ref.simulation.world.corpus import annotate
from sdpo_ref.simulation.world.diversity import completion_entropy, distinctness
from sdpo_ref.simulation.world.exact import expected_score
from sdpo_ref.teachers.weights import Conditioning
from sdpo_ref.types import DistillationBatch, Feedback, Rollouts

REGIMES: tuple[RegimeName, ...] = ("binary", "ordinal", "scalar", "rubric", "critique")
KINDS = {"binary": 1, "ordinal": 1, "scalar": 1, "rubric": 5, "critique": 4}


def _sampled(world: World, rollouts: Rollouts) -> tuple[Tensor, Tensor, Tensor]:
    """Of each prompt's completions: scores, surprises, and the share of positions at which two of them differ."""
    scores = world.latent_score(rollouts.prompts.group_ids, rollouts.completions).reshape(16, -1)
    surprise = -rollouts.behaviour_log_probs.sum(-1).reshape(16, -1)
    first, second = rollouts.completions.reshape(16, -1, 2, 8).unbind(2)
    return scores, surprise, (first != second).double().mean(-1)


@pytest.mark.slow
def test_exact_expectations_agree_with_a_million_samples() -> None:
    """Expected score, entropy and distinctness of every prompt are within four standard errors of the sample mean."""
    world = World.draw(WorldSettings(), seed=3)
    policy = FirstOrderPolicy.base(world)
    table = policy.transition_log_probs().detach()
    portions = [  # a million completions at once need gigabytes
        policy.sample(every_prompt(world, 6_250), num_tokens=8, generator=random_stream(3, "samples", portion))
        for portion in range(10)
    ]
    assert sum(rollouts.completions.shape[0] for rollouts in portions) == 1_000_000
    scores, surprise, differ = (
        torch.cat(parts, dim=-1) for parts in zip(*(_sampled(world, one) for one in portions), strict=True)
    )
    for exact, sampled in (
        (expected_score(table, world.step_scores()), scores),
        (completion_entropy(table), surprise),
        (distinctness(table).mean(-1), differ),
    ):
        error = sampled.std(-1) / sampled.shape[-1] ** 0.5
        assert bool(((sampled.mean(-1) - exact).abs() <= 4 * error).all())
        assert float(error.max()) < 0.02  # small enough to tell


def conditioned(regime: RegimeName) -> tuple[World, FirstOrderPolicy, ReadFeedback]:
    """A world, its base policy, and a reader of one regime."""
    world = World.draw(WorldSettings(), seed=5)
    settings = ReaderSettings(feedback=RegimeSettings(regime=regime))
    knowledge = Knowledge.learn(annotate(world, seed=5), world.embeddings, basis="embedding", noise=1.0)
    return world, FirstOrderPolicy.base(world), ReadFeedback(Reader.from_settings(knowledge, settings), kappa=1.0)


def batch_of(
    world: World, policy: FirstOrderPolicy, conditioning: Conditioning, regime: RegimeName
) -> DistillationBatch:
    """Rollouts of the policy, judged by the regime's oracle and read through the conditioning."""
    oracle = build_oracle(world, OracleSettings(regimes=(RegimeSettings(regime=regime),)), seed=5)
    rollouts = policy.sample(every_prompt(world, 8), num_tokens=8, generator=random_stream(5, "rollouts"))
    view = conditioning.view(policy, rollouts, oracle.judge(rollouts, generator=random_stream(5, "judgement")))
    return DistillationBatch(
        policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask),
        view.logits,
        rollouts.completions,
        rollouts.completion_mask,
        view.self_distillation_mask,
    )


@pytest.mark.parametrize("regime", REGIMES)
def test_the_gradient_under_constant_feedback_is_exactly_zero(regime: RegimeName) -> None:
    """To the last bit: no weight moves, however many steps and whatever the optimiser divides by."""
    world, policy, reading = conditioned(regime)
    placebo = ConstantFeedback(reading, Feedback("always the same", (0.6,) * KINDS[regime]), 0.6)
    (gradient,) = torch.autograd.grad(
        sdpo_loss(batch_of(world, policy, placebo, regime), alpha=1.0), list(policy.parameters())
    )
    assert int(gradient.count_nonzero()) == 0
    (alive,) = torch.autograd.grad(
        sdpo_loss(batch_of(world, policy, reading, regime), alpha=1.0), list(policy.parameters())
    )
    assert int(alive.count_nonzero()) > 0


@pytest.mark.parametrize("regime", REGIMES)
def test_the_implicit_reward_is_the_credited_quality_minus_the_normalisers(regime: RegimeName) -> None:
    """Log π(y|x,c) − log π_k(y|x) = κ Σ_t E[q] − Σ_t log Σ_v π(v) exp(κ E[q_v]), to 1e-10."""
    world, policy, reading = conditioned(regime)
    batch = batch_of(world, policy, reading, regime)
    logits = batch.student_logits.detach()
    tilt = batch.teacher_logits - logits
    credited = tilt.gather(-1, batch.completions[..., None]).squeeze(-1).sum(-1)
    normalisers = (log_probs(logits).exp() * tilt.exp()).sum(-1).log().sum(-1)
    implicit = implicit_reward(batch.teacher_logits, logits, batch.completions, batch.completion_mask)
    assert float(implicit.abs().max()) > 0.1
    assert torch.allclose(implicit, credited - normalisers, rtol=0, atol=1e-10)
