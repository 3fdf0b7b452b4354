"""The cells on which student and teacher are compared (spec/04-loss, section B).

A support turns log-probabilities over the vocabulary into log-probabilities over cells, which ``divergence`` then
compares, whatever they mean.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.types import Support, TopKFrom


def top_k_ids(log_probs: Float[Tensor, "*batch vocab"], *, k: int) -> Int[Tensor, "*batch cell"]:
    """Ids of the ``min(k, vocab)`` most likely tokens, most likely first; ties fall either way.

    Implements: LOSS-022, LOSS-027, LOSS-108.

    Args:
        log_probs: log-probabilities (or logits: the order is the same). No gradient.
        k: how many; at least one.

    Returns:
        Token ids.

    Example:
        >>> top_k_ids(torch.tensor([0.2, 0.5, 0.3]).log(), k=2)
        tensor([1, 2])
    """
    return log_probs.topk(min(k, log_probs.shape[-1]), dim=-1).indices


def tail_log_mass(
    log_probs: Float[Tensor, "*batch vocab"], head_ids: Int[Tensor, "*batch cell"]
) -> Float[Tensor, "*batch"]:
    r"""Log of the probability of all tokens outside the head.

    .. math::
        \log \sum_{v \notin H} p_v

    Summed over the tail itself, never as one minus the head: the subtraction loses every digit once the tail is
    smaller than the rounding of one, and the clamp that published codes put there stops its gradient (LOSS-025).
    Implements: LOSS-025.

    Args:
        log_probs: log-probabilities over the vocabulary. Gradient flows to the tail.
        head_ids: distinct ids that make the head.

    Returns:
        Nats; ``-inf`` if the tail is empty or without mass.

    References:
        arXiv:2601.20802, equation 11.

    Example:
        >>> tail_log_mass(torch.tensor([0.5, 0.3, 0.2]).log(), torch.tensor([0])).exp()
        tensor(0.5000)
    """
    # Equal to (1 - head.exp().sum(-1)).log(), which has no digits left where the tail is small (LOSS-025).
    in_tail = torch.ones_like(log_probs, dtype=torch.bool).scatter(-1, head_ids, value=False)
    tail = in_tail & (log_probs > -torch.inf)
    has_mass = tail.any(-1)
    safe = torch.where(has_mass[..., None], log_probs.masked_fill(~tail, -torch.inf), 0.0)
    return torch.where(has_mass, torch.logsumexp(safe, dim=-1), -torch.inf)


def with_tail(
    log_probs: Float[Tensor, "*batch vocab"], head_ids: Int[Tensor, "*batch head"]
) -> Float[Tensor, "*batch cell"]:
    """The head's log-probabilities and, unless the head is the whole vocabulary, one cell for all other tokens.

    The cells sum to one, so a divergence on them is a divergence; by coarse-graining it is at most the one on the
    full vocabulary (LOSS-023).
    Implements: LOSS-020, LOSS-023, LOSS-024.

    Args:
        log_probs: log-probabilities over the vocabulary. Gradient flows.
        head_ids: distinct ids that make the head.

    Returns:
        Nats; ``head + 1`` cells, or ``head`` if nothing is left outside.

    Example:
        >>> with_tail(torch.tensor([0.5, 0.3, 0.2]).log(), torch.tensor([0])).exp()
        tensor([0.5000, 0.5000])
    """
    head = log_probs.gather(-1, head_ids)
    if head_ids.shape[-1] == log_probs.shape[-1]:
        return head
    return torch.cat([head, tail_log_mass(log_probs, head_ids)[..., None]], dim=-1)


def renormalized(
    log_probs: Float[Tensor, "*batch vocab"], head_ids: Int[Tensor, "*batch head"]
) -> Float[Tensor, "*batch head"]:
    """The head's log-probabilities, rescaled to sum to one.

    What lies outside the head is left out: the divergence on this support is neither bounded by the full one nor
    does it grow with k, and it is zero at ``k=1``.
    Implements: LOSS-021, LOSS-026.

    Args:
        log_probs: log-probabilities over the vocabulary. Gradient flows.
        head_ids: distinct ids that make the head.

    Returns:
        Nats.

    Raises:
        InvalidInputError: if a row has no mass on its head, so that there is nothing to rescale.

    Example:
        >>> renormalized(torch.tensor([0.5, 0.3, 0.2]).log(), torch.tensor([0, 1])).exp()
        tensor([0.6250, 0.3750])
    """
    head = log_probs.gather(-1, head_ids)
    if bool((head == -torch.inf).all(-1).any()):
        raise InvalidInputError(
            "a distribution has no mass on the top-k tokens of the other, so it cannot be renormalised; "
            "use support 'top_k_tail', or a larger k"
        )
    return head - torch.logsumexp(head, dim=-1, keepdim=True)


def on_support(
    student_log_probs: Float[Tensor, "*batch vocab"],
    teacher_log_probs: Float[Tensor, "*batch vocab"],
    *,
    support: Support,
    top_k_from: TopKFrom,
) -> tuple[Float[Tensor, "*batch cell"], Float[Tensor, "*batch cell"]]:
    """Student and teacher on the cells of a support: the same token ids for both, chosen by one of them.

    Implements: LOSS-022.

    Args:
        student_log_probs: over the vocabulary. Gradient flows; none flows through the choice of ids.
        teacher_log_probs: over the vocabulary.
        support: ``full``, ``top_k_tail`` or ``top_k_renormalized``.
        top_k_from: whose most likely tokens make the head.

    Returns:
        Log-probabilities of student and teacher on the cells, in nats.

    Raises:
        InvalidInputError: if the support is ``sampled_token``, which compares no cells.
    """
    if support.kind == "full":
        return student_log_probs, teacher_log_probs
    if support.k is None:
        raise InvalidInputError("support 'sampled_token' has no cells; use sdpo_ref.functional.sampled_token")
    chooser = student_log_probs if top_k_from == "student" else teacher_log_probs
    head_ids = top_k_ids(chooser, k=support.k)
    project = with_tail if support.kind == "top_k_tail" else renormalized
    return project(student_log_probs, head_ids), project(teacher_log_probs, head_ids)
