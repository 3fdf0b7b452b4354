"""The truth by enumeration: every completion of a tiny world, its probability and its score, one after the other.

Nothing here uses a recursion. Probabilities come from the policy's ``logits``, which read the completion itself, and
scores from ``World.latent_score``.
"""

from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from sdpo_ref.functional.log_probs import log_probs, token_log_probs
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.settings import WorldSettings
from sdpo_ref.simulation.world.world import World
from sdpo_ref.types import Prompts

TINY = WorldSettings(prompts=2, time=3, vocab=3, aspects=2, embedding=2, base_spread=1.0, grammar_spread=1.0)
"""27 completions to each of two prompts."""

WORLDS = {
    "separable": TINY,
    "coherent": TINY.model_copy(update={"coherence": 0.7}),
    "one position": TINY.model_copy(update={"time": 1, "coherence": 0.7}),
    "two tokens, no grammar": TINY.model_copy(update={"time": 4, "vocab": 2, "coherence": 2.0, "grammar_spread": 0.0}),
}
"""Settings under which every exact quantity is compared with its enumeration."""


class Enumeration(NamedTuple):
    """All completions to one prompt."""

    completions: list[tuple[int, ...]]
    chances: list[float]
    scores: list[float]

    def mean(self, values: list[float]) -> float:
        """Expectation of a quantity of the completion."""
        return sum(chance * value for chance, value in zip(self.chances, values, strict=True))

    def conditional_score(self, prefix: tuple[int, ...]) -> float:
        """Expected latent score of the completions that begin with a prefix."""
        ahead = [
            (p, z)
            for y, p, z in zip(self.completions, self.chances, self.scores, strict=True)
            if y[: len(prefix)] == prefix
        ]
        return sum(p * z for p, z in ahead) / sum(p for p, _ in ahead)


def prompts_of(prompt_ids: Tensor) -> Prompts:
    """Prompts whose group ids are given; their tokens are never read."""
    return Prompts(torch.zeros(len(prompt_ids), 1).long(), torch.ones(len(prompt_ids), 1).bool(), prompt_ids)


def enumerated(world: World, policy: FirstOrderPolicy, prompt: int) -> Enumeration:
    """Every completion to a prompt of a world, with its probability under a policy."""
    completions = list(product(range(world.settings.vocab), repeat=world.settings.time))
    tokens = torch.tensor(completions)
    prompt_ids = torch.full((len(completions),), prompt)
    with torch.no_grad():
        scored = policy.logits(prompts_of(prompt_ids), tokens, torch.ones_like(tokens).bool())
        chances = token_log_probs(log_probs(scored), tokens).sum(-1).exp()
    return Enumeration(completions, chances.tolist(), world.latent_score(prompt_ids, tokens).tolist())
