"""The best completion there is, by dynamic programming (spec/06-simulation, section A)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def best_completions(
    step_scores: Float[Tensor, "prompt time previous vocab"],
) -> tuple[Float[Tensor, " prompt"], Int[Tensor, "prompt time"]]:
    r"""The highest latent score of any completion to each prompt, and a completion that has it (Viterbi).

    .. math::
        W_t(u) = \max_v \left[ s_t(u, v) + W_{t+1}(v) \right], \qquad \max_y z = W_1

    Among equally good tokens the one with the lowest id is chosen.
    Implements: SIM-017.

    Args:
        step_scores: what each token adds to the latent score after each previous token.

    Returns:
        The scores, and the token ids.

    Example:
        >>> turn = torch.tensor([[0.0, 1.0], [3.0, 0.0]])  # first token: 0 is worth 0, 1 is worth 1
        >>> scores, completions = best_completions(torch.stack([turn[:1].expand(2, 2), turn])[None])
        >>> scores.tolist(), completions.tolist()
        ([4.0], [[1, 0]])
    """
    prompts, time, _, _ = step_scores.shape
    to_come = torch.zeros_like(step_scores[:, 0, 0])
    backwards = []
    for position in reversed(range(time)):
        to_come, chosen = (step_scores[:, position] + to_come[:, None, :]).max(-1)
        backwards.append(chosen)
    rows = torch.arange(prompts)
    tokens = [backwards[-1][:, 0]]
    for chosen in backwards[-2::-1]:
        tokens.append(chosen[rows, tokens[-1]])
    return to_come[:, 0], torch.stack(tokens, dim=-1)
