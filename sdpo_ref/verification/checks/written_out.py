"""A trainer written out: gradient, penalty and Adam as formulas, without autograd and without code of the reference.

What the first steps of any trainer are compared with (spec/05-trainer, B). With another :class:`Way` it is one that is
known to be wrong, so that a trainer that differs can be told which of them it looks like.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from sdpo_ref.protocols import Policy, Teacher
from sdpo_ref.protocols.profile import Profile
from sdpo_ref.types import Judgement, Rollouts
from sdpo_ref.verification.checks.closed_form import token_weights

FIRST_MOMENT, SECOND_MOMENT = 0.9, 0.999
"""How slowly Adam forgets; those of its paper and of PyTorch."""

EPSILON, LARGEST_EPSILON = 1e-8, 1e-5
"""Adam adds the first to the root of the second moment; up to the second, which is also in use, it is Adam."""


class TablePolicy(Policy, Protocol):
    """**Protocol:** a policy whose only trained weights are one logit for each prompt, position and token."""

    @property
    def table(self) -> Tensor:
        """Logits before those that the previous token adds."""
        ...


@dataclass(frozen=True)
class Tokens:
    """What one optimiser step is made of.

    Attributes:
        student: the student's logits for each token.
        teacher: the teacher's.
        completions: sampled ids; anything where the mask is False.
        sampled: True where a token was sampled.
        usable: True for rows whose teacher has a context.
        rewards: of each rollout.
        group_ids: prompt of each rollout.
        profile: gives the aggregation.
    """

    student: Tensor
    teacher: Tensor
    completions: Tensor
    sampled: Tensor
    usable: Tensor
    rewards: Tensor
    group_ids: Tensor
    profile: Profile

    @property
    def counted(self) -> Tensor:
        """True where a token takes part in the loss."""
        return self.sampled & self.usable[:, None]

    @property
    def ids(self) -> Tensor:
        """Sampled ids, and 0 where nothing was sampled."""
        return torch.where(self.sampled, self.completions, 0)


def reverse_kl(tokens: Tokens) -> Tensor:
    r"""Gradient of KL(student ‖ teacher) with respect to the student's logits, for each token by itself.

    .. math::
        p_v \Big( \log \frac{p_v}{q_v} - \sum_u p_u \log \frac{p_u}{q_u} \Big)
    """
    return slope_of_kl(tokens.student.log_softmax(-1), tokens.teacher.log_softmax(-1))


def slope_of_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """The same from log-probabilities."""
    ratio = log_p - log_q
    return log_p.exp() * (ratio - (log_p.exp() * ratio).sum(-1, keepdim=True))


def declared(tokens: Tokens) -> Tensor:
    """The weight of each token in the loss under the declared aggregation."""
    return token_weights(tokens.counted, tokens.profile.aggregation)


def of_all_sampled(tokens: Tokens) -> Tensor:
    """The weight of each token in the hybrid's loss: a mean over all sampled tokens, usable or not."""
    return token_weights(tokens.sampled, "token_mean")


def as_read(tokens: Tokens) -> Tensor:
    """The teacher's logits as it gave them."""
    return tokens.teacher


@dataclass(frozen=True)
class Way:
    """How to train; without arguments, as the specification says.

    Attributes:
        teacher: whose weights the teacher has: the student's of now, of one call before, or of the start.
        scores: the teacher's logits that are compared.
        slope: gradient of each token's loss with respect to the student's logits.
        weigh: weight of each token in the loss.
        rate: of the learning rate that was asked for.
        decay: by which every step shrinks the weights, times the learning rate.
        pull: weights times this are added to the gradient.
        limit: largest norm of the gradient.
        clears: whether the gradient of the step before is cleared.
        times: updates on each part of the rollouts.
        adaptive: whether the step is Adam's; otherwise that of plain gradient descent.
        moments: how slowly Adam forgets.
        epsilon: of Adam.
        leaves_out: whether what has no weight is left out; otherwise it is multiplied by zero.
    """

    teacher: Literal["now", "before", "start"] = "now"
    scores: Callable[[Tokens], Tensor] = as_read
    slope: Callable[[Tokens], Tensor] = reverse_kl
    weigh: Callable[[Tokens], Tensor] = declared
    rate: float = 1.0
    decay: float = 0.0
    pull: float = 0.0
    limit: float | None = None
    clears: bool = True
    times: int = 1
    adaptive: bool = True
    moments: tuple[float, float] = (FIRST_MOMENT, SECOND_MOMENT)
    epsilon: float = EPSILON
    leaves_out: bool = True


