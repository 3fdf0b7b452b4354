"""First-order policies of many runs, factored: a factor of prompt and position times one of the previous token.

A probability is ``E[x, t, v] W[u, v] / Z[x, t, u]`` with E the exponential of the scores and W that of the grammar. E
has one entry where the table of transitions has one for every previous token, and every sum over tokens, forwards or
backwards, is a matrix product with W: no exponential is taken for a rollout, and no tensor over rollouts and tokens of
the vocabulary is formed outside sampling.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.errors import UnsupportedError

_WIDEST = 300.0
"""Nats between the most and the least likely token after one previous token; the exponential holds twice as much."""


@dataclass(frozen=True)
class Tokens:
    """What was sampled.

    Attributes:
        ids: of each token.
        previous: id of the token before it; the size of the vocabulary where there is none.
    """

    ids: Int[Tensor, "run prompt time rollout"]
    previous: Int[Tensor, "run prompt time rollout"]


@dataclass(frozen=True)
class Grammars:
    """Weights of the next token by the previous one, up to a factor for each row; the last is for no previous token.

    Attributes:
        log_weights: in nats, at most 0.
        weights: W, their exponentials.
    """

    log_weights: Float[Tensor, "run previous vocab"]
    weights: Float[Tensor, "run previous vocab"]

    @classmethod
    def from_logits(cls, grammar: Float[Tensor, "run vocab vocab"]) -> "Grammars":
        """Factor a grammar.

        Args:
            grammar: previous token (row) to next token (column), in nats.

        Returns:
            The factors.

        Raises:
            UnsupportedError: if tokens are so unlike that a product of exponentials would lose the rarer ones.
        """
        shifted = grammar - grammar.amax(-1, keepdim=True)
        lowest = float(shifted.min())
        if not lowest >= -_WIDEST:
            raise UnsupportedError(
                f"the grammar spans {-lowest:.0f} nats, allowed are {_WIDEST:.0f}: the batched simulator multiplies "
                "exponentials; lower grammar_spread, or use the simulator 'reference'"
            )
        padded = torch.nn.functional.pad(shifted, (0, 0, 0, 1))
        return cls(padded, padded.exp())


@dataclass(frozen=True)
class FirstOrder:
    """Policies at one moment.

    Attributes:
        scores: logits before the grammar, shifted so that the largest of each position is 0.
        weights: E, their exponentials.
        normalizers: Z, of each position after each previous token.
        grammars: of the runs.
    """

    scores: Float[Tensor, "run prompt time vocab"]
    weights: Float[Tensor, "run prompt time vocab"]
    normalizers: Float[Tensor, "run prompt time previous"]
    grammars: Grammars

    @classmethod
    def from_scores(cls, scores: Float[Tensor, "run prompt time vocab"], grammars: Grammars) -> "FirstOrder":
        """Factor policies.

        Args:
            scores: logits before the grammar; a shift of a position changes nothing.
            grammars: of the runs.

        Returns:
            The factors.
        """
        shifted = scores - scores.amax(-1, keepdim=True)
        weights = shifted.exp()
        return cls(shifted, weights, before(grammars.weights, weights), grammars)

    def sample(self, uniform: Float[Tensor, "run prompt time rollout"]) -> Tokens:
        """Completions by the inverse of the cumulative distribution, as the policy of the reference samples them.

        Args:
            uniform: one number in [0, 1) for each token.

        Returns:
            The completions.
        """
        runs, prompts, time, rollouts = uniform.shape
        rows, vocab = self.grammars.weights.shape[1:]
        after = self.grammars.weights.flatten(0, 1)
        offset = rows * torch.arange(runs, device=uniform.device)[:, None, None]
        ids = torch.empty((runs, prompts, time + 1, rollouts), dtype=torch.long, device=uniform.device)
        ids[:, :, 0] = vocab
        weights = after.new_empty(runs, prompts, rollouts, vocab)
        for position in range(time):
            torch.index_select(after, 0, (ids[:, :, position] + offset).flatten(), out=weights.view(-1, vocab))
            cumulative = weights.mul_(self.weights[:, :, position, None]).cumsum_(-1)
            target = uniform[:, :, position, :, None] * cumulative[..., -1:]
            ids[:, :, position + 1] = torch.searchsorted(cumulative, target, right=True).squeeze(-1)
        ids[:, :, 1:].clamp_(max=vocab - 1)  # a product of two numbers below the last may round to the last
        return Tokens(ids[:, :, 1:].contiguous(), ids[:, :, :-1].contiguous())

    def log_probs(self, tokens: Tokens) -> Float[Tensor, "run prompt time rollout"]:
        """Log-probability of each token, in nats.

        Args:
            tokens: what was sampled, by this policy or by an earlier one.
        """
        vocab = self.scores.shape[-1]
        pairs = (tokens.previous * vocab + tokens.ids).flatten(1)
        of_grammar = self.grammars.log_weights.flatten(1).gather(-1, pairs).view(tokens.ids.shape)
        return self.scores.gather(-1, tokens.ids) + of_grammar - self.normalizers.gather(-1, tokens.previous).log()

    def expected(
        self, values: Float[Tensor, "run prompt time vocab"], tokens: Tokens
    ) -> Float[Tensor, "run prompt time rollout"]:
        """What the policy expects of a number of its next token, before each token of the rollouts.

        Args:
            values: of each token of the vocabulary.
            tokens: whose prefixes.
        """
        after_each = before(self.grammars.weights, self.weights * values) / self.normalizers
        return after_each.gather(-1, tokens.previous)

    def spread(
        self, amounts: Float[Tensor, "run prompt time rollout"], tokens: Tokens
    ) -> Float[Tensor, "run prompt time vocab"]:
        r"""Each rollout's amount shared out among the vocabulary as the policy would go on from its prefix.

        .. math::
            s_{xt}(v) = \sum_i a_{it}\, p(v \mid x, y_{i,<t})

        Args:
            amounts: of each token of the rollouts.
            tokens: whose prefixes.
        """
        shares = torch.zeros_like(self.normalizers)
        shares.scatter_add_(-1, tokens.previous, amounts)
        return self.weights * after(shares.div_(self.normalizers), self.grammars.weights)


def before(
    weights: Float[Tensor, "run previous vocab"], of_tokens: Float[Tensor, "run prompt time vocab"]
) -> Float[Tensor, "run prompt time previous"]:
    """Sum over tokens, by what stands before them: backwards through a grammar."""
    product = torch.bmm(of_tokens.flatten(1, 2), weights.mT)
    return product.view(*of_tokens.shape[:3], weights.shape[1])


def after(
    of_previous: Float[Tensor, "run prompt time previous"], weights: Float[Tensor, "run previous vocab"]
) -> Float[Tensor, "run prompt time vocab"]:
    """Sum over what stands before, by token: forwards through a grammar."""
    product = torch.bmm(of_previous.flatten(1, 2), weights)
    return product.view(*of_previous.shape[:3], weights.shape[2])


def at_tokens(
    amounts: Float[Tensor, "run prompt time rollout"], tokens: Tokens, vocab: int
) -> Float[Tensor, "run prompt time vocab"]:
    """Each rollout's amount at the token that it sampled."""
    gathered = amounts.new_zeros(*amounts.shape[:3], vocab)
    return gathered.scatter_add_(-1, tokens.ids, amounts)
