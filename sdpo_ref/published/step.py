"""One step of the published study: from what was sampled to what the logits are moved against.

Data flows one way: true reward -> rating -> feedback (where a control may change it) -> teachers -> gradient.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.published.batch import Batch
from sdpo_ref.published.feedback import feedback_of, rating
from sdpo_ref.published.gradients import (
    advantage_weighted_gradient,
    hybrid_weight,
    reinforce_gradient,
    sdpo_gradient,
)
from sdpo_ref.published.teacher import teachers, tilt
from sdpo_ref.published.world import at_tokens


@dataclass(frozen=True)
class Moment:
    """What a step begins with.

    Attributes:
        logits: of the student.
        student: its probabilities.
        tokens: that it sampled.
        rewards: true reward of each completion.
        noise: of the ratings, standard normal.
        hints: errors of a critique's hints, standard normal.
    """

    logits: Float[Tensor, "run time vocab"]
    student: Float[Tensor, "run time vocab"]
    tokens: Int[Tensor, "run rollout time"]
    rewards: Float[Tensor, "run rollout"]
    noise: Float[Tensor, "run rollout"]
    hints: Float[Tensor, "run rollout time"]


@dataclass(frozen=True)
class Descent:
    """What a step is moved by.

    Attributes:
        gradient: what the logits are moved against.
        feedback: mean of what the teachers were given; ``None`` without teachers.
        weight: of SDPO in the hybrid; ``None`` for other methods.
    """

    gradient: Float[Tensor, "run time vocab"]
    feedback: Float[Tensor, " run"] | None = None
    weight: Float[Tensor, " run"] | None = None


def descent(batch: Batch, moment: Moment) -> Descent:
    """The gradient of every run, as its method makes it.

    Args:
        batch: of runs.
        moment: what was sampled.
    """
    student, tokens = moment.student, moment.tokens
    rated = ratings(batch, tokens, moment.rewards, moment.noise)
    method = batch.settings[0].method
    if method == "reinforce":
        return Descent(reinforce_gradient(student, tokens, rated))
    if method == "advantage_weighted":
        return Descent(advantage_weighted_gradient(student, tokens, rated, batch.world.quality))
    feedback = given_feedback(batch, rated, moment.rewards)
    taught = teachers(moment.logits, tilts(batch, tokens, feedback, hints_of(batch, tokens, moment.hints)))
    start = torch.full_like(student, 1 / student.shape[-1])
    ours = sdpo_gradient(student, taught, start, batch.numbers("pull"))
    if method == "sdpo":
        return Descent(ours, feedback.mean(1))
    weight = hybrid_weight(student, taught, batch.numbers("gate"))
    share = weight[:, None, None]
    mixed = share * ours + (1 - share) * reinforce_gradient(student, tokens, rated)
    return Descent(mixed, feedback.mean(1), weight)


def ratings(
    batch: Batch,
    tokens: Int[Tensor, "run rollout time"],
    rewards: Float[Tensor, "run rollout"],
    noise: Float[Tensor, "run rollout"],
) -> Float[Tensor, "run rollout"]:
    """The rating of each completion.

    Args:
        batch: of runs.
        tokens: of each completion.
        rewards: its true reward.
        noise: standard normal.
    """
    settings = batch.settings[0]
    every = settings.constants.effective_length == "all"
    counted = torch.ones_like(tokens) if every else tokens != 0
    return rating(
        rewards,
        batch.numbers("noise")[:, None] * noise,
        settings.bias,
        length=counted.to(rewards).mean(-1),
        first=at_tokens(batch.world.quality, tokens)[..., 0],
    )


def given_feedback(
    batch: Batch, rated: Float[Tensor, "run rollout"], rewards: Float[Tensor, "run rollout"]
) -> Float[Tensor, "run rollout"]:
    """The feedback that each completion's teacher is given; a control may change it.

    Implements: PUB-041, PUB-044.

    Args:
        batch: of runs.
        rated: rating of each completion.
        rewards: its true reward.
    """
    settings = batch.settings[0]
    given = feedback_of(rated, settings.feedback)
    if settings.control.feedback == "other":
        given = given.roll(1, 1)
    elif settings.control.feedback != "own":
        given = batch.constant_feedback()[:, None].expand_as(given)
    if settings.control.equal_mean:
        plain = feedback_of(rewards, settings.feedback)
        given = given + (plain.mean(1) - given.mean(1))[:, None]
    return given


def hints_of(
    batch: Batch, tokens: Int[Tensor, "run rollout time"], errors: Float[Tensor, "run rollout time"]
) -> Float[Tensor, "run rollout time"] | None:
    """A critique's hint at each token; ``None`` for other kinds of feedback.

    Args:
        batch: of runs.
        tokens: of each completion.
        errors: of the hints, standard normal.
    """
    if batch.settings[0].feedback != "critique":
        return None
    return at_tokens(batch.told, tokens) + batch.numbers("hint_noise")[:, None, None] * errors


def tilts(
    batch: Batch,
    tokens: Int[Tensor, "run rollout time"],
    feedback: Float[Tensor, "run rollout"],
    hints: Float[Tensor, "run rollout time"] | None,
) -> Float[Tensor, "run rollout time vocab"]:
    """What each completion's teacher adds to the logits; a control may show the hint.

    Implements: PUB-043.

    Args:
        batch: of runs.
        tokens: of each completion.
        feedback: that its teacher is given.
        hints: of a critique.
    """
    hinted = None
    if hints is not None and batch.settings[0].control.hints == "token":
        hinted = torch.nn.functional.one_hot(tokens, batch.told.shape[-1]).bool()
    return tilt(batch.told, feedback, batch.numbers("strength"), hints=hints, hinted=hinted)
