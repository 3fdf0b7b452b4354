"""A policy small enough to enumerate, its every completion, and what a trainer does to its weights."""

import copy
import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from sdpo_ref.functional.policy_gradient import completion_log_probs
from sdpo_ref.protocols import Policy, Trainer
from sdpo_ref.simulation.policies.prefix_sum import PrefixSumPolicy
from sdpo_ref.types import Judgement, Prompts, Rollouts, StepReport, TeacherView

VOCAB, TIME = 3, 2
EVERY_COMPLETION = torch.tensor(list(itertools.product(range(VOCAB), repeat=TIME)))
"""All completions of the small policy."""

REWARDS = torch.rand(len(EVERY_COMPLETION), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
"""The reward of each, in the same order."""

Maker = Callable[[PrefixSumPolicy, torch.optim.Optimizer], Trainer]


def small_policy(seed: int = 0, vocab: int = VOCAB) -> PrefixSumPolicy:
    return PrefixSumPolicy.random(vocab, generator=torch.Generator().manual_seed(seed))


def prompts_of(group_ids: list[int]) -> Prompts:
    """One prompt for each group, of one token: rollouts of one group have the same."""
    groups = torch.tensor(group_ids)
    return Prompts((groups % VOCAB)[:, None], torch.ones(len(group_ids), 1).bool(), groups)


def rollouts_of(policy: Policy, completions: Tensor, group_ids: list[int], mask: Tensor | None = None) -> Rollouts:
    """Given completions as if the policy had sampled them."""
    prompts = prompts_of(group_ids)
    counts = torch.ones_like(completions).bool() if mask is None else mask
    with torch.no_grad():
        chances = completion_log_probs(policy.logits(prompts, completions, counts), completions, counts)
    return Rollouts(prompts, completions, counts, chances)


def sampled(policy: PrefixSumPolicy, group_ids: list[int], *, time: int = 4, seed: int = 1) -> Rollouts:
    return policy.sample(prompts_of(group_ids), num_tokens=time, generator=torch.Generator().manual_seed(seed))


def judged(rewards: Tensor) -> Judgement:
    return Judgement(rewards, (None,) * rewards.shape[0])


def flat(policy: PrefixSumPolicy) -> Tensor:
    """Every weight, in one row."""
    return torch.cat([weight.detach().flatten() for weight in policy.parameters()]).clone()


def change(
    policy: PrefixSumPolicy, make: Maker, rollouts: Rollouts, rewards: Tensor, *, rate: float = 1.0
) -> tuple[Tensor, StepReport]:
    """By how much one step of plain gradient descent moves a copy of the policy, over the rate."""
    trained = copy.deepcopy(policy)
    report = make(trained, torch.optim.SGD(trained.parameters(), lr=rate)).step(rollouts, judged(rewards))
    return (flat(trained) - flat(policy)) / rate, report


def exact_gradient(policy: PrefixSumPolicy) -> Tensor:
    """Gradient of the expected reward, by differentiating the sum over every completion."""
    groups = [0] * len(EVERY_COMPLETION)
    mask = torch.ones_like(EVERY_COMPLETION).bool()
    logits = policy.logits(prompts_of(groups), EVERY_COMPLETION, mask)
    chances = completion_log_probs(logits, EVERY_COMPLETION, mask).sum(-1)
    gradients = torch.autograd.grad((chances.exp() * REWARDS).sum(), list(policy.parameters()))
    return torch.cat([gradient.flatten() for gradient in gradients])


def expected_change(policy: PrefixSumPolicy, make: Maker, *, group_size: int) -> Tensor:
    """The mean of a trainer's step over every group that the policy can sample, weighed by its probability.

    A group is taken once for all orders of its completions, which lead to the same step.
    """
    groups = [0] * group_size
    chances = rollouts_of(policy, EVERY_COMPLETION, [0] * len(EVERY_COMPLETION)).behaviour_log_probs.sum(-1)
    total = torch.zeros_like(flat(policy))
    for chosen in map(list, itertools.combinations_with_replacement(range(len(EVERY_COMPLETION)), group_size)):
        orders = len(set(itertools.permutations(chosen)))
        moved, _ = change(policy, make, rollouts_of(policy, EVERY_COMPLETION[chosen], groups), REWARDS[chosen])
        total += orders * chances[chosen].sum().exp() * moved
    return total


def assert_same(found: Tensor, expected: Tensor) -> None:
    """Equal but for the last digits of float64."""
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


class GivenTeacher:
    """Returns a given view, and counts how often it is updated."""

    def __init__(self, logits: Tensor, usable: Tensor | None = None) -> None:
        self.logits = logits
        self.usable = torch.ones(logits.shape[0]).bool() if usable is None else usable
        self.updates = 0

    def view(self, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """The given logits."""
        del rollouts, judgement
        return TeacherView(self.logits, self.usable)

    def update(self, student: Policy) -> None:
        """Count."""
        del student
        self.updates += 1
