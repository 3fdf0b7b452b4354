"""What a policy is worth at one moment, computed and not estimated (spec/06-simulation, section E)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sdpo_ref.errors import DivergedError, InvalidInputError
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.world import World
from sdpo_ref.simulation.world.exact import advantage_along, best_completions, normalized_reward, true_advantage, visits
from sdpo_ref.types import Rollouts

_CELLS_AT_ONCE = 2**19
"""Entries of a policy's table that are looked at together; many more do not fit into a processor's cache."""


@dataclass(frozen=True)
class Measurement:
    """Exact properties of a policy, averaged over prompts.

    Attributes:
        step: after how many iterations.
        reward: normalised: 0 for the base policy, 1 for the optimum.
        score: expected latent score E z.
        entropy: of whole completions, in nats.
        distinctness: chance that two completions differ at a position, in [0, 1).
        kl_to_base: KL(policy‖base policy) of whole completions, in nats.
    """

    step: int
    reward: float
    score: float
    entropy: float
    distinctness: float
    kl_to_base: float


def diverged(step: int) -> DivergedError:
    """What a measurement raises once a policy is not finite any more.

    Args:
        step: of the measurement.
    """
    return DivergedError(f"the policy holds NaN after step {step}; lower the learning rate")


class Gauge:
    """Measures policies of one world; base policy and optimum are computed once.

    Implements: SIM-120, SIM-121.

    Args:
        world: the ground truth.
    """

    def __init__(self, world: World) -> None:
        self._step_scores = world.step_scores()
        self._base = FirstOrderPolicy.base(world).transition_log_probs().detach()
        self._base_score = self._of_each_prompt(self._base)[0]
        self._best_score, _ = best_completions(self._step_scores)

    def measure(self, policy: FirstOrderPolicy, *, step: int) -> Measurement:
        """Everything about a policy that needs no sample.

        Args:
            policy: of this gauge's world.
            step: after how many iterations.

        Returns:
            The measurement.

        Raises:
            DivergedError: if the policy is not finite any more.
        """
        table = policy.transition_log_probs().detach()
        if bool(torch.isnan(table).any()):
            raise diverged(step)
        score, entropy, distinct, kl = self._of_each_prompt(table)
        return Measurement(
            step=step,
            reward=float(normalized_reward(score, self._base_score, self._best_score).mean()),
            score=float(score.mean()),
            entropy=float(entropy.mean()),
            distinctness=float(distinct.mean()),
            kl_to_base=float(kl.mean()),
        )

    def _of_each_prompt(self, policy: Float[Tensor, "prompt time previous vocab"]) -> Float[Tensor, "number prompt"]:
        """The same numbers for the same table to the last bit, so that the base policy is worth exactly 0."""
        prompts_at_once = max(1, _CELLS_AT_ONCE // policy[0].numel())
        tables = (torch.split(every, prompts_at_once) for every in (policy, self._base, self._step_scores))
        return torch.cat([_of_some_prompts(*some) for some in zip(*tables, strict=True)], dim=-1)

    def true_advantages(self, policy: FirstOrderPolicy, rollouts: Rollouts) -> Float[Tensor, "rollout time"]:
        """A* of every sampled token under the policy: what credit assignment is scored against.

        Args:
            policy: that goes on after each token.
            rollouts: whose tokens.

        Returns:
            Latent score; positive where a token helped.
        """
        table = true_advantage(policy.transition_log_probs().detach(), self._step_scores)
        along = advantage_along(table, rollouts.prompts.group_ids, rollouts.completions)
        return along.gather(-1, rollouts.completions[..., None]).squeeze(-1)


def _of_some_prompts(
    policy: Float[Tensor, "prompt time previous vocab"],
    base: Float[Tensor, "prompt time previous vocab"],
    step_scores: Float[Tensor, "prompt time previous vocab"],
) -> Float[Tensor, "number prompt"]:
    """Score, entropy, distinctness and divergence from the base, in this order."""
    taken = visits(policy)

    def expected(of_step: Float[Tensor, "prompt time previous vocab"]) -> Float[Tensor, " prompt"]:
        return torch.where(taken > 0, taken * of_step, 0.0).sum((-3, -2, -1))

    distinct = 1 - taken.sum(-2).square().sum(-1)
    divergence = expected(policy - base).clamp_min(0.0)
    return torch.stack([expected(step_scores), expected(-policy), distinct.mean(-1), divergence])


def credit_correlation(
    credit: Float[Tensor, "rollout time"],
    true_advantages: Float[Tensor, "rollout time"],
    completion_mask: Bool[Tensor, "rollout time"],
) -> float:
    """How well a per-token signal separates good tokens from bad ones: its correlation with the true advantage.

    Implements: SIM-122.

    Args:
        credit: implicit reward of each token, or the advantage that a method broadcasts over a completion.
        true_advantages: A* of each token.
        completion_mask: which tokens count.

    Returns:
        Between -1 and 1; 0 for a signal that is the same everywhere.

    Example:
        >>> truth = torch.tensor([[1.0, -1.0]])
        >>> credit_correlation(2 * truth, truth, torch.tensor([[True, True]]))
        1.0
    """
    given, actual = (values[completion_mask].double() for values in (credit, true_advantages))
    given, actual = given - given.mean(), actual - actual.mean()
    scale = float(given.square().sum() * actual.square().sum()) ** 0.5
    return float((given * actual).sum()) / scale if scale > 0 else 0.0


def credit_precision(
    credit: Float[Tensor, "rollout time"],
    true_advantages: Float[Tensor, "rollout time"],
    completion_mask: Bool[Tensor, "rollout time"],
    *,
    share: float,
) -> float:
    """How many of the tokens that a signal puts first are truly among the best.

    A signal that is the same for many tokens picks among them at random, and the expected precision is taken.
    Implements: SIM-134.

    Args:
        credit: implicit reward of each token, or the advantage that a method broadcasts over a completion.
        true_advantages: A* of each token.
        completion_mask: which tokens count.
        share: of the tokens that is picked by either, in (0, 1].

    Returns:
        Between 0 and 1; ``share`` for a signal that is the same everywhere.

    Example:
        >>> truth, mask = torch.tensor([[4.0, 3.0, 2.0, 1.0]]), torch.ones(1, 4, dtype=torch.bool)
        >>> credit_precision(truth, truth, mask, share=0.5), credit_precision(0 * truth, truth, mask, share=0.5)
        (1.0, 0.5)
    """
    given, actual = (values[completion_mask].double() for values in (credit, true_advantages))
    count = max(round(share * given.numel()), 1)
    chosen, best = _chances_among_best(given, count), _chances_among_best(actual, count)
    return float((chosen * best).sum()) / count


def _chances_among_best(values: Float[Tensor, " token"], count: int) -> Float[Tensor, " token"]:
    """Probability of each value to be among the highest so many, if equal ones are drawn by lot."""
    limit = values.topk(count).values[-1]
    above, equal = values > limit, values == limit
    return above + equal * ((count - above.sum()).double() / equal.sum())


def area_under_curve(measurements: Sequence[Measurement]) -> float:
    """Mean normalised reward over the run, by the trapezoidal rule over steps.

    Implements: SIM-123.

    Args:
        measurements: in order of step, at least two.

    Returns:
        In the unit of the normalised reward.

    Raises:
        InvalidInputError: if there are fewer than two moments.

    Example:
        >>> ends = [Measurement(step, reward, 0.0, 0.0, 0.0, 0.0) for step, reward in ((0, 0.0), (10, 1.0))]
        >>> area_under_curve(ends)
        0.5
    """
    if len(measurements) < 2:
        raise InvalidInputError(f"a curve needs at least 2 moments, received {len(measurements)}; measure more often")
    trapezoids = (
        (later.step - earlier.step) * (later.reward + earlier.reward) / 2 for earlier, later in pairwise(measurements)
    )
    return sum(trapezoids) / (measurements[-1].step - measurements[0].step)


def steps_to_reach(measurements: Sequence[Measurement], level: float) -> int | None:
    """The first measured step at which the normalised reward is at least a level.

    Implements: SIM-123.

    Args:
        measurements: in order of step.
        level: of the normalised reward.

    Returns:
        The step, or ``None`` if the run never gets there.

    Example:
        >>> curve = [Measurement(step, reward, 0.0, 0.0, 0.0, 0.0) for step, reward in ((0, 0.0), (10, 0.6))]
        >>> steps_to_reach(curve, 0.5), steps_to_reach(curve, 0.9)
        (10, None)
    """
    return next((at.step for at in measurements if at.reward >= level), None)
