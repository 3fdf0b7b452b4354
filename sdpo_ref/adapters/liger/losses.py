"""Liger's divergence, and its loss from hidden states with the labels that its trainers would give it."""

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import UnsupportedError
from sdpo_ref.types import HiddenBatch, Support

IGNORED = -100
"""Liger's ``ignore_index``."""


def divergence(
    student_log_probs: Float[Tensor, "*batch vocab"],
    teacher_log_probs: Float[Tensor, "*batch vocab"],
    *,
    alpha: float,
    support: Support,
) -> Float[Tensor, "*batch"]:
    """``LigerFusedLinearJSDFunction.distillation_loss_fn``, which returns a sum, mapped over the tokens.

    Raises:
        UnsupportedError: for another support than the full vocabulary.
    """
    from liger_kernel.chunked_loss.jsd_loss import LigerFusedLinearJSDFunction

    if support.kind != "full":
        raise UnsupportedError(f"Liger compares the full vocabulary, received {support.kind!r}")
    students, teachers = (side.reshape(-1, 1, side.shape[-1]) for side in (student_log_probs, teacher_log_probs))
    of_one = LigerFusedLinearJSDFunction.distillation_loss_fn
    per_token: Tensor = torch.func.vmap(lambda one, other: of_one(one, other, beta=alpha))(students, teachers)
    return per_token.reshape(student_log_probs.shape[:-1])


def hidden_loss(
    batch: HiddenBatch,
    *,
    alpha: float,
    support: Support,
    temperature: float,
    ratio_cap: float | None,
) -> Float[Tensor, ""]:
    """``LigerFusedLinearJSDLoss``, whose ``beta`` is alpha, with the soft loss alone.

    Glue on the trainer's behalf: rows one after the other, and labels of -100 where a token does not count.

    Raises:
        UnsupportedError: for another support than the full vocabulary, and for importance weights.
    """
    from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss

    if support.kind != "full" or ratio_cap is not None:
        raise UnsupportedError(
            f"Liger compares the full vocabulary without importance weights, received {support.kind!r} and "
            f"ratio_cap={ratio_cap}; leave them out of the capabilities"
        )
    module = LigerFusedLinearJSDLoss(
        weight_hard_loss=0.0, weight_soft_loss=1.0, beta=alpha, temperature=temperature, compiled=False
    )
    loss: Tensor = module(
        batch.student_hidden.flatten(0, 1),
        batch.student_head.weight,
        batch.teacher_hidden.flatten(0, 1),
        batch.teacher_head.weight,
        batch.completions.long().masked_fill(~batch.loss_mask, IGNORED).flatten(),
        batch.student_head.bias,
        batch.teacher_head.bias,
    )
    return loss
