"""SDPO, SDFT and the hybrids for many runs: gradients in closed form.

With D the teacher's direction, p the student and p_T, proportional to p exp(D), the teacher, the gradients in the
scores after one prefix are

    reverse KL(p‖p_T)      p (E_p D - D)
    forward KL(p_T‖p)      p - p_T = (p E_p expm1(D) - p expm1(D)) / E_p exp(D)
    sampled token y        A (p - [y]),   A = log p_T(y) - log p(y)

D is taken relative to the likeliest token, so that nothing cancels where the policy is almost certain: Adam divides
small gradients by small numbers, and rounding would come back enlarged.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sdpo_ref.simulation.batched.first_order import FirstOrder, at_tokens
from sdpo_ref.simulation.batched.policy_gradient import PolicyGradient, in_order
from sdpo_ref.simulation.batched.student import Students
from sdpo_ref.simulation.batched.teacher import DemonstrationTeachers, FeedbackTeachers, View
from sdpo_ref.simulation.batched.update import Credit, Moment, Penalties
from sdpo_ref.trainers.advantage_weighted import SHARE_EPSILON


class SdpoUpdate:
    """Reverse KL to the self-teacher over the whole vocabulary.

    Args:
        students: that are trained.
        teachers: of the students.
        penalties: for leaving the base policy.
    """

    def __init__(self, students: Students, teachers: FeedbackTeachers, penalties: Penalties) -> None:
        self._students, self._teachers, self._penalties = students, teachers, penalties

    def learn(self, moment: Moment, *, credited: bool) -> Credit | None:
        """One step of every run; the credit of each token before it, if ``credited``."""
        view = self._teachers.view(moment)
        gradient = sdpo_gradient(moment, view)
        credit = Credit(implicit_rewards(moment, view), view.direction) if credited else None
        self._students.descend(self._penalties.add_to(gradient, moment.policy, moment.tokens))
        self._teachers.update()
        return credit


class SdftUpdate:
    """Forward KL to the teacher that has seen a demonstration; a step without one leaves everything as it is.

    Args:
        students: that are trained.
        teachers: of the students.
        penalties: for leaving the base policy.
    """

    def __init__(self, students: Students, teachers: DemonstrationTeachers, penalties: Penalties) -> None:
        self._students, self._teachers, self._penalties = students, teachers, penalties

    def learn(self, moment: Moment, *, credited: bool) -> Credit | None:
        """One step of every run; the credit of each token before it, if ``credited``."""
        view = self._teachers.view(moment)
        policy, tokens = moment.policy, moment.tokens
        weights = _token_weights(view.usable, moment)
        ratios_minus_one = view.direction.expm1()
        expected = policy.expected(ratios_minus_one, tokens)
        shares = weights / (1 + expected)
        gradient = policy.spread(shares * expected, tokens) - ratios_minus_one * policy.spread(shares, tokens)
        credit = Credit(implicit_rewards(moment, view), view.direction) if credited else None
        stepping = view.usable.any(-1) | self._penalties.is_paid
        self._students.descend(self._penalties.add_to(gradient, policy, tokens), stepping)
        return credit


class HybridUpdate:
    """Group advantage of the reward and log-ratio of the teacher on the sampled token, mixed.

    Args:
        students: that are trained.
        teachers: of the students.
        penalties: for leaving the base policy.
        reward_weights: of each run.
        gated: whether a group whose teacher contradicts the reward learns from the reward alone.
    """

    def __init__(
        self,
        students: Students,
        teachers: FeedbackTeachers,
        penalties: Penalties,
        *,
        reward_weights: Float[Tensor, " run"],
        gated: bool,
    ) -> None:
        self._students, self._teachers, self._penalties = students, teachers, penalties
        self._gated = gated
        self._reward_weight = reward_weights[:, None, None, None]

    def learn(self, moment: Moment, *, credited: bool) -> Credit | None:
        """One step of every run; the credit of each token before it, if ``credited``."""
        view = self._teachers.view(moment)
        policy, tokens = moment.policy, moment.tokens
        implicit = implicit_rewards(moment, view)
        of_reward = centered_rewards(moment)
        weight = self._reward_weight
        if self._gated:
            agree = _agree(implicit.sum(2), moment.judgements.rewards)
            weight = torch.where(agree[..., None, None], weight, 1.0)
        advantages = weight * of_reward + (1 - weight) * implicit
        amounts = advantages * (1 / implicit[0].numel())
        gradient = policy.spread(amounts, tokens) - at_tokens(amounts, tokens, policy.scores.shape[-1])
        self._students.descend(self._penalties.add_to(gradient, policy, tokens))
        self._teachers.update()
        return Credit(advantages, view.direction) if credited else None


class KlGatedUpdate:
    """Losses of teacher and reward, mixed by the mean divergence of the teacher from the student.

    Args:
        students: that are trained.
        teachers: of the students.
        penalties: for leaving the base policy.
        thresholds: of each run, in nats per token.
    """

    def __init__(
        self,
        students: Students,
        teachers: FeedbackTeachers,
        penalties: Penalties,
        *,
        thresholds: Float[Tensor, " run"],
    ) -> None:
        self._students, self._teachers, self._penalties = students, teachers, penalties
        self._threshold = thresholds

    def learn(self, moment: Moment, *, credited: bool) -> Credit | None:
        """One step of every run; the credit of each token before it, if ``credited``."""
        view = self._teachers.view(moment)
        policy, tokens = moment.policy, moment.tokens
        divergence = (_token_weights(view.usable, moment) * _divergences(moment, view)).sum((1, 2, 3))
        weight = torch.sigmoid((divergence - self._threshold) / (self._threshold / 3))[:, None, None, None]
        of_reward = centered_rewards(moment).expand(tokens.ids.shape)
        amounts = (1 - weight) * of_reward * (1 / tokens.ids[0].numel())
        gradient = policy.spread(amounts, tokens) - at_tokens(amounts, tokens, policy.scores.shape[-1])
        gradient = gradient + weight * sdpo_gradient(moment, view)
        credit = (
            Credit(weight * implicit_rewards(moment, view) + (1 - weight) * of_reward, view.direction)
            if credited
            else None
        )
        self._students.descend(self._penalties.add_to(gradient, policy, tokens))
        self._teachers.update()
        return credit


class AdvantageWeightedUpdate:
    """The reward's advantage, shared out over a rollout's tokens by how much the teacher prefers them.

    Args:
        gradient: makes updates of the advantages.
        teachers: of the students.
        signed: whether shares have the sign of the quality.
    """

    def __init__(self, gradient: PolicyGradient, teachers: FeedbackTeachers, *, signed: bool) -> None:
        self._gradient, self._teachers, self._signed = gradient, teachers, signed

    def learn(self, moment: Moment, *, credited: bool) -> Credit | None:
        """One step of every run; the credit of each token before it, if ``credited``."""
        view = self._teachers.view(moment)
        above = (view.direction - view.direction.mean(-1, keepdim=True)).gather(-1, moment.tokens.ids)
        above = torch.where(view.usable[..., None, None], above, 0.0)
        sizes = above.abs()
        shares = (above if self._signed else sizes) / (sizes.sum(2, keepdim=True) + SHARE_EPSILON)
        advantages = centered_rewards(moment) * shares
        self._gradient.update(moment, advantages)
        self._teachers.update()
        return Credit(advantages, view.direction) if credited else None


def centered_rewards(moment: Moment) -> Float[Tensor, "run prompt 1 rollout"]:
    """Each rollout's reward less the mean of its group.

    Args:
        moment: rollouts and their judgement.
    """
    rewards = moment.judgements.rewards
    return (rewards - in_order(rewards) / rewards.shape[-1])[:, :, None]


def sdpo_gradient(moment: Moment, view: View) -> Float[Tensor, "run prompt time vocab"]:
    """Gradient of the loss of SDPO, reverse KL over the whole vocabulary and mean over tokens, in the scores.

    Args:
        moment: rollouts.
        view: of the teachers.
    """
    policy, tokens = moment.policy, moment.tokens
    weights = _token_weights(view.usable, moment)
    gradient = policy.spread(weights * policy.expected(view.direction, tokens), tokens)
    return gradient - view.direction * policy.spread(weights, tokens)


def implicit_rewards(moment: Moment, view: View) -> Float[Tensor, "run prompt time rollout"]:
    """How much likelier the teacher finds each sampled token than the student, in nats; 0 without feedback."""
    log_ratios = _taught(moment.policy, view).log_probs(moment.tokens) - moment.log_probs
    return torch.where(view.usable[..., None, None], log_ratios, 0.0)


def _divergences(moment: Moment, view: View) -> Float[Tensor, "run prompt time rollout"]:
    r"""KL(teacher‖student) before each token, :math:`E_p[D e^D] / E_p[e^D] - \log E_p[e^D]`, in nats."""
    policy, tokens = moment.policy, moment.tokens
    mass = policy.expected(view.direction.expm1(), tokens)
    tilted = policy.expected(view.direction * view.direction.exp(), tokens)
    return tilted / (1 + mass) - mass.log1p()


def _taught(policy: FirstOrder, view: View) -> FirstOrder:
    """The teacher as a policy."""
    return FirstOrder.from_scores(policy.scores + view.direction, policy.grammars)


def _token_weights(usable: Bool[Tensor, "run prompt"], moment: Moment) -> Float[Tensor, "run prompt time rollout"]:
    """One over the number of tokens in usable rows, there; zero elsewhere."""
    _, _, time, rollouts = moment.tokens.ids.shape
    counted = usable.to(moment.log_probs)
    weights = counted / (counted.sum(-1, keepdim=True) * time * rollouts).clamp_min(1)
    return weights[..., None, None].expand(moment.tokens.ids.shape)


def _agree(
    scores: Float[Tensor, "run prompt rollout"], rewards: Float[Tensor, "run prompt rollout"]
) -> Bool[Tensor, "run prompt"]:
    """Groups in which scores and rewards have a positive covariance; not those without feedback."""
    products = (scores[..., None] - scores[..., None, :]) * (rewards[..., None] - rewards[..., None, :])
    return products.sum((-2, -1)) > 0