RIGHT = Way()
"""As the specification says."""


@dataclass(frozen=True)
class Hybrid:
    r"""Gradient of the hybrid's loss with respect to the student's logits, for each sampled token by itself.

    .. math::
        -A \, (1[v = y] - p_v), \qquad
        A = \lambda (r - \bar r) + (1 - \lambda) \log \frac{q_y}{p_y}

    The log-ratio is zero in a row without a context. Behind a closed gate the weight of the reward is one.

    Attributes:
        reward_weight: of the reward, behind an open gate.
        gated: whether a group's gate is open only if the teacher's implicit rewards and the rewards of its usable rows
            have a positive covariance.
    """

    reward_weight: float
    gated: bool

    def __call__(self, tokens: Tokens) -> Tensor:
        """The slopes."""
        log_p, log_q = tokens.student.log_softmax(-1), tokens.teacher.log_softmax(-1)
        sampled = (log_q - log_p).gather(-1, tokens.ids[..., None]).squeeze(-1)
        of_teacher = torch.where(tokens.counted, sampled, 0.0)
        weight = torch.full_like(tokens.rewards.double(), self.reward_weight)
        if self.gated:
            weight = torch.where(self.is_open(tokens, of_teacher.sum(-1)), weight, 1.0)
        advantages = weight[:, None] * _reward_advantages(tokens)[:, None] + (1 - weight)[:, None] * of_teacher
        is_sampled = torch.nn.functional.one_hot(tokens.ids, log_p.shape[-1])
        return -advantages[..., None] * (is_sampled - log_p.exp())

    def is_open(self, tokens: Tokens, implicit: Tensor) -> Tensor:
        """Whether the gate of each row's group is open.

        Args:
            tokens: of all rows.
            implicit: reward of each rollout, in nats.
        """
        found = torch.zeros_like(tokens.usable)
        for members in _groups(tokens):
            usable = members & tokens.usable
            score, reward = implicit[usable].double(), tokens.rewards[usable].double()
            found[members] = bool(usable.any()) and float(((score - score.mean()) * (reward - reward.mean())).sum()) > 0
        return found


def _reward_advantages(tokens: Tokens) -> Tensor:
    """Rewards less their group's mean, divided by its spread where that is declared."""
    found = torch.zeros_like(tokens.rewards.double())
    for members in _groups(tokens):
        centered = tokens.rewards[members].double() - tokens.rewards[members].double().mean()
        if tokens.profile.group_advantage == "standardized":
            spread = (centered.square().sum() / max(len(centered) - 1, 1)).sqrt()
            centered = centered / (spread + 1e-4)
        found[members] = centered
    return found


def _groups(tokens: Tokens) -> list[Tensor]:
    """True for the rows of each group."""
    return [tokens.group_ids == group for group in sorted(set(tokens.group_ids.tolist()))]


