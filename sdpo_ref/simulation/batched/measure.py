"""What the policies of many runs are worth, from their factors and not from tables, and how good credit is.

``sdpo_ref.simulation.measure`` with a run axis.

Every sum over previous token and token is a product with the grammar: forwards for where a policy gets to, backwards
for what is still to come.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.simulation.batched.first_order import FirstOrder, Tokens, after, before
from sdpo_ref.simulation.batched.runs import Run
from sdpo_ref.simulation.measure import Measurement
from sdpo_ref.simulation.world.exact import best_completions


@dataclass(frozen=True)
class _Worth:
    """Of each prompt."""

    score: Float[Tensor, "run prompt"]
    entropy: Float[Tensor, "run prompt"]
    distinctness: Float[Tensor, "run prompt"]
    kl_to_base: Float[Tensor, "run prompt"]


class Gauges:
    """One gauge for each run.

    Implements: SIM-120, SIM-121.

    Args:
        runs: whose worlds.
        base: the policies before any training.
    """

    def __init__(self, runs: Sequence[Run], base: FirstOrder) -> None:
        device = base.scores.device
        root = base.scores.shape[2] ** 0.5
        self._quality = torch.stack([run.world.quality for run in runs]).to(device) / root
        self._coherence: Float[Tensor, "run previous vocab"] | None = None
        if any(run.world.settings.coherence for run in runs):
            coherence = torch.stack([run.world.coherence for run in runs]).to(device) / root
            self._coherence = torch.nn.functional.pad(coherence, (0, 0, 0, 1))
        self._base = base
        best = [best_completions(run.world.step_scores())[0] for run in _distinct_worlds(runs)]
        worlds = [id(run.world) for run in _distinct_worlds(runs)]
        self._best = torch.stack([best[worlds.index(id(run.world))] for run in runs]).to(device)
        self._base_score = self._worth(base).score

    def measure(self, policy: FirstOrder, *, step: int) -> list[Measurement]:
        """Everything about the policies that needs no sample.

        Args:
            policy: of all runs.
            step: after how many iterations.

        Returns:
            One measurement for each run.
        """
        worth = self._worth(policy)
        reward = (worth.score - self._base_score) / (self._best - self._base_score)
        columns = [
            numbers.mean(-1).tolist()
            for numbers in (reward, worth.score, worth.entropy, worth.distinctness, worth.kl_to_base)
        ]
        return [Measurement(step, *numbers) for numbers in zip(*columns, strict=True)]

    def true_advantages(self, policy: FirstOrder, tokens: Tokens) -> Float[Tensor, "run prompt time rollout"]:
        """A* of every sampled token under the policies.

        Args:
            policy: that goes on after each token.
            tokens: whose tokens.

        Returns:
            Latent score; positive where a token helped.
        """
        grammar, vocab = policy.grammars.weights, policy.scores.shape[-1]
        found = torch.empty_like(policy.scores[..., :1].expand(tokens.ids.shape))
        to_come = torch.zeros_like(policy.scores[:, :, :1])
        for position in reversed(range(policy.scores.shape[2])):
            here = slice(position, position + 1)
            ids, previous = tokens.ids[:, :, here], tokens.previous[:, :, here]
            if_chosen = self._quality[:, :, here] + to_come
            weights = policy.weights[:, :, here]
            values = before(grammar, weights * if_chosen)
            gained = if_chosen.gather(-1, ids)
            if self._coherence is not None:
                values = values + before(grammar * self._coherence, weights)
                pairs = (previous * vocab + ids).flatten(1)
                gained = gained + self._coherence.flatten(1).gather(-1, pairs).view_as(gained)
            values = values / policy.normalizers[:, :, here]
            found[:, :, here] = gained - values.gather(-1, previous)
            to_come = values[..., :vocab]
        return found

    def _worth(self, policy: FirstOrder) -> _Worth:
        grammar, base = policy.grammars.weights, self._base
        shares, marginals = reached(policy)
        visited = shares * policy.normalizers  # chance of each previous token
        score = (marginals * self._quality).sum((-2, -1))
        if self._coherence is not None:
            score = score + (policy.weights * after(shares, grammar * self._coherence)).sum((-2, -1))
        of_grammar = policy.weights * after(shares, grammar * policy.grammars.log_weights)
        log_normalizers = policy.normalizers.log()
        entropy = (visited * log_normalizers).sum((-2, -1))
        entropy = entropy - (marginals * policy.scores + of_grammar).sum((-2, -1))
        kl = (marginals * (policy.scores - base.scores)).sum((-2, -1))
        kl = kl - (visited * (log_normalizers - base.normalizers.log())).sum((-2, -1))
        distinctness = (1 - marginals.square().sum(-1)).mean(-1)
        return _Worth(score, entropy, distinctness, kl.clamp_min(0.0))


def reached(
    policy: FirstOrder,
) -> tuple[Float[Tensor, "run prompt time previous"], Float[Tensor, "run prompt time vocab"]]:
    """Where the policies get to.

    Args:
        policy: of all runs.

    Returns:
        The chance of each previous token at each position over its normaliser, and the chance of each token.
    """
    shares = torch.zeros_like(policy.normalizers)
    shares[:, :, 0, -1] = 1 / policy.normalizers[:, :, 0, -1]
    marginals = torch.empty_like(policy.weights)
    for position in range(policy.weights.shape[2]):
        here = slice(position, position + 1)
        marginals[:, :, here] = policy.weights[:, :, here] * after(shares[:, :, here], policy.grammars.weights)
        if position + 1 < policy.weights.shape[2]:
            following = policy.normalizers[:, :, position + 1, :-1]
            shares[:, :, position + 1, :-1] = marginals[:, :, position] / following
    return shares, marginals


def _distinct_worlds(runs: Sequence[Run]) -> list[Run]:
    """One run of each world."""
    return list({id(run.world): run for run in runs}.values())


def transition_log_probs(policy: FirstOrder, run: int) -> Float[Tensor, "prompt time previous vocab"]:
    """One run's policy as the table that ``sdpo_ref.simulation.world.exact`` and its neighbours read.

    Args:
        policy: of all runs.
        run: which.

    Returns:
        Nats; at the first position the same for every previous token.
    """
    grammar, normalizers = policy.grammars.log_weights[run, :-1], policy.normalizers[run].log()
    table = policy.scores[run][:, :, None] + grammar - normalizers[..., :-1, None]
    table[:, 0] = (policy.scores[run][:, 0] - normalizers[:, 0, -1:])[:, None]
    return table


def credit_correlations(
    signal: Float[Tensor, "run prompt time rollout"], true_advantages: Float[Tensor, "run prompt time rollout"]
) -> list[float]:
    """Correlation of a per-token signal with the true advantage, for each run.

    Implements: SIM-122.

    Args:
        signal: of each token.
        true_advantages: A* of each token.

    Returns:
        Between -1 and 1; 0 for a signal that is the same everywhere.
    """
    given, actual = signal.flatten(1), true_advantages.flatten(1)
    given, actual = given - given.mean(-1, keepdim=True), actual - actual.mean(-1, keepdim=True)
    scale = (given.square().sum(-1) * actual.square().sum(-1)).sqrt()
    found = (given * actual).sum(-1) / torch.where(scale > 0, scale, 1.0)
    numbers: list[float] = torch.where(scale > 0, found, 0.0).tolist()
    return numbers


def credit_precisions(
    signal: Float[Tensor, "run prompt time rollout"],
    true_advantages: Float[Tensor, "run prompt time rollout"],
    *,
    share: float,
) -> list[float]:
    """How many of the tokens that a signal puts first are truly among the best, for each run.

    Implements: SIM-134.

    Args:
        signal: of each token.
        true_advantages: A* of each token.
        share: of the tokens that is picked by either, in (0, 1].

    Returns:
        Between 0 and 1.
    """
    given, actual = signal.flatten(1), true_advantages.flatten(1)
    count = max(round(share * given.shape[-1]), 1)
    both = _probability_among_best(given, count) * _probability_among_best(actual, count)
    numbers: list[float] = (both.sum(-1) / count).tolist()
    return numbers


def _probability_among_best(values: Float[Tensor, "run token"], count: int) -> Float[Tensor, "run token"]:
    """Probability of each value to be among the highest so many, if equal ones are drawn by lot."""
    limit = values.topk(count).values[:, -1:]
    above, equal = values > limit, values == limit
    left = (count - above.sum(-1, keepdim=True)).double()
    return above + equal * (left / equal.sum(-1, keepdim=True).clamp_min(1))
