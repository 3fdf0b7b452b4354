"""The loss where the teacher is known by its k most likely tokens (spec/04-loss, J)."""

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError, UnsupportedError
from sdpo_ref.functional.aggregation import aggregate
from sdpo_ref.functional.divergence import generalized_jsd
from sdpo_ref.functional.importance import importance_ratio
from sdpo_ref.functional.log_probs import log_probs, token_log_probs
from sdpo_ref.functional.support import renormalized, with_tail
from sdpo_ref.losses import sdpo_loss
from sdpo_ref.losses.dispatch import Impl
from sdpo_ref.losses.options import LossOptions, missing_behaviour
from sdpo_ref.protocols.top_k import LIST_SUPPORTS, ListSupport, TopKBatch
from sdpo_ref.types import Aggregation, DistillationBatch, Support


def top_k_loss(
    batch: TopKBatch,
    *,
    alpha: float,
    support: ListSupport = "top_k_tail",
    temperature: float = 1.0,
    ratio_cap: float | None = None,
    aggregation: Aggregation = "token_mean",
    impl: Impl = "auto",
) -> Float[Tensor, ""]:
    r"""The SDPO loss on the tokens that a server lists, its teacher's own most likely ones.

    =========================  ======================================================================================
    ``top_k_tail``             the listed tokens, and one cell with the mass of all others: the divergence of
                               ``Support("top_k_tail", k)`` on the teacher's head, exactly (LOSS-134)
    ``top_k_renormalized``     the listed tokens alone, both sides rescaled to sum to one (LOSS-135)
    ``cross_entropy``          :math:`-\sum_v \tilde q_v \log p_v` over the list, :math:`\tilde q` the teacher rescaled
                               and the student not; ``alpha=0`` only (LOSS-136)
    =========================  ======================================================================================

    The student's mass outside the list is summed over its logits (LOSS-025); the teacher's is one minus the list, which
    is all that is known.
    Implements: LOSS-128, LOSS-129, LOSS-134, LOSS-135, LOSS-136, LOSS-137, LOSS-139.

    Args:
        batch: with the lists. Gradient flows into the student's logits only.
        alpha: as in :class:`~sdpo_ref.losses.options.LossOptions`, and so are ``ratio_cap`` and ``aggregation``.
        support: what is compared.
        temperature: divides the student's logits; must be the one at which the lists were made.
        ratio_cap: upper bound of the importance ratio; ``None`` for no weights.
        aggregation: how the losses of tokens become one number.
        impl: ``auto`` and ``reference`` compute on the lists, which are small already. ``chunked`` and ``fused`` are
            given :func:`spread_rest`, which takes one row of the vocabulary for each token, and compute the first two
            supports.

    Returns:
        Nats; zero if nothing counts.

    Raises:
        InvalidInputError: if an option is out of range or of another temperature than the lists, if ``ratio_cap`` is
            set without behaviour log-probabilities, or if the reverse KL needs a rest that is lost in rounding.
        UnsupportedError: if the named implementation does not compute this.

    Example:
        >>> ids, scores, mask = torch.tensor([[[1]]]), torch.tensor([[[0.75]]]).log(), torch.tensor([[True]])
        >>> batch = TopKBatch(torch.zeros(1, 1, 2), ids, scores, torch.tensor([[0]]), mask, mask[0])
        >>> top_k_loss(batch, alpha=1.0)  # 0.5 log(0.5 / 0.75) + 0.5 log(0.5 / 0.25)
        tensor(0.1438)
    """
    _require_options(batch, alpha, support, temperature, ratio_cap)
    if impl not in ("auto", "reference"):
        if support == "cross_entropy":
            raise UnsupportedError(
                f"impl={impl!r} cannot compute support 'cross_entropy': it compares cells that both sides have; use "
                "impl='reference'"
            )
        full = Support(support, batch.teacher_ids.shape[-1])
        return sdpo_loss(
            spread_rest(batch),
            alpha=alpha,
            support=full,
            ratio_cap=ratio_cap,
            aggregation=aggregation,
            top_k_from="teacher",
            impl=impl,
        )

    # E. Log-probabilities; a position that does not count is a harmless constant (LOSS-137)
    counts = batch.loss_mask
    student = log_probs(torch.where(counts[..., None], batch.student_logits, 0.0), temperature=temperature)
    first = torch.arange(batch.teacher_ids.shape[-1], device=counts.device)
    ids = torch.where(counts[..., None], batch.teacher_ids.long(), first)
    even = -torch.tensor(float(student.shape[-1])).log().item()
    listed = torch.where(counts[..., None], batch.teacher_log_probs.detach(), even)
    common = torch.promote_types(student.dtype, listed.dtype)
    student, listed = student.to(common), listed.to(common)

    # B. and A. Cells, and the divergence on them (LOSS-134 to LOSS-136)
    match support:
        case "top_k_tail":
            rest = torch.where(counts, batch.rest().to(common), 1.0 - first.numel() / student.shape[-1])
            is_whole = first.numel() == student.shape[-1]
            cells = listed if is_whole else torch.cat([listed, rest.log()[..., None]], dim=-1)
            token_losses = generalized_jsd(with_tail(student, ids), cells.log_softmax(-1), alpha=alpha)
        case "top_k_renormalized":
            token_losses = generalized_jsd(renormalized(student, ids), listed.log_softmax(-1), alpha=alpha)
        case "cross_entropy":
            token_losses = -(listed.softmax(-1) * student.gather(-1, ids)).sum(-1)

    # D. Importance weights (LOSS-040)
    if ratio_cap is not None:
        assert batch.behaviour_log_probs is not None  # noqa: S101 - for mypy
        sampled = token_log_probs(student, torch.where(counts, batch.completions, 0))
        behaviour = torch.where(counts, batch.behaviour_log_probs, 0.0)
        token_losses = token_losses * importance_ratio(sampled, behaviour, ratio_cap=ratio_cap)

    # E. Masks and aggregation
    return aggregate(torch.where(counts, token_losses, 0.0), counts, aggregation=aggregation)