@dataclass
class WrittenOut:
    """The trainer; implements :class:`~sdpo_ref.protocols.Trainer` for a policy that is a table.

    Attributes:
        policy: the student, trained in place.
        teacher: of the same policy.
        learning_rate: of Adam.
        profile: aggregation of tokens, and accumulation of micro-batches.
        way: how to train.
        reference: the policy to stay near to.
        kl_weight: of the divergence from it.
        optimizer_steps: into how many optimiser steps the rollouts of one call are cut.
        micro_batches: into how many parts each optimiser step is cut.
        gradients: what the optimiser received, one for each of its steps.
    """

    policy: TablePolicy
    teacher: Teacher
    learning_rate: float
    profile: Profile = field(default_factory=Profile)
    way: Way = RIGHT
    reference: Policy | None = None
    kl_weight: float = 0.0
    optimizer_steps: int = 1
    micro_batches: int = 1
    gradients: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Remember where training began."""
        self._start = self._before = self._weights()
        self._first, self._second = torch.zeros_like(self._start), torch.zeros_like(self._start)
        self._gradient = torch.zeros_like(self._start)

    def step(self, rollouts: Rollouts, judgement: Judgement) -> None:
        """One call: the rollouts in as many optimiser steps as were asked for.

        Args:
            rollouts: to learn from.
            judgement: on them.
        """
        now = self._weights()
        for part in torch.arange(rollouts.completions.shape[0]).tensor_split(self.optimizer_steps):
            for _ in range(self.way.times):
                self._update(rollouts, judgement, part)
        self._before = now

    def _update(self, rollouts: Rollouts, judgement: Judgement, rows: Tensor) -> None:
        tokens = self._tokens(rollouts, judgement)
        tokens = replace(tokens, teacher=self.way.scores(tokens))
        gradient = self._gradient_of(tokens, rows) + self._gradient_of_penalty(rollouts, rows)
        self._gradient = gradient if self.way.clears else self._gradient + gradient
        received = self._gradient
        if self.way.limit is not None:
            received = received * min(1.0, self.way.limit / max(float(received.norm()), 1e-300))
        self.gradients.append(received)
        received = received + self.way.pull * self._weights()
        with torch.no_grad():
            rate = self.way.rate * self.learning_rate
            self.policy.table.mul_(1 - rate * self.way.decay)
            self.policy.table.sub_(rate * (self._adam(received) if self.way.adaptive else received))

    def _tokens(self, rollouts: Rollouts, judgement: Judgement) -> Tokens:
        inputs = rollouts.prompts, rollouts.completions, rollouts.completion_mask
        now = self._weights()
        with torch.no_grad():
            student = self.policy.logits(*inputs)
            self.policy.table.copy_({"now": now, "before": self._before, "start": self._start}[self.way.teacher])
            view = self.teacher.view(rollouts, judgement)
            self.policy.table.copy_(now)
        return Tokens(
            student,
            view.logits.detach(),
            rollouts.completions,
            rollouts.completion_mask,
            view.self_distillation_mask,
            judgement.rewards,
            rollouts.prompts.group_ids,
            self.profile,
        )

    def _gradient_of(self, tokens: Tokens, rows: Tensor) -> Tensor:
        """Of the loss of some rows, cut into micro-batches."""
        slopes = self.way.slope(tokens)
        weights = torch.zeros(tokens.sampled.shape, dtype=torch.float64)
        parts = [part for part in rows.tensor_split(self.micro_batches) if part.numel()]
        together = self.profile.accumulation == "global"
        for part in [rows] if together else parts:
            only = torch.zeros_like(tokens.usable)
            only[part] = True
            share = 1.0 if together else 1 / len(parts)
            kept = replace(tokens, usable=tokens.usable & only, sampled=tokens.sampled & only[:, None])
            weights[part] = share * self.way.weigh(_rows(kept, part)).double()
        return self._on_the_table(tokens.group_ids, weights, slopes)

    def _gradient_of_penalty(self, rollouts: Rollouts, rows: Tensor) -> Tensor:
        if self.reference is None:
            return torch.zeros_like(self._start)
        inputs = rollouts.prompts, rollouts.completions, rollouts.completion_mask
        with torch.no_grad():
            log_p, log_q = (one.logits(*inputs).log_softmax(-1) for one in (self.policy, self.reference))
        weights = torch.zeros(rollouts.completion_mask.shape, dtype=torch.float64)
        weights[rows] = rollouts.completion_mask[rows] / rollouts.completion_mask[rows].sum().clamp_min(1).double()
        return self.kl_weight * self._on_the_table(rollouts.prompts.group_ids, weights, slope_of_kl(log_p, log_q))

    def _on_the_table(self, group_ids: Tensor, weights: Tensor, slopes: Tensor) -> Tensor:
        """What tokens add to the gradient of the logits of their prompts and positions; garbage without weight is 0."""
        gradient = torch.zeros_like(self._start)
        weighted = weights[..., None] * slopes
        if self.way.leaves_out:
            weighted = torch.where(weights[..., None] != 0, weighted, 0.0)
        return gradient.index_add(0, group_ids, weighted.to(gradient))

    def _adam(self, gradient: Tensor) -> Tensor:
        one, two = self.way.moments
        count = len(self.gradients)
        self._first = one * self._first + (1 - one) * gradient
        self._second = two * self._second + (1 - two) * gradient.square()
        size = (self._second / (1 - two**count)).sqrt()
        return self._first / (1 - one**count) / (size + self.way.epsilon)

    def _weights(self) -> Tensor:
        return self.policy.table.detach().clone()


def _rows(tokens: Tokens, rows: Tensor) -> Tokens:
    """Some rows, with their own rewards and prompts."""
    return Tokens(
        tokens.student[rows],
        tokens.teacher[rows],
        tokens.completions[rows],
        tokens.sampled[rows],
        tokens.usable[rows],
        tokens.rewards[rows],
        tokens.group_ids[rows],
        tokens.profile,
    )
