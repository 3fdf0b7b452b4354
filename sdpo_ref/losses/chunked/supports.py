r"""The loss of a block of rows on each support, and its gradient with respect to every logit (spec/04-loss, B and C).

A support turns logits over the vocabulary into logits over cells; the divergence gives the gradient :math:`E_c` with
respect to the logit of each cell. Back to the vocabulary, with :math:`H` the top-k tokens:

==========================  ==============================================  ======================================
support                     logit of a cell                                 :math:`\partial \ell / \partial z_v`
==========================  ==============================================  ======================================
``full``                    :math:`z_v`                                     :math:`E_v`
``top_k_tail``              :math:`z_v` in :math:`H`, and                   :math:`E_v` in :math:`H`, and
                            :math:`z_\star = \log\sum_{v \notin H} e^{z_v}` :math:`E_\star e^{z_v - z_\star}` outside
``top_k_renormalized``      :math:`z_v` in :math:`H`                        :math:`E_v` in :math:`H`, zero outside
==========================  ==============================================  ======================================

On the sampled token :math:`\ell = a \log p_y` with the bracket :math:`a = \mathrm{sg}[\log p_y - \log q_y]`, so that
:math:`\partial \ell / \partial z_v = a (1[v = y] - p_v)`.

The divergence itself has a closed form, value and gradient, and is computed in place. Both sides are given as
logits :math:`s, t` over cells, the largest of each row not far from zero, with :math:`p = \mathrm{softmax}(s)` and
:math:`q = \mathrm{softmax}(t)`. For any function :math:`D` of :math:`p` the chain rule through the softmax is

.. math::
    \frac{\partial D}{\partial s_v} = p_v \Big( g_v - \sum_u p_u g_u \Big), \qquad g_v = \frac{\partial D}{\partial p_v}

and a constant added to every :math:`g_v` cancels. With the log-ratio :math:`x_v = \log (p_v / q_v)`:

=============  ==========================================  =========================================================
alpha          :math:`g_v` up to a constant                :math:`\partial D / \partial s_v`
=============  ==========================================  =========================================================
1 (reverse)    :math:`x_v`                                 :math:`p_v (x_v - \sum_u p_u x_u)`
0 (forward)    :math:`-q_v / p_v`                          :math:`p_v - q_v`
between        :math:`(1 - \alpha)\, r_v`                  :math:`(1 - \alpha)\, p_v (r_v - \sum_u p_u r_u)`
=============  ==========================================  =========================================================

where :math:`r_v = \log (p_v / m_v)` and :math:`m = (1 - \alpha) p + \alpha q`. For the last row,
:math:`\partial D_\alpha / \partial p_v = (1 - \alpha)(r_v + 1) - (1 - \alpha) ((1 - \alpha) p_v + \alpha q_v) / m_v`,
and the fraction is one.

A cell without mass adds nothing, in value and gradient, as in :mod:`sdpo_ref.functional.divergence`. Comparisons cost
more than exponentials on a CPU, so such cells are looked for only where a log-ratio is not finite. Both blocks are
worked on in place, for the same reason: what a pass costs is the memory that it touches.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.functional.log_probs import token_log_probs
from sdpo_ref.functional.sampled_token import sampled_token_surrogate
from sdpo_ref.functional.support import renormalized, top_k_ids
from sdpo_ref.losses.options import LossOptions

LossAndGradient = tuple[Float[Tensor, " token"], Float[Tensor, "token vocab"]]
"""The loss of each row, and its gradient with respect to each of the student's logits."""

PRECISE_BELOW = 0.25
"""Nats below which a KL divergence is summed from terms that cannot be negative.

Above it the difference of two sums has as many digits; below it they cancel."""

PRECISE_BELOW_IF_ROUNDED = 1e-6
"""The same where the result is rounded to float32 or less: what float64 has left after cancelling is still enough."""

_NEARLY_ALL = 0.99
"""Mass of one cell from which on its entry of the gradient loses digits that the others have."""


