"""ms-swift's loss side: its Jensen-Shannon divergence, and its GKD loss with what its trainer does around it."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.adapters.peers import require_ms_swift
from sdpo_ref.errors import UnsupportedError
from sdpo_ref.types import DistillationBatch, Support

IGNORED = -100
"""What stands in ms-swift's labels where a position does not count."""

# Per-token divergence


def divergence(
    student_log_probs: Float[Tensor, "*batch vocab"],
    teacher_log_probs: Float[Tensor, "*batch vocab"],
    *,
    alpha: float,
    support: Support,
) -> Float[Tensor, "*batch"]:
    """``jsd_loss``, which returns a sum, mapped over the tokens so that it sums over one.

    Raises:
        UnsupportedError: for the tail and for the sampled token.
    """
    peer, teacher = require_ms_swift(), _teacher_output(teacher_log_probs, support)
    student = (
        peer.default_gather(student_log_probs, teacher.topk_indices) if teacher.is_topk_mode else student_log_probs
    )
    compared = teacher.topk_logprobs if teacher.is_topk_mode else teacher.full_logits
    students, teachers = (side.reshape(-1, 1, side.shape[-1]) for side in (student, compared))
    per_token: Tensor = torch.func.vmap(lambda one, other: peer.jsd_loss(one, other, alpha))(students, teachers)
    return per_token.reshape(student_log_probs.shape[:-1])


# The scalar loss


def loss(
    batch: DistillationBatch,
    *,
    alpha: float,
    support: Support,
    temperature: float,
    ratio_cap: float | None,
) -> Float[Tensor, ""]:
    """``gkd_loss`` divided by the tokens that it counted, as ``GKDTrainer`` does, zero where there are none.

    Glue on the trainer's behalf: labels are -100 where a token does not count, and the teacher ran without gradients.

    Raises:
        UnsupportedError: for importance weights, for the tail and for the sampled token.
    """
    if ratio_cap is not None:
        raise UnsupportedError(f"ms-swift has no importance weights, received ratio_cap={ratio_cap}; leave it at None")
    labels = batch.completions.long().masked_fill(~batch.loss_mask, IGNORED)
    teacher = _teacher_output(batch.teacher_logits.detach(), support)
    teacher.labels = labels
    total: Tensor
    total, counted = require_ms_swift().gkd_loss(batch.student_logits, teacher, labels, alpha, temperature)
    return total / counted if counted > 0 else total * 0


def _teacher_output(scores: Float[Tensor, "*batch vocab"], support: Support) -> Any:
    """What ms-swift takes from a teacher: all scores, or those of the teacher's top k."""
    if support.kind not in {"full", "top_k_renormalized"}:
        raise UnsupportedError(
            f"ms-swift compares the full vocabulary or a renormalised top-k, received {support.kind!r}; "
            "leave it out of the capabilities"
        )
    whole = require_ms_swift().TeacherOutput(full_logits=scores)
    return whole if support.k is None else whole.to_topk(support.k)
