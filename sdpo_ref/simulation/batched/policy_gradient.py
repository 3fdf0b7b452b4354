"""The baselines for many runs: advantages, and the gradients that they make in closed form.

The gradient of ``-A log p(y)`` in the scores after one prefix is ``A (p - [y])``; clipping takes tokens out of it.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.functional.advantages import STANDARDIZED_EPSILON
from sdpo_ref.functional.importance import MAX_LOG_RATIO
from sdpo_ref.simulation.batched.first_order import FirstOrder, Tokens, at_tokens
from sdpo_ref.simulation.batched.student import Adam, Students
from sdpo_ref.simulation.batched.update import Batch, Credit, Moment, Penalties

_CLIP = 0.2
_TRACE = 0.95
_BASELINE_RATE = 0.1
"""What the reference's trainers do by default, which is what the study uses."""

Advantages = Float[Tensor, "run prompt time rollout"]


class PolicyGradient:
    """Updates the students by given advantages.

    Args:
        batch: whose students are trained.
        epochs: updates on the same rollouts; from the second on, the ratio to the policy that sampled is clipped.
    """

    def __init__(self, batch: Batch, *, epochs: int = 1) -> None:
        self._students, self._penalties, self.epochs = batch.students, batch.penalties, epochs

    def update(self, moment: Moment, advantages: Advantages) -> None:
        """Update the students, once for each epoch.

        Args:
            moment: rollouts.
            advantages: of each token; constants.
        """
        policy, tokens = moment.policy, moment.tokens
        shares = advantages * (1 / tokens.ids[0].numel())
        for epoch in range(self.epochs):
            if epoch > 0:
                policy = FirstOrder.from_scores(self._students.scores(), policy.grammars)
            amounts = shares * self._factors(policy, moment, advantages) if epoch > 0 else shares
            gradient = _of_log_probs(policy, tokens, amounts)
            self._students.descend(self._penalties.add_to(gradient, policy, tokens))

    def _factors(self, policy: FirstOrder, moment: Moment, advantages: Advantages) -> Advantages:
        """The ratio to the policy that sampled, where moving on is still rewarded; before any update it is one."""
        log_ratio = policy.log_probs(moment.tokens) - moment.log_probs
        ratio = log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
        counts = (ratio * advantages <= ratio.clamp(1 - _CLIP, 1 + _CLIP) * advantages) & (
            log_ratio.abs() <= MAX_LOG_RATIO
        )
        return torch.where(counts, ratio, 0.0)


class ReinforceUpdate:
    """Reward less a moving baseline.

    Args:
        gradient: makes updates of the advantages.
    """

    def __init__(self, gradient: PolicyGradient) -> None:
        self._gradient = gradient
        self._baseline: Float[Tensor, " run"] | None = None

    def learn(self, moment: Moment, *, credited: bool) -> Credit | None:
        """One step of every run; the credit of each token before it, if ``credited``."""
        rewards = moment.judgements.rewards
        mean = rewards.mean((1, 2))
        baseline = mean if self._baseline is None else self._baseline
        self._gradient.update(moment, _broadcast(rewards - baseline[:, None, None], moment))
        self._baseline = baseline + _BASELINE_RATE * (mean - baseline)
        return Credit(_broadcast(rewards, moment)) if credited else None


class GroupUpdate:
    """Reward less that of the siblings: RLOO, or standardised as in GRPO.

    Args:
        gradient: makes updates of the advantages.
        standardized: whether to divide by the group's deviation.
    """

    def __init__(self, gradient: PolicyGradient, *, standardized: bool) -> None:
        self._gradient, self._standardized = gradient, standardized

    def learn(self, moment: Moment, *, credited: bool) -> Credit | None:
        """One step of every run; the credit of each token before it, if ``credited``."""
        rewards = moment.judgements.rewards
        size = rewards.shape[-1]
        centered = rewards - in_order(rewards) / size
        if self._standardized:
            spread = (in_order(centered.square()) / (size - 1)).sqrt()
            advantages = centered / (spread + STANDARDIZED_EPSILON)
        else:
            advantages = centered * (size / (size - 1))
        of_tokens = _broadcast(advantages, moment)
        self._gradient.update(moment, of_tokens)
        return Credit(of_tokens) if credited else None