def token_losses_(
    student: Float[Tensor, "token vocab"],
    teacher: Float[Tensor, "token vocab"],
    token_ids: Int[Tensor, " token"],
    options: LossOptions,
    *,
    precise_below: float = PRECISE_BELOW,
) -> LossAndGradient:
    """The loss of each row, and its gradient with respect to the student's logits.

    Args:
        student: logits at the temperature of the loss, the largest of each row zero; overwritten.
        teacher: likewise.
        token_ids: the sampled token of each row.
        options: of the loss.
        precise_below: nats below which a KL divergence is summed without cancellation.

    Returns:
        Nats (``sampled_token``: nats squared), and the gradient, in memory of its own or of an argument.

    Raises:
        InvalidInputError: if a row cannot be renormalised on its top-k tokens.

    Example:
        >>> from sdpo_ref.types import SAMPLED_TOKEN
        >>> student, teacher = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
        >>> token = torch.tensor([0])
        >>> loss, gradient = token_losses_(student, teacher, token, LossOptions(alpha=1.0, support=SAMPLED_TOKEN))
        >>> loss
        tensor([-0.4805])
        >>> gradient  # log 2 times (1 - 0.5), and log 2 times (0 - 0.5)
        tensor([[ 0.3466, -0.3466]])
    """
    alpha, support = options.alpha, options.support
    if support.kind == "sampled_token":
        return _sampled_token_(student, teacher, token_ids, alpha=alpha)
    if support.k is None or support.k >= student.shape[-1]:
        return divergence_(student, teacher, alpha=alpha, precise_below=precise_below)
    head_ids = top_k_ids(student if options.top_k_from == "student" else teacher, k=support.k)
    if support.kind == "top_k_tail":
        return _with_tail_(student, teacher, head_ids, alpha=alpha, precise_below=precise_below)
    cells = renormalized(student, head_ids)
    value, of_cells = divergence_(cells, renormalized(teacher, head_ids), alpha=alpha, precise_below=precise_below)
    return value, student.zero_().scatter_(-1, head_ids, of_cells)


def _with_tail_(
    student: Float[Tensor, "token vocab"],
    teacher: Float[Tensor, "token vocab"],
    head_ids: Int[Tensor, "token head"],
    *,
    alpha: float,
    precise_below: float,
) -> LossAndGradient:
    """The head's cells and one for all other tokens, whose mass is summed over these tokens (LOSS-025)."""
    cells, tail = _head_and_tail(student, head_ids)
    tail_total = cells[:, -1:].clone()
    teacher_cells, _ = _head_and_tail(teacher, head_ids)
    value, of_cells = divergence_(cells, teacher_cells, alpha=alpha, precise_below=precise_below)
    share = tail.sub_(torch.where(tail_total == -torch.inf, 0.0, tail_total)).exp_()
    return value, share.mul_(of_cells[:, -1:]).scatter_(-1, head_ids, of_cells[:, :-1])


def _head_and_tail(
    logits: Float[Tensor, "token vocab"], head_ids: Int[Tensor, "token head"]
) -> tuple[Float[Tensor, "token cell"], Float[Tensor, "token vocab"]]:
    """Logits of the cells, and the logits with the head taken out."""
    tail = logits.scatter(-1, head_ids, -torch.inf)
    return torch.cat([logits.gather(-1, head_ids), tail.logsumexp(-1, keepdim=True)], dim=-1), tail


def _sampled_token_(
    student: Float[Tensor, "token vocab"],
    teacher: Float[Tensor, "token vocab"],
    token_ids: Int[Tensor, " token"],
    *,
    alpha: float,
) -> LossAndGradient:
    """The surrogate whose expected gradient is that of the reverse KL (LOSS-030)."""
    ids = token_ids[:, None]
    p, log_q = student.log_softmax(-1), teacher.log_softmax(-1)
    log_p_y, log_q_y = token_log_probs(p, token_ids), token_log_probs(log_q, token_ids)
    bracket = (log_p_y - log_q_y)[:, None]
    gradient = torch.mul(p.exp_(), -bracket, out=student).scatter_add_(-1, ids, bracket)
    return sampled_token_surrogate(log_p_y, log_q_y, alpha=alpha), _balanced_(gradient, p)


