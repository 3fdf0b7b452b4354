"""The optimised losses behind the doors of ``sdpo-ref verify``: ``sdpo_ref.variants:chunked`` and ``:fused``.

Each is the reference with its divergence and its SDPO loss computed by a variant, and with them SDFT and a hybrid that
mixes losses. What is no loss, and the advantages of the paper's hybrid, are the reference's own.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.protocols.loss import SdpoTokenLosses, SupportDivergence
from sdpo_ref.reference import Losses, Reference
from sdpo_ref.types import DistillationBatch, Support, TopKFrom


def chunked(profile: str = "paper") -> Reference:
    """The reference with the loss in plain torch and bounded memory, as a profile declares it.

    Args:
        profile: name of a published variant, see ``sdpo_ref.config.profile.PROFILES``.

    Returns:
        An implementation with every part.

    Example:
        >>> chunked().name
        'sdpo-ref chunked'
    """
    from sdpo_ref.losses.chunked import sdpo_loss, sdpo_token_losses

    return Reference(profile, losses=Losses("chunked", divergence_from(sdpo_token_losses), sdpo_loss))


def fused(profile: str = "paper") -> Reference:
    """The reference with the loss in Triton, as a profile declares it; needs the extra ``gpu``.

    Args:
        profile: name of a published variant, see ``sdpo_ref.config.profile.PROFILES``.

    Returns:
        An implementation with every part.
    """
    from sdpo_ref.losses.fused import sdpo_loss, sdpo_token_losses

    token_losses = divergence_from(in_float32(sdpo_token_losses))
    return Reference(profile, losses=Losses("fused", token_losses, in_float32(sdpo_loss)))


def in_float32(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same loss of logits rounded to float32 first, for an implementation that takes no float64 (CONF-003).

    Args:
        loss: of a batch of logits.

    Returns:
        A loss whose value is in float32, and whose gradient has the dtype of the logits that it is given.
    """

    def rounded(batch: DistillationBatch, **options: Any) -> Tensor:
        student, teacher = batch.student_logits.float(), batch.teacher_logits.float()
        return loss(replace(batch, student_logits=student, teacher_logits=teacher), **options)

    return rounded


def divergence_from(token_losses: SdpoTokenLosses) -> SupportDivergence:
    """The divergence of tokens by an implementation of the loss: log-probabilities are logits too.

    Args:
        token_losses: the losses of single tokens.

    Returns:
        A divergence whose gradient goes to the student only, and sums to zero over the vocabulary.
    """

    def divergence(
        student_log_probs: Float[Tensor, "*batch vocab"],
        teacher_log_probs: Float[Tensor, "*batch vocab"],
        *,
        alpha: float,
        support: Support,
        top_k_from: TopKFrom,
    ) -> Float[Tensor, "*batch"]:
        rows = student_log_probs.reshape(-1, 1, student_log_probs.shape[-1])
        counted = torch.ones(rows.shape[:2], dtype=torch.bool, device=rows.device)
        batch = DistillationBatch(
            rows, teacher_log_probs.reshape(rows.shape), torch.zeros_like(counted).long(), counted, counted[:, 0]
        )
        found = token_losses(batch, alpha=alpha, support=support, top_k_from=top_k_from)
        return found.reshape(student_log_probs.shape[:-1])

    return divergence
