"""A policy that reads its whole prefix and whose gradient fits on a line: the model of level-3 checks (spec/01).

It is the smallest model that shows the mistakes that matter at a training step: logits taken one position off,
a context that does not reach the teacher, padding that is attended, completions scored under other ids.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sdpo_ref.functional.log_probs import log_probs, token_log_probs
from sdpo_ref.protocols.attention import up_to_the_last
from sdpo_ref.types import Prompts, Rollouts


class PrefixSumPolicy(nn.Module):
    r"""Logits after position i are the sum of what each token so far contributes.

    .. math::
        z_i = C_{x_i} + \sum_{j \le i,\; \text{attended}} P_{x_j}

    Attributes:
        current: :math:`C`, effect of the last token on the next one.
        prefix: :math:`P`, effect of any earlier token on all later ones.
    """

    def __init__(self, current: Float[Tensor, "vocab vocab"], prefix: Float[Tensor, "vocab vocab"]) -> None:
        super().__init__()
        self.current = nn.Parameter(current.clone())
        self.prefix = nn.Parameter(prefix.clone())

    @classmethod
    def random(cls, vocab: int, *, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> "PrefixSumPolicy":
        """Weights drawn from a standard normal distribution.

        Args:
            vocab: number of tokens.
            generator: source of the numbers.
            dtype: of the weights.

        Returns:
            The policy.
        """
        current, prefix = torch.randn(2, vocab, vocab, generator=generator, dtype=dtype)
        return cls(current, prefix)

    def forward(
        self, input_ids: Int[Tensor, "rollout length"], attention_mask: Int[Tensor, "rollout length"]
    ) -> Float[Tensor, "rollout length vocab"]:
        """Logits for the token after each position, given every attended position up to it.

        Args:
            input_ids: token ids; anything in range where the mask is 0.
            attention_mask: 1 where a token is attended, 0 for padding.

        Returns:
            Logits at every position. Gradient flows into both weights.

        Example:
            >>> policy = PrefixSumPolicy(torch.zeros(2, 2), torch.eye(2))
            >>> policy(torch.tensor([[0, 1, 1]]), torch.tensor([[1, 1, 1]]))[0, -1].tolist()  # counts of each token
            [1.0, 2.0]
        """
        contributions = self.prefix[input_ids] * attention_mask[..., None]
        return self.current[input_ids] + contributions.cumsum(1)

    def logits(
        self,
        prompts: Prompts,
        completions: Int[Tensor, "rollout time"],
        completion_mask: Bool[Tensor, "rollout time"],
    ) -> Float[Tensor, "rollout time vocab"]:
        """Scores for completion token t, read at the position before it.

        Prompts may be padded on either side: the padding is moved to the left first, so that the token before the
        first completion token is always the last one of the prompt.
        Implements: POLICY-001, POLICY-004.

        Args:
            prompts: what stands before the completions.
            completions: token ids; those behind the last that counts may be anything.
            completion_mask: True where a token counts; all up to the last of them is attended (POLICY-007).

        Returns:
            Logits aligned to the completion tokens.

        Example:
            >>> policy = PrefixSumPolicy(torch.eye(2), torch.zeros(2, 2))  # repeats the last token
            >>> prompts = Prompts(torch.tensor([[1]]), torch.tensor([[True]]), torch.tensor([0]))
            >>> policy.logits(prompts, torch.tensor([[0, 0]]), torch.tensor([[True, True]])).argmax(-1).tolist()
            [[1, 0]]
        """
        order = prompts.mask.long().argsort(dim=-1, stable=True)
        prompt_ids, prompt_mask = prompts.token_ids.gather(-1, order), prompts.mask.gather(-1, order)
        input_ids = torch.cat([prompt_ids, completions], dim=-1)
        attention_mask = torch.cat([prompt_mask, up_to_the_last(completion_mask)], dim=-1).long()
        before_completion = prompt_ids.shape[-1] - 1
        scores: Tensor = self(input_ids, attention_mask)
        return scores[:, before_completion:-1]

    def sample(self, prompts: Prompts, *, num_tokens: int, generator: torch.Generator) -> Rollouts:
        """One completion of exactly ``num_tokens`` tokens for each prompt; this policy never ends early.

        Args:
            prompts: what to complete.
            num_tokens: length of every completion.
            generator: source of randomness.

        Returns:
            The rollouts with their log-probabilities in nats.

        Example:
            >>> policy = PrefixSumPolicy(100 * torch.eye(2), torch.zeros(2, 2))  # repeats the last token
            >>> prompts = Prompts(torch.tensor([[1]]), torch.tensor([[True]]), torch.tensor([0]))
            >>> policy.sample(prompts, num_tokens=3, generator=torch.Generator().manual_seed(0)).completions
            tensor([[1, 1, 1]])
        """
        rollouts = prompts.token_ids.shape[0]
        completions = torch.zeros(rollouts, 0, dtype=torch.long)
        with torch.no_grad():
            for _ in range(num_tokens):
                ahead = torch.cat([completions, torch.zeros(rollouts, 1, dtype=torch.long)], dim=-1)
                scores = self.logits(prompts, ahead, torch.ones_like(ahead, dtype=torch.bool))[:, -1]
                chosen = torch.multinomial(scores.softmax(-1), 1, generator=generator)
                completions = torch.cat([completions, chosen], dim=-1)
            mask = torch.ones_like(completions, dtype=torch.bool)
            behaviour_log_probs = token_log_probs(log_probs(self.logits(prompts, completions, mask)), completions)
        return Rollouts(prompts, completions, mask, behaviour_log_probs)

    def weights(self) -> Mapping[str, Tensor]:
        """The two matrices, live, by name."""
        return dict(self.named_parameters())
