"""From logits to log-probabilities: precision, temperature, normalisation (LOSS-091, POLICY-002, POLICY-003)."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.errors import InvalidInputError


def require_temperature(temperature: float) -> None:
    """Refuse a temperature by which logits cannot be divided.

    Implements: LOSS-099.

    Args:
        temperature: 1.0 changes nothing.

    Raises:
        InvalidInputError: if it is not a positive finite number.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise InvalidInputError(f"temperature must be positive and finite, received {temperature}; 1.0 changes nothing")


def log_probs(logits: Float[Tensor, "*batch vocab"], *, temperature: float = 1.0) -> Float[Tensor, "*batch vocab"]:
    r"""Log-probabilities of every token at the given temperature.

    .. math::
        \log p_v = z_v / \tau - \log \sum_u \exp(z_u / \tau)

    Logits in half precision are raised to float32 first: eight bits of mantissa cannot hold a log-probability near
    zero, and the error lands in the gradient. A logit of ``-inf`` is a token of probability zero.
    Implements: POLICY-002, POLICY-003, LOSS-062, LOSS-091, LOSS-116.

    Args:
        logits: unnormalised scores; ``-inf`` allowed, but not in every entry of a row. Gradient flows.
        temperature: divides the logits; in ``(0, inf)``.

    Returns:
        Log-probabilities in nats; each row's exponentials sum to one. At least float32.

    Raises:
        InvalidInputError: if the temperature is not a positive finite number.

    Example:
        >>> log_probs(torch.tensor([0.0, 0.0]))
        tensor([-0.6931, -0.6931])
    """
    require_temperature(temperature)
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    scaled = precise if temperature == 1.0 else precise / temperature
    return torch.log_softmax(scaled, dim=-1)


def token_log_probs(
    log_probs: Float[Tensor, "*batch vocab"], token_ids: Int[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """Log-probability of one given token at each position.

    Implements: LOSS-106, LOSS-107, LOSS-109, LOSS-110.

    Args:
        log_probs: log-probabilities of every token. Gradient flows.
        token_ids: the token at each position, in ``[0, vocab)``.

    Returns:
        Nats, at most zero.

    Example:
        >>> token_log_probs(torch.tensor([[0.25, 0.75]]).log(), torch.tensor([1])).exp()
        tensor([0.7500])
    """
    return log_probs.gather(-1, token_ids[..., None]).squeeze(-1)
