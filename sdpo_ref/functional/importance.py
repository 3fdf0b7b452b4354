"""Importance weights for rollouts of an older policy (spec/04-loss, section D)."""

from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError

MAX_LOG_RATIO = 20.0
"""Log-ratios are limited to this before the exponential, so that none overflows (LOSS-042)."""


def require_ratio_cap(ratio_cap: float) -> None:
    """Refuse an upper bound that no importance ratio can keep.

    Implements: LOSS-100.

    Args:
        ratio_cap: in ``(0, inf)``.

    Raises:
        InvalidInputError: if it is not positive.
    """
    if not ratio_cap > 0:
        raise InvalidInputError(f"ratio_cap must be positive, received {ratio_cap}; None turns the weights off")


def importance_ratio(
    student_token_log_probs: Float[Tensor, "*batch"],
    behaviour_log_probs: Float[Tensor, "*batch"],
    *,
    ratio_cap: float,
) -> Float[Tensor, "*batch"]:
    r"""Truncated importance ratio of each sampled token, as a constant.

    .. math::
        \rho_t = \min\left(\exp\left(\log p_S(y_t) - \log \mu(y_t)\right),\; \bar\rho\right)

    Bounded from above only: a ratio below one is not changed, or tokens that the student has learned to avoid would
    keep their full weight.
    Implements: LOSS-040, LOSS-041, LOSS-042.

    Args:
        student_token_log_probs: log-probability of the sampled token now, at the temperature of the loss. No
            gradient flows through the ratio.
        behaviour_log_probs: the same when it was sampled, at the same temperature.
        ratio_cap: upper bound; in ``(0, inf)``.

    Returns:
        A factor in ``(0, ratio_cap]``; log-ratios beyond ±20 are taken for ±20.

    Raises:
        InvalidInputError: if the cap is not positive.

    References:
        arXiv:2601.20802, appendix A.4 (applied per token).

    Example:
        >>> import torch
        >>> importance_ratio(torch.tensor([0.4, 0.3, 0.05]).log(), torch.tensor([0.1, 0.2, 0.2]).log(), ratio_cap=2.0)
        tensor([2.0000, 1.5000, 0.2500])
    """
    require_ratio_cap(ratio_cap)
    log_ratio = (student_token_log_probs - behaviour_log_probs).detach()
    return log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp().clamp(max=ratio_cap)
