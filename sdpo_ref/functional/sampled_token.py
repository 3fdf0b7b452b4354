"""Reverse KL through the token that was sampled (spec/04-loss, section C)."""

from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError


def require_reverse_kl(alpha: float) -> None:
    """Refuse any divergence but the reverse KL, for which alone the estimator exists.

    Implements: LOSS-032.

    Args:
        alpha: of the loss.

    Raises:
        InvalidInputError: if it is not 1.
    """
    if alpha != 1.0:
        raise InvalidInputError(
            f"support 'sampled_token' estimates reverse KL, so alpha must be 1, received {alpha}; "
            "use support 'full' or 'top_k_tail' for other divergences"
        )


def sampled_token_surrogate(
    student_token_log_probs: Float[Tensor, "*batch"],
    teacher_token_log_probs: Float[Tensor, "*batch"],
    *,
    alpha: float,
) -> Float[Tensor, "*batch"]:
    r"""Surrogate whose expected gradient is that of the reverse KL.

    .. math::
        \ell_t = \mathrm{sg}[\log p_S(y_t) - \log p_T(y_t)] \; \log p_S(y_t), \qquad y_t \sim p_S

    Its value is not a divergence and is often negative; only its gradient is meaningful. The bracket is minus the
    self-distillation advantage: where the token is more likely under the teacher, the update raises it.
    Implements: LOSS-030, LOSS-031, LOSS-113.

    Args:
        student_token_log_probs: log-probability of the sampled token under the student. Gradient flows.
        teacher_token_log_probs: the same under the teacher.
        alpha: must be 1; the estimator exists for reverse KL only.

    Returns:
        Nats squared; any sign.

    Raises:
        InvalidInputError: if ``alpha`` is not 1.

    References:
        arXiv:2601.20802, proposition 2.1.

    Example:
        >>> import torch
        >>> sampled_token_surrogate(torch.tensor(-0.5), torch.tensor(-1.0), alpha=1.0)  # (-0.5 + 1.0) * -0.5
        tensor(-0.2500)
    """
    require_reverse_kl(alpha)
    log_ratio = (student_token_log_probs - teacher_token_log_probs).detach()
    return log_ratio * student_token_log_probs