class SpanUpdate:
    """Each span's rating less that of the siblings' same span.

    Args:
        gradient: makes updates of the advantages.
        spans: of the critiques.
    """

    def __init__(self, gradient: PolicyGradient, *, spans: int) -> None:
        self._gradient, self._spans = gradient, spans

    def learn(self, moment: Moment, *, credited: bool) -> Credit | None:
        """One step of every run; the credit of each token before it, if ``credited``."""
        has_feedback = moment.judgements.has_feedback
        has_feedback = has_feedback[:, :, None]
        ratings = torch.where(
            has_feedback, moment.judgements.ratings[0].transpose(2, 3), 0.0
        )  # [run, prompt, span, rollout]
        size = has_feedback.sum(-1, keepdim=True).to(ratings)
        centered = ratings - in_order(ratings) / size.clamp_min(1)
        advantages = torch.where(has_feedback, centered * (size / (size - 1).clamp_min(1)), 0.0)
        spans = torch.arange(moment.tokens.ids.shape[2]).tensor_split(self._spans)
        lengths = torch.tensor([len(span) for span in spans], device=ratings.device)
        of_tokens = advantages.repeat_interleave(lengths, dim=2)
        self._gradient.update(moment, of_tokens)
        return Credit(of_tokens) if credited else None


class PpoUpdate:
    """Generalised advantages over a learned value.

    Args:
        gradient: makes updates of the advantages.
        students: whose sizes the value has.
        learning_rates: of the value, for each run.
    """

    def __init__(self, gradient: PolicyGradient, students: Students, *, learning_rates: Float[Tensor, " run"]) -> None:
        self._gradient = gradient
        self._values: Float[Tensor, "run prompt time"] = torch.zeros_like(students.base[..., 0])
        self._adam = Adam([self._values], learning_rates)

    def learn(self, moment: Moment, *, credited: bool) -> Credit | None:
        """One step of every run; the credit of each token before it, if ``credited``."""
        old = self._values[..., None].expand(moment.tokens.ids.shape).clone()
        advantages = torch.empty_like(old)
        following, ahead = moment.judgements.rewards, torch.zeros_like(old[:, :, 0])
        for position in reversed(range(old.shape[2])):
            ahead = following - old[:, :, position] + _TRACE * ahead
            following = old[:, :, position]
            advantages[:, :, position] = ahead
        self._gradient.update(moment, advantages)
        targets = advantages + old
        for _ in range(self._gradient.epochs):
            errors = self._values[..., None] - targets
            self._adam.step([2 * errors.sum(-1) / targets[0].numel()])
        return Credit(advantages) if credited else None


class DpoUpdate:
    """The best of each group against the worst; without a pair and without a penalty nothing moves.

    Args:
        students: that are trained.
        penalties: for leaving the base policy.
        betas: of each run.
    """

    def __init__(self, students: Students, penalties: Penalties, *, betas: Float[Tensor, " run"]) -> None:
        self._students, self._penalties = students, penalties
        self._beta = betas[:, None]
        self._reference: FirstOrder | None = None

    def learn(self, moment: Moment, *, credited: bool) -> Credit | None:
        """One step of every run; the credit of each token before it, if ``credited``."""
        policy, tokens = moment.policy, moment.tokens
        if self._reference is None:
            self._reference = FirstOrder.from_scores(self._students.base, policy.grammars)
        rewards = moment.judgements.rewards
        pairs = rewards.amax(-1) > rewards.amin(-1)
        best, worst = rewards.argmax(-1, keepdim=True), rewards.argmin(-1, keepdim=True)
        log_ratios = (moment.log_probs - self._reference.log_probs(tokens)).sum(2)
        margins = (log_ratios.gather(-1, best) - log_ratios.gather(-1, worst)).squeeze(-1)
        pull = torch.where(pairs, self._beta * torch.sigmoid(-self._beta * margins), 0.0)
        pull = pull / pairs.sum(-1, keepdim=True).clamp_min(1)
        chosen = torch.zeros_like(rewards)
        chosen.scatter_(-1, best, pairs.to(rewards)[..., None]).scatter_(-1, worst, -pairs.to(rewards)[..., None])
        gradient = _of_log_probs(policy, tokens, _broadcast(chosen * pull[..., None], moment))
        stepping = pairs.any(-1) | self._penalties.is_paid
        self._students.descend(self._penalties.add_to(gradient, policy, tokens), stepping)
        return Credit(_broadcast(chosen, moment)) if credited else None


def _of_log_probs(policy: FirstOrder, tokens: Tokens, amounts: Advantages) -> Float[Tensor, "run prompt time vocab"]:
    """Gradient in the scores of minus the amounts times the tokens' log-probabilities."""
    return policy.spread(amounts, tokens) - at_tokens(amounts, tokens, policy.scores.shape[-1])


def in_order(numbers: Float[Tensor, "*batch rollout"]) -> Float[Tensor, "*batch 1"]:
    """Sum over a group one by one, as :func:`~sdpo_ref.functional.advantages.sum_of_group` adds up."""
    return numbers.cumsum(-1)[..., -1:]


def _broadcast(of_rollouts: Float[Tensor, "run prompt rollout"], moment: Moment) -> Advantages:
    return of_rollouts[:, :, None].expand(moment.tokens.ids.shape)