def divergence_(
    student: Float[Tensor, "token cell"],
    teacher: Float[Tensor, "token cell"],
    *,
    alpha: float,
    precise_below: float = PRECISE_BELOW,
) -> LossAndGradient:
    """The divergence of each row, and its gradient with respect to the student's logits.

    Args:
        student: logits of the student over the cells, the largest not far from zero; overwritten.
        teacher: logits of the teacher over the same cells, likewise.
        alpha: interpolation coefficient in ``[0, 1]``, as in :func:`~sdpo_ref.functional.divergence.generalized_jsd`.
        precise_below: nats below which a KL divergence is summed without cancellation.

    Returns:
        Nats, never negative, and the gradient.

    Example:
        >>> student, teacher = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.9, 0.1]]).log()
        >>> divergence_(student, teacher, alpha=0.0)  # 0.9 log(0.9 / 0.5) + 0.1 log(0.1 / 0.5), and p - q
        (tensor([0.3681]), tensor([[-0.4000,  0.4000]]))
    """
    log_ratio = student - teacher
    p, total_p = _softmax_(student)
    if alpha == 1.0:
        q, total_q = _exponentials_(teacher)
        gap = total_p.log() - total_q.log()
        value = _kl(log_ratio, p, q, total_q, gap, product=q, precise_below=precise_below)
        return value, _balanced_(log_ratio.mul_(p), p)
    q, total_q = _softmax_(teacher)
    gap = total_p.log() - total_q.log()
    if alpha == 0.0:
        one, product = torch.ones_like(gap), torch.empty_like(p)
        value = _kl(log_ratio.neg_(), q, p, one, -gap, product=product, precise_below=precise_below)
        return value, _balanced_(torch.sub(p, q, out=q), p)
    value, gradient = _interior_(_bounded_(log_ratio.sub_(gap), p, q), p, q, alpha=alpha)
    return value, _balanced_(gradient, p)


def _balanced_(gradient: Float[Tensor, "token cell"], p: Float[Tensor, "token cell"]) -> Float[Tensor, "token cell"]:
    r"""The gradient of each row without what rounding has left in its sum, which is zero.

    Where one cell o has nearly all the mass, its entry is a small difference of large numbers; the others are small
    themselves and have all their digits. Taking off :math:`p_v \sum_u g_u`, which is zero, makes of the one

    .. math::
        g_o - p_o \sum_u g_u = (1 - p_o)\, g_o - p_o \sum_{v \neq o} g_v

    so that what was wrong with it counts no more. Where no cell has so much nothing needs it.
    """
    if p.amax().item() < _NEARLY_ALL:
        return gradient
    return gradient.addcmul_(p, gradient.sum(-1, keepdim=True), value=-1.0)


def _exponentials_(logits: Float[Tensor, "token cell"]) -> tuple[Float[Tensor, "token cell"], Float[Tensor, "token 1"]]:
    """Exponentials in place of the logits, and the sum of each row."""
    exponentials = logits.exp_()
    return exponentials, exponentials.sum(-1, keepdim=True)


def _softmax_(logits: Float[Tensor, "token cell"]) -> tuple[Float[Tensor, "token cell"], Float[Tensor, "token 1"]]:
    """Probabilities in place of the logits, and what their exponentials sum to."""
    exponentials, total = _exponentials_(logits)
    return exponentials.mul_(total.reciprocal()), total


