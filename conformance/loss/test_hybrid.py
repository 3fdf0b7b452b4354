"""Reward and self-distillation in one step (spec/04-loss, F). Only gradients mean something here."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import pytest
import torch
from torch import Tensor

from sdpo_ref.types import SAMPLED_TOKEN, DistillationBatch
from sdpo_ref.vectors.store import Vector
from sdpo_ref.verification.checks.closed_form import losses_and_gradient, token_weights
from sdpo_ref.verification.checks.comparison import assert_close, assert_that
from sdpo_ref.verification.checks.inputs import input_generator, on_policy, random_batch, vector_parameters
from sdpo_ref.verification.checks.mismatch import NotAskedError
from sdpo_ref.verification.checks.subject import Subject
from sdpo_ref.verification.suite.capabilities import is_declared

GROUPS = torch.tensor([0, 0, 0, 0])
REWARDS = torch.tensor([1.0, 0.0, 0.0, 0.0])


def _gradient(subject: Subject, batch: DistillationBatch, reward_weight: float, rewards: Tensor = REWARDS) -> Tensor:
    return subject.hybrid_loss(
        batch, rewards.to(batch.student_logits), GROUPS, reward_weight=reward_weight, support=SAMPLED_TOKEN
    ).student


def _score(batch: DistillationBatch) -> Tensor:
    """Gradient of log p(y_t) with respect to the logits: one for the sampled token, minus the probabilities."""
    sampled = torch.nn.functional.one_hot(batch.completions, batch.student_logits.shape[-1])
    return sampled - batch.student_logits.softmax(-1)


@pytest.mark.parametrize("vector", vector_parameters("hybrid", part="hybrid_loss"))
def test_vectors(subject: Subject, not_applicable: Callable[[str], NoReturn], vector: Vector) -> None:
    """Gradients equal the derived ones, for the declared way of mixing."""
    if vector.options["hybrid"] != subject.profile.hybrid or subject.profile.group_advantage != "centered":
        not_applicable(f"the profile mixes {subject.profile.hybrid}s of {subject.profile.group_advantage} rewards")
    inputs, reward_weight = vector.inputs, vector.options["reward_weight"]
    assert isinstance(reward_weight, float)
    batch = DistillationBatch(
        inputs["student_logits"],
        inputs["teacher_logits"],
        inputs["completions"],
        inputs["completion_mask"],
        inputs["self_distillation_mask"],
    )
    sides = inputs["rewards"], inputs["group_ids"]

    def gradient(it: Subject) -> Tensor:
        return it.hybrid_loss(batch, *sides, reward_weight=reward_weight, support=SAMPLED_TOKEN).student

    if len(set(Counter(inputs["group_ids"].tolist()).values())) > 1:
        refused = subject.raises("hybrid_loss", gradient)
        if refused is not None:
            not_applicable(f"groups of unequal size are refused, which LOSS-118 allows: {refused}")
    assert_close(
        gradient(subject),
        vector.expected["gradient"],
        what="gradient w.r.t. the student's logits",
        relative=vector.tolerance.relative,
        absolute=vector.tolerance.absolute,
        given={"vector": vector.id, **vector.options, **vector.inputs},
        known_wrong=[wrong for wrong in vector.known_wrong if wrong.expected == "gradient"],
    )


@pytest.mark.requirement("LOSS-117")
@pytest.mark.parametrize("rewards", [[1.0, 0.0, 0.0, 0.0], [0.2, 0.9, 0.4, 0.3], [90.0, -40.0, 3.0, 0.5]])
def test_pure_reward(subject: Subject, rewards: list[float]) -> None:
    """At weight 1 every sampled token is pushed by its row's group advantage, over all sampled tokens."""
    batch = on_policy(random_batch(31))
    reward = torch.tensor(rewards, dtype=torch.float64)
    advantages = reward - reward.mean()
    wrong = advantages / (reward.std() + 1e-4)
    if subject.profile.group_advantage == "standardized":
        advantages, wrong = wrong, advantages
    mask = batch.completion_mask.double()
    unit = -_score(batch) * (mask / mask.sum())[..., None]
    found = _gradient(subject, batch, 1.0, reward)
    looks = torch.allclose(found, unit * wrong[:, None, None], rtol=1e-6)
    assert_close(
        found,
        unit * advantages[:, None, None],
        what=f"gradient of the {subject.profile.group_advantage} group advantage",
        relative=1e-6,  # rewards may pass through float32
        absolute=1e-9,
        given={
            "rewards": reward,
            "advantages": advantages,
            "matches the other kind of advantage": looks,
        },
    )


