"""The Protocol of a policy: something that scores and samples completions (spec/01-policy)."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdpo_ref.types import Prompts, Rollouts


@runtime_checkable
class Policy(Protocol):
    """**Protocol:** an autoregressive distribution over completions."""

    def logits(
        self,
        prompts: Prompts,
        completions: Int[Tensor, "rollout time"],
        completion_mask: Bool[Tensor, "rollout time"],
    ) -> Float[Tensor, "rollout time vocab"]:
        """Scores for completion token ``t`` given the prompt and completion tokens before ``t`` (POLICY-001)."""
        ...

    def sample(self, prompts: Prompts, *, num_tokens: int, generator: torch.Generator) -> Rollouts:
        """One completion for each prompt, at most ``num_tokens`` long, with its log-probabilities."""
        ...

    def weights(self) -> Mapping[str, Tensor]:
        """The live tensors that define the policy, by name: parameters and buffers, not copies."""
        ...
