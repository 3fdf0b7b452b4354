r"""The loss of a block of rows on each support, and its gradient with respect to every logit (spec/04-loss, B and C).

A support turns logits over the vocabulary into logits over cells; ``divergence`` returns the gradient :math:`E_c` with
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
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.functional.log_probs import token_log_probs
from sdpo_ref.functional.sampled_token import sampled_token_surrogate
from sdpo_ref.functional.support import renormalized, top_k_ids
from sdpo_ref.losses.chunked.divergence import divergence_
from sdpo_ref.types import Support, TopKFrom


def token_losses_(
    student: Float[Tensor, "token vocab"],
    teacher: Float[Tensor, "token vocab"],
    token_ids: Int[Tensor, " token"],
    *,
    alpha: float,
    support: Support,
    top_k_from: TopKFrom,
) -> Float[Tensor, " token"]:
    """The loss of each row; the student's logits are overwritten by the gradient with respect to them.

    Args:
        student: logits at the temperature of the loss; becomes the gradient.
        teacher: logits at the temperature of the loss; overwritten.
        token_ids: the sampled token of each row.
        alpha: as for :func:`~sdpo_ref.losses.reference.sdpo_loss`.
        support: likewise.
        top_k_from: likewise.

    Returns:
        Nats (``sampled_token``: nats squared).

    Raises:
        InvalidInputError: if a row cannot be renormalised on its top-k tokens.

    Example:
        >>> student, teacher = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
        >>> token = torch.tensor([0])
        >>> token_losses_(student, teacher, token, alpha=1.0, support=Support("sampled_token"), top_k_from="student")
        tensor([-0.4805])
        >>> student  # log 2 times (1 - 0.5), and log 2 times (0 - 0.5)
        tensor([[ 0.3466, -0.3466]])
    """
    if support.kind == "sampled_token":
        return _sampled_token_(student, teacher, token_ids, alpha=alpha)
    if support.k is None or support.k >= student.shape[-1]:
        return divergence_(student, teacher, alpha=alpha)
    head_ids = top_k_ids(student if top_k_from == "student" else teacher, k=support.k)
    if support.kind == "top_k_tail":
        return _with_tail_(student, teacher, head_ids, alpha=alpha)
    cells = renormalized(student, head_ids)
    value = divergence_(cells, renormalized(teacher, head_ids), alpha=alpha)
    student.zero_().scatter_(-1, head_ids, cells)
    return value


def _with_tail_(
    student: Float[Tensor, "token vocab"],
    teacher: Float[Tensor, "token vocab"],
    head_ids: Int[Tensor, "token head"],
    *,
    alpha: float,
) -> Float[Tensor, " token"]:
    """The head's cells and one for all other tokens, whose mass is summed over these tokens (LOSS-025)."""
    cells, tail = _head_and_tail(student, head_ids)
    tail_total = cells[:, -1:].clone()
    value = divergence_(cells, _head_and_tail(teacher, head_ids)[0], alpha=alpha)
    share = tail.sub_(torch.where(tail_total == -torch.inf, 0.0, tail_total)).exp_()
    torch.mul(share, cells[:, -1:], out=student).scatter_(-1, head_ids, cells[:, :-1])
    return value


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
) -> Float[Tensor, " token"]:
    """The surrogate whose expected gradient is that of the reverse KL (LOSS-030)."""
    ids = token_ids[:, None]
    log_p = student.log_softmax(-1)
    log_p_y, log_q_y = token_log_probs(log_p, token_ids), (teacher.gather(-1, ids) - teacher.logsumexp(-1, True))[:, 0]
    bracket = (log_p_y - log_q_y)[:, None]
    torch.mul(log_p.exp_(), -bracket, out=student).scatter_add_(-1, ids, bracket)
    return sampled_token_surrogate(log_p_y, log_q_y, alpha=alpha)
