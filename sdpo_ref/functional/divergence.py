"""The divergence between student and teacher at one position (spec/04-loss, section A).

Which tokens are compared is decided in ``support``; here both arguments are distributions over the same cells, whatever
those cells are.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError

_ZERO_MASS = -torch.inf
_NEAR = 8.0
"""Below this log-ratio q - p is computed as p (exp(log-ratio) - 1), which keeps the digits that q - p loses.

Far above it the exponential would overflow, and long before it enlarges the rounding of its argument."""


def require_alpha(alpha: float) -> None:
    """Refuse an interpolation coefficient that is not in ``[0, 1]``.

    Implements: LOSS-009, LOSS-098.

    Args:
        alpha: 0 is the forward KL(teacher‖student), 1 the reverse.

    Raises:
        InvalidInputError: if it lies outside, or is not a number.
    """
    if not 0.0 <= alpha <= 1.0:
        raise InvalidInputError(
            f"alpha must lie in [0, 1], received {alpha}; 0 is forward KL(teacher‖student), 1 is reverse"
        )


def kl_divergence(
    p_log_probs: Float[Tensor, "*batch cell"], q_log_probs: Float[Tensor, "*batch cell"]
) -> Float[Tensor, "*batch"]:
    r"""Kullback-Leibler divergence KL(p ‖ q).

    .. math::
        \mathrm{KL}(p \| q) = \sum_v p_v (\log p_v - \log q_v)
                           = \sum_v \left[ q_v - p_v - p_v \log(q_v / p_v) \right], \qquad 0 \log 0 = 0

    The two sums are equal because p and q each sum to one. The second is computed: none of its terms is negative, so
    nothing cancels, and a divergence of 1e-13 between almost equal distributions still has ten digits where the first
    has two. A cell without mass under ``p`` is only its ``q`` term, in value and gradient, also where ``q`` has none;
    plain arithmetic gives NaN there. A cell with mass under ``p`` and none under ``q`` makes the result ``+inf``, also
    where that mass is too small for its exponential.
    Implements: LOSS-005, LOSS-007, LOSS-008, LOSS-011, LOSS-112.

    Args:
        p_log_probs: the distribution that weights; sums to one. Gradient flows.
        q_log_probs: the distribution that is compared with it; sums to one. Gradient flows.

    Returns:
        Nats; never negative.

    Example:
        >>> kl_divergence(torch.tensor([1.0, 0.0]).log(), torch.tensor([0.5, 0.5]).log())
        tensor(0.6931)
    """
    # The equation is (p * (p_log_probs - q_log_probs)).sum(-1). Its terms have both signs and cancel, and it is NaN
    # where a probability is zero; so the sum of q - p - p log(q / p) is computed, whose terms are never negative.
    p, log_ratio = p_log_probs.exp(), q_log_probs - p_log_probs

    # Near cells: q - p as p (exp(log_ratio) - 1), which keeps digits that the difference of two close numbers loses.
    is_near = log_ratio < _NEAR  # False where p has no mass
    near = torch.where(is_near, log_ratio, 0.0)
    terms = p * (near.expm1() - near)

    # Far cells: q - p directly, as exp(log_ratio) would overflow; where p has no mass only q is left (LOSS-007).
    if not bool(is_near.all()):
        q = q_log_probs.exp()
        far = torch.where(is_near | (p_log_probs == _ZERO_MASS), 0.0, log_ratio)
        terms = torch.where(is_near, terms, q - p - p * far)

    # Cells that p reaches and q excludes: infinite, also where p is too small for its exponential (LOSS-008).
    is_excluded = (log_ratio == _ZERO_MASS) & (p == 0.0)  # p has mass here, whose logarithm is finite
    if bool(is_excluded.any()):
        terms = torch.where(is_excluded, torch.inf, terms)
    return terms.sum(-1)


def mixture_log_probs(
    student_log_probs: Float[Tensor, "*batch cell"],
    teacher_log_probs: Float[Tensor, "*batch cell"],
    *,
    alpha: float,
) -> Float[Tensor, "*batch cell"]:
    r"""Log-probabilities of the mixture of the two *distributions*, not of their logarithms.

    .. math::
        m = (1 - \alpha)\, p_S + \alpha\, p_T

    Implements: LOSS-003, LOSS-007.

    Args:
        student_log_probs: weighted by ``1 - alpha``. Gradient flows.
        teacher_log_probs: weighted by ``alpha``. Gradient flows.
        alpha: in ``(0, 1)``.

    Returns:
        Nats; ``-inf`` where neither has mass.

    Example:
        >>> mixture_log_probs(torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log(), alpha=0.25).exp()
        tensor([0.6000, 0.4000])
    """
    # The equation is ((1 - alpha) * student.exp() + alpha * teacher.exp()).log(); in logarithms it cannot underflow.
    has_mass = (student_log_probs > _ZERO_MASS) | (teacher_log_probs > _ZERO_MASS)
    student = torch.where(has_mass, student_log_probs, 0.0) + math.log1p(-alpha)
    teacher = torch.where(has_mass, teacher_log_probs, 0.0) + math.log(alpha)
    return torch.where(has_mass, torch.logaddexp(student, teacher), _ZERO_MASS)


def generalized_jsd(
    student_log_probs: Float[Tensor, "*batch cell"],
    teacher_log_probs: Float[Tensor, "*batch cell"],
    *,
    alpha: float,
) -> Float[Tensor, "*batch"]:
    r"""Generalised Jensen-Shannon divergence of each token, with the two KL divergences at its ends.

    .. math::
        D_0 &= \mathrm{KL}(p_T \| p_S), \qquad D_1 = \mathrm{KL}(p_S \| p_T), \\
        D_\alpha &= (1 - \alpha)\, \mathrm{KL}(p_S \| m) + \alpha\, \mathrm{KL}(p_T \| m),
        \qquad m = (1 - \alpha)\, p_S + \alpha\, p_T

    The ends are set by definition and not by continuity: the interior formula tends to zero at both ends, so
    ``alpha=0.01`` gives a loss about a hundred times smaller than ``alpha=0`` (LOSS-004). ``alpha=0`` is the forward
    KL, which covers the teacher's mass; ``alpha=1`` is the reverse KL, which seeks the teacher's mode. The value is
    at most the binary entropy of ``alpha`` in the interior.
    Implements: LOSS-001, LOSS-002, LOSS-003, LOSS-004, LOSS-006, LOSS-010, LOSS-012.

    Args:
        student_log_probs: the student; each row's exponentials sum to one. Gradient flows.
        teacher_log_probs: the teacher on the same cells. Not detached here: that is the loss's duty (LOSS-060).
        alpha: interpolation coefficient in ``[0, 1]``.

    Returns:
        Nats; never negative.

    Raises:
        InvalidInputError: if ``alpha`` is not a number in ``[0, 1]``.

    References:
        arXiv:2601.20802 (SDPO); arXiv:2306.13649 (generalised JSD for on-policy distillation).

    Example:
        >>> student, teacher = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log()
        >>> generalized_jsd(student, teacher, alpha=1.0)  # 0.5 log(0.5 / 0.9) + 0.5 log(0.5 / 0.1)
        tensor(0.5108)
    """
    require_alpha(alpha)
    if alpha == 0.0:
        return kl_divergence(teacher_log_probs, student_log_probs)
    if alpha == 1.0:
        return kl_divergence(student_log_probs, teacher_log_probs)
    mixture = mixture_log_probs(student_log_probs, teacher_log_probs, alpha=alpha)
    return (1 - alpha) * kl_divergence(student_log_probs, mixture) + alpha * kl_divergence(teacher_log_probs, mixture)