def spread_rest(batch: TopKBatch) -> DistillationBatch:
    """The batch with logits for its teacher: the listed tokens as they are, the rest spread evenly over all others.

    Exact where the teacher's own head is compared (``top_k_from="teacher"`` and the k of the list), whatever alpha; for
    the student's head, or the whole vocabulary, it is this rule and no more. At positions that do not count the teacher
    is even. Where the last listed token is no more likely than the others become, their order is not defined.

    Args:
        batch: with the lists.

    Returns:
        Logits of student and teacher at the temperature of the lists: pass no other to the loss.

    Raises:
        InvalidInputError: if there is a rest, and it is lost in rounding: no token may get a probability of zero.

    Example:
        >>> ids, scores, mask = torch.tensor([[[1]]]), torch.tensor([[[0.5]]]).log(), torch.tensor([[True]])
        >>> batch = TopKBatch(torch.zeros(1, 1, 3), ids, scores, torch.tensor([[0]]), mask, mask[0])
        >>> spread_rest(batch).teacher_logits.softmax(-1)
        tensor([[[0.2500, 0.5000, 0.2500]]])
    """
    batch.require_rest("spreading the rest")
    vocab, k = batch.student_logits.shape[-1], batch.teacher_ids.shape[-1]
    counts = batch.loss_mask[..., None]
    others = (batch.rest() / max(vocab - k, 1))[..., None].log().expand(batch.student_logits.shape)
    ids = torch.where(counts, batch.teacher_ids.long(), torch.arange(k, device=counts.device))
    teacher = torch.where(counts, others.scatter(-1, ids, batch.teacher_log_probs.detach()), 0.0)
    return DistillationBatch(
        batch.student_logits if batch.temperature == 1.0 else batch.student_logits / batch.temperature,
        teacher,
        batch.completions,
        batch.completion_mask,
        batch.self_distillation_mask,
        batch.behaviour_log_probs,
    )


def _require_options(
    batch: TopKBatch, alpha: float, support: ListSupport, temperature: float, ratio_cap: float | None
) -> None:
    """Refuse options that mean nothing, or something else on these lists."""
    LossOptions(alpha=alpha, temperature=temperature, ratio_cap=ratio_cap)
    if support not in LIST_SUPPORTS:
        raise InvalidInputError(f"support is {support!r}; allowed are {', '.join(map(repr, LIST_SUPPORTS))}")
    if temperature != batch.temperature:
        raise InvalidInputError(
            f"the lists were made at temperature {batch.temperature} and the loss has {temperature}; allowed is one "
            "temperature, so ask the server for log-probabilities at that of the loss"
        )
    if support == "cross_entropy" and alpha != 0.0:
        raise InvalidInputError(
            f"support 'cross_entropy' is a forward KL but for the teacher's entropy, so alpha must be 0, not {alpha}"
        )
    if ratio_cap is not None and batch.behaviour_log_probs is None:
        raise InvalidInputError(missing_behaviour(ratio_cap))
    if support == "top_k_tail" and alpha == 1.0:
        batch.require_rest("the reverse KL")