@pytest.mark.requirement("LOSS-117")
def test_pairs_of_rollouts(subject: Subject) -> None:
    """Two groups of two whose rows alternate: each row is compared with the other of its group."""
    batch, groups = on_policy(random_batch(34)), torch.tensor([5, 2, 5, 2])
    reward = torch.tensor([1.0, 0.5, 0.0, 0.75], dtype=torch.float64)
    advantages = torch.tensor([0.5, -0.125, -0.5, 0.125], dtype=torch.float64)
    if subject.profile.group_advantage == "standardized":
        deviations = torch.tensor([0.5, 0.125, 0.5, 0.125], dtype=torch.float64) * 2**0.5
        advantages /= deviations + 1e-4
    mask = batch.completion_mask.double()
    found = subject.hybrid_loss(batch, reward, groups, reward_weight=1.0, support=SAMPLED_TOKEN).student
    assert_close(
        found,
        -_score(batch) * (mask / mask.sum() * advantages[:, None])[..., None],
        what=f"gradient of the {subject.profile.group_advantage} group advantage",
        relative=1e-6,  # rewards may pass through float32
        absolute=1e-9,
        given={"rewards": reward, "group_ids": groups, "advantages": advantages},
    )


@pytest.mark.requirement("LOSS-093")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rewards_beside_half_precision(subject: Subject, dtype: torch.dtype) -> None:
    """Rewards that half precision would round to one number still have their advantages."""
    if is_declared("loss", subject.capabilities) and not subject.offers("loss.half"):
        raise NotAskedError("not offered: loss.half")
    half = on_policy(random_batch(37, dtype=dtype))
    exact = replace(half, student_logits=half.student_logits.double(), teacher_logits=half.teacher_logits.double())
    rewards = torch.tensor([1000.25, 1000.0, 1000.5, 1000.75])

    def gradient(batch: DistillationBatch) -> Tensor:
        return subject.hybrid_loss(batch, rewards, GROUPS, reward_weight=1.0, support=SAMPLED_TOKEN).student

    expected = gradient(exact)
    assert_close(
        gradient(half),
        expected,
        what="gradient",
        relative=2**-5,  # it may come back in half precision, which is 2^-8 of each entry
        absolute=2**-7 * float(expected.abs().max()),
        given={"dtype of the logits": dtype, "rewards": rewards},
    )


@pytest.mark.requirement("LOSS-117")
def test_padding_beside_a_vocabulary_of_one(subject: Subject) -> None:
    """Where there is one token only, no other id may stand in at padded positions, and no reward moves anything."""
    mask = torch.tensor([[True, False], [True, True]])
    logits = torch.ones(2, 2, 1, dtype=torch.float64)
    batch = DistillationBatch(logits, 2 * logits, torch.zeros(2, 2).long(), mask, mask[:, 0])
    found = subject.hybrid_loss(
        batch, REWARDS[:2].double(), GROUPS[:2], reward_weight=1.0, support=SAMPLED_TOKEN
    ).student
    assert_close(found, torch.zeros(2, 2, 1), what="gradient of a certain token", given={"vocab": 1})


@pytest.mark.requirement("LOSS-071")
@pytest.mark.parametrize("reward_weight", [0.02, 0.1, 0.5, 0.9, 0.99])
def test_convex_combination(subject: Subject, reward_weight: float) -> None:
    """Between the ends the gradient is the weighted mean of the gradients at the ends."""
    batch = on_policy(random_batch(32))
    distillation, reward = (_gradient(subject, batch, end) for end in (0.0, 1.0))
    assert_close(
        _gradient(subject, batch, reward_weight),
        reward_weight * reward + (1 - reward_weight) * distillation,
        what="gradient of the mixture",
        relative=1e-9,
        given={"reward_weight": reward_weight},
    )


@pytest.mark.requirement("LOSS-072")
def test_pure_self_distillation(subject: Subject) -> None:
    """At weight 0 rewards have no effect, and the gradient is that of reverse KL on the sampled token."""
    batch = on_policy(random_batch(33))
    other_rewards = torch.tensor([5.0, -3.0, 0.5, 2.0])
    found = _gradient(subject, batch, 0.0)
    assert_close(
        _gradient(subject, batch, 0.0, other_rewards),
        found,
        what="gradient at reward_weight 0 under other rewards",
        given={"rewards": other_rewards, "instead of": REWARDS},
    )
    p, q = batch.student_logits.log_softmax(-1), batch.teacher_logits.log_softmax(-1)
    chosen = batch.completions[..., None]
    advantage = (q - p).gather(-1, chosen).squeeze(-1)
    if subject.profile.hybrid == "advantage":
        tokens = batch.completion_mask.double()
        weights = batch.loss_mask / tokens.sum()
    else:
        weights = token_weights(batch.loss_mask, subject.profile.aggregation)
    assert_close(
        found,
        -(weights * advantage)[..., None] * _score(batch),
        what="gradient of pure self-distillation",
        relative=1e-9,
        absolute=1e-12,
        given={"reward_weight": 0.0, "support": "sampled_token", "mixing": subject.profile.hybrid},
    )


