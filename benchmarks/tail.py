"""Error of the tail's log mass, read off losses of single tokens in which that logarithm stands with a known factor."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.inputs import SPREAD
from sdpo_ref.losses.reference import sdpo_token_losses
from sdpo_ref.types import DistillationBatch, Support, TopKFrom

LOG_MASSES = tuple(range(-1, -13, -1))
"""Decimal logarithms of the tail's mass on the side that is peaked."""


@dataclass(frozen=True)
class Peaked:
    """Which side is peaked, and the loss that shows the logarithm of its tail.

    Attributes:
        side: ``teacher`` or ``student``.
        alpha: of the loss whose first argument is the other side.
        top_k_from: the other side, nearly all of whose mass is in the tail.
    """

    side: str
    alpha: float
    top_k_from: TopKFrom


PEAKED = (Peaked("teacher", 1.0, "student"), Peaked("student", 0.0, "teacher"))


def tail_error(
    losses: Callable[[DistillationBatch], Float[Tensor, "rollout time"]],
    peaked: Peaked,
    *,
    vocab: int,
    support: Support,
) -> float:
    r"""How far the log mass of the peaked side's tail is off in float32, at worst over masses from 0.1 to 1e-12.

    The loss holds :math:`p_{\mathrm{tail}} \log q_{\mathrm{tail}}`, where p is the other side. Its error divided by
    that factor bounds the error of the logarithm.

    Args:
        losses: of single tokens, for the ``alpha`` and ``top_k_from`` of ``peaked``.
        peaked: which side.
        vocab: number of tokens.
        support: top-k with a tail.

    Returns:
        Nats.
    """
    assert support.k is not None
    broad, narrow, broad_tail = _sides(vocab, support.k)
    batch = _batch(broad, narrow, peaked)
    right = sdpo_token_losses(
        _batch(broad.double(), narrow.double(), peaked),
        alpha=peaked.alpha,
        support=support,
        top_k_from=peaked.top_k_from,
    )
    return float(((losses(batch).double() - right).abs() / broad_tail).max())


def _sides(
    vocab: int, k: int
) -> tuple[Float[Tensor, "1 time {vocab}"], Float[Tensor, "1 time {vocab}"], Float[Tensor, "1 time"]]:
    """Logits of the broad side, of the peaked side, and the mass of the broad side's tail."""
    generator = torch.Generator().manual_seed(0)
    broad, narrow = torch.randn(2, 1, len(LOG_MASSES), vocab, generator=generator)
    narrow *= SPREAD
    in_head = torch.zeros_like(broad, dtype=torch.bool).scatter(-1, broad.topk(k).indices, value=True)
    mass = 10.0 ** torch.tensor(LOG_MASSES, dtype=torch.float64)
    head, tail = (narrow.double().masked_fill(mask, -torch.inf).logsumexp(-1) for mask in (~in_head, in_head))
    lift = torch.log1p(-mass) - mass.log() + tail - head
    narrow = (narrow + torch.where(in_head, lift[..., None], 0.0)).float()
    return broad, narrow, broad.double().softmax(-1).masked_fill(in_head, 0.0).sum(-1)


def _batch(
    broad: Float[Tensor, "rollout time vocab"], narrow: Float[Tensor, "rollout time vocab"], peaked: Peaked
) -> DistillationBatch:
    student, teacher = (broad, narrow) if peaked.side == "teacher" else (narrow, broad)
    mask = torch.ones(broad.shape[:2], dtype=torch.bool)
    return DistillationBatch(student, teacher, torch.zeros(mask.shape, dtype=torch.long), mask, mask[:, 0])
