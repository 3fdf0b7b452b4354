r"""The published gradients in the student's logits, one function for each equation (spec/09-published-study, C).

Each is a descent direction: the student goes against it. With :math:`p_t` the student at a position and
:math:`[s_t]` the one-hot of a sampled token, :math:`p_t - [s_t]` is the gradient of :math:`-\log p_t(s_t)`.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.published.world import at_tokens

Table = Float[Tensor, "run time vocab"]
Tokens = Int[Tensor, "run rollout time"]

_EPSILON = 1e-8
"""In the denominator of the advantage-weighted credit; smaller than any sum that it is added to."""


def sdpo_gradient(
    student: Table, teachers: Float[Tensor, "run rollout time vocab"], reference: Table, pull: Float[Tensor, " run"]
) -> Table:
    r"""Self-distillation with a pull towards the start.

    .. math::
        -\frac 1 n \sum_i (p^{\text{teacher}}_{it} - p_t) + \lambda\, (p_t - p^{\text{ref}}_t)

    The first term is the gradient of the mean forward divergence :math:`\mathrm{KL}(p^{\text{teacher}}_i \| p)`.
    Implements: PUB-012, PUB-013.

    Args:
        student: probabilities.
        teachers: probabilities, of each rollout.
        reference: probabilities at the start.
        pull: λ.
    """
    return student - teachers.mean(1) + pull[:, None, None] * (student - reference)


def reinforce_gradient(student: Table, tokens: Tokens, rewards: Float[Tensor, "run rollout"]) -> Table:
    r"""REINFORCE with the batch mean as its baseline.

    .. math::
        \frac 1 n \sum_i (R_i - \bar R)\,(p_t - [s_{it}])

    Implements: PUB-014.

    Args:
        student: probabilities.
        tokens: sampled ids.
        rewards: as rated.
    """
    advantages = rewards - rewards.mean(1, keepdim=True)
    return _score_gradient(student, tokens, advantages[..., None].expand(tokens.shape))


def advantage_weighted_gradient(
    student: Table, tokens: Tokens, rewards: Float[Tensor, "run rollout"], quality: Table
) -> Table:
    r"""REINFORCE whose advantage is shared out over the tokens by their true quality.

    .. math::
        A_{it} = (R_i - \bar R)\, \frac{q(t, s_{it}) - \bar q_t}{\sum_u |q(u, s_{iu}) - \bar q_u| + \epsilon}

    Implements: PUB-015.

    Args:
        student: probabilities.
        tokens: sampled ids.
        rewards: as rated.
        quality: q, the truth.
    """
    above = at_tokens(quality - quality.mean(-1, keepdim=True), tokens)
    shares = above / (above.abs().sum(-1, keepdim=True) + _EPSILON)
    advantages = rewards - rewards.mean(1, keepdim=True)
    return _score_gradient(student, tokens, advantages[..., None] * shares)


def hybrid_weight(
    student: Table, teachers: Float[Tensor, "run rollout time vocab"], gate: Float[Tensor, " run"]
) -> Float[Tensor, " run"]:
    r"""How much of the hybrid's gradient is SDPO's.

    .. math::
        w = \sigma\Big( \frac{\overline{\mathrm{KL}}(p^{\text{teacher}} \| p) - \tau}{\tau / 3} \Big)

    Implements: PUB-016.

    Args:
        student: probabilities.
        teachers: probabilities, of each rollout.
        gate: τ, in nats.

    Returns:
        In (0, 1).
    """
    divergence = (torch.xlogy(teachers, teachers) - torch.xlogy(teachers, student[:, None])).sum(-1).mean((1, 2))
    return torch.sigmoid((divergence - gate) / (gate / 3))


def _score_gradient(student: Table, tokens: Tokens, advantages: Float[Tensor, "run rollout time"]) -> Table:
    """Mean over the rollouts of ``advantage * (student - one-hot)``."""
    of_tokens = torch.zeros_like(student).scatter_add_(-1, tokens.mT, advantages.mT)
    return (advantages.sum(1)[..., None] * student - of_tokens) / tokens.shape[1]
