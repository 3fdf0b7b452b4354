"""What can be seen of a trainer's first gradient, and the credit in it: what F03 asks of trainers from outside.

The bundled methods say what they credit each token with. A trainer from outside does not; but its gradient does.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from sdpo_ref.simulation.assembly import assemble
from sdpo_ref.simulation.measure import Gauge, credit_correlation
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.run import every_prompt
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.simulation.world import random_stream

CREDIT = "credit_first"
"""The metric of F03; of a trainer from outside, its value is :func:`gradient_credit`."""


@dataclass
class SeenGradient:
    """Gradients of some weights, as they arrive at an optimiser of PyTorch, or else at the weights.

    Attributes:
        weights: whose.
        at_weights: what arrived at each, by its place; several backward passes add up.
        at_optimizer: what the first optimiser had that stepped and has any of them.
    """

    weights: list[nn.Parameter]
    at_weights: dict[int, Tensor] = field(default_factory=dict)
    at_optimizer: Tensor | None = None

    @property
    def gradient(self) -> Tensor | None:
        """Of all weights, one after the other; ``None`` if nothing was seen."""
        if self.at_optimizer is not None:
            return self.at_optimizer
        return self._flat(self.at_weights) if self.at_weights else None

    def arrives(self, number: int, gradient: Tensor) -> None:
        """A gradient reaches a weight.

        Args:
            number: of the weight.
            gradient: with respect to it.
        """
        dense = gradient.detach().to_dense().double()
        self.at_weights[number] = self.at_weights[number] + dense if number in self.at_weights else dense.clone()

    def steps(self, optimizer: torch.optim.Optimizer, _arguments: object, _options: object) -> None:
        """An optimiser is about to step.

        Args:
            optimizer: any.
        """
        own = {id(one) for group in optimizer.param_groups for one in group["params"]}
        mine = {number: one.grad for number, one in enumerate(self.weights) if id(one) in own and one.grad is not None}
        if self.at_optimizer is None and mine:
            self.at_optimizer = self._flat({number: one.detach().to_dense().double() for number, one in mine.items()})

    def _flat(self, found: Mapping[int, Tensor]) -> Tensor:
        empty = (torch.zeros(one.shape, dtype=torch.float64) for one in self.weights)
        return torch.cat([found.get(number, one).flatten() for number, one in enumerate(empty)])


@contextmanager
def watched(weights: list[nn.Parameter]) -> Iterator[SeenGradient]:
    """See the gradient of some weights while a trainer is called.

    Args:
        weights: of the policy that it trains.
    """
    seen = SeenGradient(weights)
    hooks: list[Any] = [
        one.register_hook(lambda gradient, number=number: seen.arrives(number, gradient))  # type: ignore[no-untyped-call]
        for number, one in enumerate(weights)
        if one.requires_grad
    ]
    hooks.append(register_optimizer_step_pre_hook(seen.steps))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def gradient_credit(settings: RunSettings, *, seed: int) -> float:
    r"""Correlation of the credit in a trainer's first gradient with the true advantage of tokens.

    A token is credited with what descent adds to its logit for each time that the policy would have written it,

    .. math::
        c_{xt}(v) = - \frac{\partial L}{\partial \theta_{xtv}} \Big/ \sum_{i \in x} p_{it}(v)

    For SDPO that is the implicit reward less its mean under the student, averaged over the prompt's rollouts.
    Implements: STAT-037.

    Args:
        settings: of a run, with the trainer in it.
        seed: of the run.

    Returns:
        Between -1 and 1, on the run's first rollouts; NaN if no gradient reaches the policy's logits.
    """
    parts = assemble(settings, seed=seed)
    policy = parts.trainer.policy
    assert isinstance(policy, FirstOrderPolicy)  # noqa: S101 - it was made by this package
    rollouts = policy.sample(
        every_prompt(parts.world, settings.group_size),
        num_tokens=settings.world.time,
        generator=random_stream(seed, 1, "rollouts"),
    )
    judgement = parts.oracle.judge(rollouts, generator=random_stream(seed, 1, "judgement"))
    truth = Gauge(parts.world).true_advantages(policy, rollouts)
    groups = rollouts.prompts.group_ids
    with torch.no_grad():
        shares = policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask).softmax(-1)
    with watched([policy.table]) as seen:
        parts.trainer.step(rollouts, judgement)
    if seen.gradient is None:
        return math.nan
    written = torch.zeros_like(policy.table.detach()).index_add(0, groups, shares)
    credit = -seen.gradient.view_as(written) / written
    chosen = credit[groups].gather(-1, rollouts.completions[..., None]).squeeze(-1)
    return credit_correlation(chosen, truth, rollouts.completion_mask)
