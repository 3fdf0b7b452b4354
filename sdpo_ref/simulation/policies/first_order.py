"""The student of the simulation: a table of logits and a fixed grammar of bigrams (spec/06-simulation, section A).

Next to nothing is as small and still autoregressive: what is likely next depends on the prompt, on the position and
on the previous token, and yet every expectation can be computed (``sdpo_ref.simulation.world.exact``).
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.log_probs import log_probs, token_log_probs
from sdpo_ref.simulation.world.world import World
from sdpo_ref.types import Prompts, Rollouts


class FirstOrderPolicy(nn.Module):
    r"""Logits from a table, plus what the previous token adds.

    .. math::
        \ell_{xt}(v \mid y_{<t}) = \theta_{xtv} + B_{y_{t-1} v} \; [t > 1]

    The prompt x of a rollout is its ``group_ids``; the tokens of a prompt are not read. Completions never end early,
    so a completion mask is True everywhere and changes nothing.
    Implements: SIM-010.

    Attributes:
        table: :math:`\theta`, one logit for each prompt, position and token; learned.
        grammar: :math:`B`, previous token (row) to next token (column); fixed.
    """

    grammar: Tensor

    def __init__(self, table: Float[Tensor, "prompt time vocab"], grammar: Float[Tensor, "previous vocab"]) -> None:
        super().__init__()
        if table.ndim != 3 or tuple(grammar.shape) != (table.shape[-1], table.shape[-1]):
            raise InvalidInputError(
                f"received a table of shape {tuple(table.shape)} and a grammar of shape {tuple(grammar.shape)}; "
                "allowed are [prompt, time, vocab] and [vocab, vocab]; take both from one world"
            )
        self.table = nn.Parameter(table.clone())
        self.register_buffer("grammar", grammar.clone())

    @classmethod
    def base(cls, world: World) -> "FirstOrderPolicy":
        """The policy of a world before any training.

        Args:
            world: gives the table and the grammar; they are copied.

        Returns:
            The base policy, in float64.
        """
        return cls(world.base_logits, world.grammar)

    def scores(self) -> Float[Tensor, "prompt time vocab"]:
        """Logits of every token by prompt and position, before the grammar adds those of the previous token.

        All else is computed from this and from the grammar, so a policy with other parameters replaces this alone.

        Returns:
            Logits; the table itself. Gradient flows.
        """
        return self.table

    def logits(
        self,
        prompts: Prompts,
        completions: Int[Tensor, "rollout time"],
        completion_mask: Bool[Tensor, "rollout time"],
    ) -> Float[Tensor, "rollout time vocab"]:
        """Scores for completion token t given the prompt and the token before t.

        Implements: POLICY-001.

        Args:
            prompts: ``group_ids`` holds the prompt of each rollout.
            completions: token ids; at most as many as the table has positions.
            completion_mask: changes nothing: only padding could be masked, and padding stands last.

        Returns:
            Logits aligned to the completion tokens. Gradient flows into the parameters.

        Raises:
            InvalidInputError: if a prompt is not in the table, a token not in the vocabulary, or a completion too long.

        Example:
            >>> policy = FirstOrderPolicy(torch.zeros(1, 2, 2), torch.eye(2))  # the grammar repeats
            >>> prompts = Prompts(torch.tensor([[0]]), torch.tensor([[True]]), torch.tensor([0]))
            >>> policy.logits(prompts, torch.tensor([[1, 0]]), torch.tensor([[True, True]])).tolist()
            [[[0.0, 0.0], [0.0, 1.0]]]
        """
        del completion_mask
        self._refuse_strangers(prompts.group_ids, completions.shape[-1])
        _refuse_outside("completions", completions, self.grammar.shape[0])
        after = nn.functional.pad(self.grammar[completions[:, :-1]], (0, 0, 1, 0))
        return self.scores()[prompts.group_ids, : completions.shape[-1]] + after

    def transition_log_probs(self) -> Float[Tensor, "prompt time previous vocab"]:
        """Log-probabilities of every token after every previous token: the whole policy as one table.

        Returns:
            Nats; at the first position the same for every previous token, because there is none. Gradient flows into
            the parameters.
        """
        after = self.grammar.expand(self.table.shape[1], -1, -1).clone()
        after[0] = 0.0
        return log_probs(self.scores()[:, :, None, :] + after)

    def sample(self, prompts: Prompts, *, num_tokens: int, generator: torch.Generator) -> Rollouts:
        """One completion of exactly ``num_tokens`` tokens for each rollout's prompt.

        Every token is the inverse of the cumulative distribution at one uniform number, and all of these are drawn at
        once: whatever the policy, the generator gives the same numbers, so that policies that agree sample the same.
        Implements: SIM-011.

        Args:
            prompts: ``group_ids`` holds the prompt of each rollout.
            num_tokens: length of every completion; at most as many as the table has positions.
            generator: source of randomness, such as ``random_stream(seed, step, "rollouts")``.

        Returns:
            The rollouts with their exact log-probabilities in nats.

        Raises:
            InvalidInputError: if a prompt is not in the table, or ``num_tokens`` is too large.

        Example:
            >>> policy = FirstOrderPolicy(torch.tensor([[[0.0, 99.0], [0.0, 0.0]]]), torch.tensor([[0.0, 0], [99, 0]]))
            >>> prompts = Prompts(torch.tensor([[0]]), torch.tensor([[True]]), torch.tensor([0]))
            >>> policy.sample(prompts, num_tokens=2, generator=torch.Generator().manual_seed(0)).completions
            tensor([[1, 0]])
        """
        rollouts = prompts.group_ids.shape[0]
        self._refuse_strangers(prompts.group_ids, num_tokens)
        uniform = torch.rand(rollouts, num_tokens, 1, generator=generator, dtype=torch.float64)
        completions = torch.zeros(rollouts, num_tokens, dtype=torch.long)
        with torch.no_grad():
            logits = self.scores()[prompts.group_ids, :num_tokens]
            for position in range(num_tokens):
                if position > 0:
                    logits[:, position] += self.grammar[completions[:, position - 1]]
                scores = logits[:, position].double()
                cumulative = (scores - scores.amax(-1, keepdim=True)).exp().cumsum(-1)  # up to a factor
                target = uniform[:, position] * cumulative[:, -1:]  # below the last, because uniform is below 1
                completions[:, position] = (cumulative <= target).sum(-1)
            behaviour_log_probs = token_log_probs(log_probs(logits), completions)
        return Rollouts(prompts, completions, torch.ones_like(completions, dtype=torch.bool), behaviour_log_probs)

    def weights(self) -> Mapping[str, Tensor]:
        """Every parameter and buffer, live, by name."""
        return {**dict(self.named_parameters()), **dict(self.named_buffers())}

    def _refuse_strangers(self, prompt_ids: Tensor, num_tokens: int) -> None:
        if not 1 <= num_tokens <= self.table.shape[1]:
            raise InvalidInputError(
                f"received completions of {num_tokens} tokens; this policy's table allows 1 to {self.table.shape[1]}"
                "; shorten them or build the table for more positions"
            )
        _refuse_outside("group_ids", prompt_ids, self.table.shape[0])


def _refuse_outside(name: str, ids: Tensor, size: int) -> None:
    if ids.numel() and not (int(ids.min()) >= 0 and int(ids.max()) < size):
        raise InvalidInputError(
            f"{name} holds ids from {int(ids.min())} to {int(ids.max())}; this policy's table allows 0 to {size - 1}; "
            "take them from the world that the policy was built for"
        )