def _kl(
    log_ratio: Float[Tensor, "token cell"],
    p: Float[Tensor, "token cell"],
    q: Float[Tensor, "token cell"],
    total: Float[Tensor, "token 1"],
    gap: Float[Tensor, "token 1"],
    *,
    product: Float[Tensor, "token cell"],
    precise_below: float,
) -> Float[Tensor, " token"]:
    r"""KL(p ‖ q) from unnormalised logits; the log-ratio is overwritten by its distance from its mean.

    With :math:`y` the difference of logits, :math:`\mu = \sum p y` and :math:`c = y - \mu`:

    .. math::
        \mathrm{KL} = \mu - (\log Z_p - \log Z_q)
                    = \log \Big( 1 + \sum_v p_v (e^{-c_v} - 1 + c_v) \Big) - \log (1 - h)

    The second form holds because :math:`\sum p_v e^{-c_v} = e^{\mathrm{KL}} (1 - h)`, where :math:`h` is the mass of q
    on cells where p has none, and because :math:`\sum p_v c_v = 0`. None of its terms is negative. A difference of
    plus infinity is a cell that p reaches, however rarely, and q excludes: the divergence is infinite (LOSS-008).

    Args:
        log_ratio: difference of logits, p's minus q's; becomes :math:`c`.
        p: the distribution that weights.
        q: the other, times ``total``.
        total: what ``q`` sums to.
        gap: difference of the logarithms of the normalisers.
        product: room for one more block; may be ``q``, which is read before.
        precise_below: nats below which the second form is taken.
    """
    unreached = is_infinite = None
    if not math.isfinite(log_ratio.sum().item()):
        is_infinite = (log_ratio == torch.inf).any(-1, keepdim=True)
        without_mass = p == 0.0
        log_ratio.masked_fill_(without_mass, 0.0)
        unreached = (q.masked_fill(~without_mass, 0.0).sum(-1, keepdim=True) / total).squeeze(-1)
    mean = torch.mul(p, log_ratio, out=product).sum(-1, keepdim=True)
    if is_infinite is not None:
        mean.masked_fill_(is_infinite, torch.inf)
    centered = log_ratio.sub_(mean)
    plain = (mean - gap).squeeze(-1)
    if not plain.min().item() < precise_below:
        return plain
    excess = torch.neg(centered, out=product).expm1_().add_(centered).mul_(p).sum(-1)
    precise = excess.log1p_() if unreached is None else excess.log1p_() - torch.log1p(-unreached)
    return torch.where((plain < precise_below) & precise.isfinite(), precise, plain)


def _bounded_(
    log_ratio: Float[Tensor, "token cell"], p: Float[Tensor, "token cell"], q: Float[Tensor, "token cell"]
) -> Float[Tensor, "token cell"]:
    """The log-ratio, zero where neither side has mass, and no larger than what its exponential can hold.

    Where a log-ratio is cut, the smaller of the two probabilities is zero or so near to it that it adds nothing.
    """
    if not math.isfinite(log_ratio.sum().item()):
        log_ratio.masked_fill_(p + q == 0.0, 0.0)
    limit = 0.9 * math.log(torch.finfo(log_ratio.dtype).max)
    return log_ratio.clamp_(-limit, limit)


def _interior_(
    log_ratio: Float[Tensor, "token cell"],
    p: Float[Tensor, "token cell"],
    q: Float[Tensor, "token cell"],
    *,
    alpha: float,
) -> LossAndGradient:
    r"""The divergence between the ends, and its gradient with respect to the student's logits.

    .. math::
        r = \log (p / m) = -\log (1 + \alpha (e^{-x} - 1)), \qquad
        \log (q / m) = -\log (1 + (1 - \alpha) (e^x - 1)) = r - x

    The one with the smaller coefficient is computed, the other follows: near a coefficient of one the sum in the
    logarithm would lose its digits.
    """
    if alpha <= 0.5:
        p_over_mixture = log_ratio.neg().expm1_().mul_(alpha).log1p_().neg_()
        q_over_mixture = torch.sub(p_over_mixture, log_ratio, out=log_ratio)
    else:
        q_over_mixture = log_ratio.expm1().mul_(1.0 - alpha).log1p_().neg_()
        p_over_mixture = torch.add(q_over_mixture, log_ratio, out=log_ratio)
    of_student = p_over_mixture.mul_(p).mul_(1.0 - alpha)
    of_teacher = q_over_mixture.mul_(q).mul_(alpha)
    value = torch.add(of_student, of_teacher, out=of_teacher).sum(-1).clamp_(min=0.0)
    return value, of_student.addcmul_(p, of_student.sum(-1, keepdim=True), value=-1.0)