@pytest.mark.requirement("LOSS-072")
def test_pure_self_distillation_on_every_support(subject: Subject, not_applicable: Callable[[str], NoReturn]) -> None:
    """Where losses are mixed, that of self-distillation is taken on the support that is asked for."""
    if subject.profile.hybrid != "loss":
        not_applicable("advantages are mixed on the sampled token only")
    batch = on_policy(random_batch(35))
    for on in subject.offered.each("hybrid_loss", at=1.0):
        found = subject.hybrid_loss(batch, REWARDS.double(), GROUPS, reward_weight=0.0, support=on.support).student
        assert_close(
            found,
            losses_and_gradient(batch, subject.profile, **on.options)[1],
            what="gradient of pure self-distillation",
            relative=1e-9,
            absolute=1e-12,
            given={"reward_weight": 0.0, **on.given},
        )


@pytest.mark.requirement("LOSS-101")
@pytest.mark.parametrize("reward_weight", [-0.1, 1.5, math.nan, -1e-6, 1 + 1e-6])
def test_refuses_reward_weight(subject: Subject, reward_weight: float) -> None:
    """A weight outside [0, 1] raises."""
    batch = on_policy(random_batch(39))
    refused = subject.raises("hybrid_loss", lambda it: _gradient(it, batch, reward_weight))
    assert_that(refused is not None, "an error that names the weight", "a result", {"reward_weight": reward_weight})


@pytest.mark.requirement("LOSS-118")
def test_alone_in_its_group(subject: Subject) -> None:
    """The only rollout of a prompt is neither better nor worse than its group, whatever its reward."""
    batch = on_policy(random_batch(38))
    rewards, groups = torch.tensor([1.0, 0.0, 0.0, 0.7], dtype=torch.float64), torch.tensor([0, 0, 0, 1])

    def gradient(it: Subject) -> Tensor:
        return it.hybrid_loss(batch, rewards, groups, reward_weight=1.0, support=SAMPLED_TOKEN).student

    if subject.raises("hybrid_loss", gradient) is not None:
        return  # refusing groups of unequal size is as good
    found = gradient(subject)[3]
    assert_close(
        found,
        torch.zeros_like(found),
        what="gradient of the rollout that is alone",
        absolute=1e-12,
        given={"rewards": rewards, "group_ids": groups},
    )


@pytest.mark.requirement("LOSS-117")
@pytest.mark.parametrize(("groups", "size"), [(1, 1_500), (700, 2)])
def test_many_rollouts(subject: Subject, groups: int, size: int) -> None:
    """A group of 1,500 rollouts, and 700 groups of two: the sign of each advantage is that of reward minus mean."""
    rows = groups * size
    generator = input_generator(36)
    logits = torch.randn(rows, 1, 3, generator=generator, dtype=torch.float64)
    true = torch.ones(rows, 1, dtype=torch.bool)
    batch = DistillationBatch(logits, logits, torch.zeros(rows, 1, dtype=torch.long), true, true[:, 0])
    ids = torch.arange(rows) % groups
    rewards = torch.rand(rows, generator=generator, dtype=torch.float64)
    rewards += torch.arange(rows) // groups % 2 * 2.0  # no group's deviation is so small that float32 shows in it
    of_group = rewards.reshape(size, groups)
    advantages = of_group - of_group.mean(0)
    if subject.profile.group_advantage == "standardized":
        advantages = advantages / (of_group.std(0) + 1e-4)
    found = subject.hybrid_loss(batch, rewards, ids, reward_weight=1.0, support=SAMPLED_TOKEN).student
    assert_close(
        found,
        -_score(batch) * (advantages.reshape(rows, 1) / rows)[..., None],
        what=f"gradient of the {subject.profile.group_advantage} group advantage",
        relative=1e-6,  # rewards may pass through float32
        absolute=1e-7 / rows,
        given={"groups": groups, "rollouts of each": size},
    )


@pytest.mark.requirement("LOSS-072")
def test_many_rollouts_without_a_reward(subject: Subject) -> None:
    """At weight 0 each of 1,500 rollouts is moved by its own teacher."""
    sides = torch.randn(2, 1_500, 1, 3, generator=input_generator(37), dtype=torch.float64)
    true = torch.ones(1_500, 1, dtype=torch.bool)
    batch = DistillationBatch(sides[0], sides[1], torch.zeros(1_500, 1, dtype=torch.long), true, true[:, 0])
    rewards, ids = torch.zeros(1_500, dtype=torch.float64), torch.zeros(1_500, dtype=torch.long)
    found = subject.hybrid_loss(batch, rewards, ids, reward_weight=0.0, support=SAMPLED_TOKEN).student
    advantage = (sides[1].log_softmax(-1) - sides[0].log_softmax(-1))[..., :1]
    weights = token_weights(batch.loss_mask, subject.profile.aggregation)[..., None]
    if subject.profile.hybrid == "advantage":
        weights = torch.full_like(weights, 1 / 1_500)
    given = {"reward_weight": 0.0, "rollouts": 1_500}
    assert_close(
        found, -weights * advantage * _score(batch), what="gradient", relative=1e-9, absolute=1e-13, given=given
    )
