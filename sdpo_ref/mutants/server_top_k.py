"""Defects of the loss on the top k of a server (spec/04-loss, J)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sdpo_ref.functional.aggregation import aggregate
from sdpo_ref.functional.divergence import generalized_jsd
from sdpo_ref.losses.server_top_k import top_k_loss
from sdpo_ref.mutants.mutant import GOOD, Chapter
from sdpo_ref.mutants.variation import Options
from sdpo_ref.protocols.top_k import ServerTopK, TopKBatch

chapter = Chapter()

Cells = Callable[[Tensor, Tensor, Tensor, Options], Tensor]
"""From the student's log-probabilities, ids and scores of a list, and options, to the loss of each token."""


def lists(change: Callable[[ServerTopK, Options], Tensor]) -> Callable[..., Tensor]:
    """A loss on lists that is ``change(batch, options)``."""

    def part(batch: ServerTopK, **options: Any) -> Tensor:
        return change(batch, options)

    return part


def good(batch: ServerTopK, options: Options) -> Tensor:
    """The right loss."""
    return GOOD.top_k_loss(batch, **options)


def on(cells: Cells, *kinds: str, checked: bool = True) -> Callable[..., Tensor]:
    """A loss with a formula of its own on some supports, and without weights; right on the others."""

    def change(batch: ServerTopK, options: Options) -> Tensor:
        if options["support"] not in kinds or options["ratio_cap"] is not None:
            return good(batch, options)
        if checked:
            good(batch, options)  # what is refused is refused
        counts = batch.loss_mask
        logits = torch.where(counts[..., None], batch.student_logits, 0.0) / options["temperature"]
        first = torch.arange(batch.teacher_ids.shape[-1])
        ids = torch.where(counts[..., None], batch.teacher_ids, first)
        scores = torch.where(counts[..., None], batch.teacher_log_probs.detach(), -3.0)
        tokens = cells(logits.log_softmax(-1), ids, scores, options)
        return aggregate(torch.where(counts, tokens, 0.0), counts, aggregation="token_mean")

    return lists(change)


def rest(scores: Tensor) -> Tensor:
    """Log of one minus the list."""
    return torch.log1p(-scores.exp().sum(-1, keepdim=True))


def raw(student: Tensor, ids: Tensor, scores: Tensor, options: Options) -> Tensor:
    """The listed tokens, neither with a rest nor rescaled."""
    return generalized_jsd(student.gather(-1, ids), scores, alpha=options["alpha"])


def minus_infinity(student: Tensor, ids: Tensor, scores: Tensor, options: Options) -> Tensor:
    """What is not listed is impossible, and the softmax takes care of the rest."""
    filled = torch.full_like(student, -1e4).scatter(-1, ids, scores).log_softmax(-1)
    return generalized_jsd(student, filled, alpha=options["alpha"])


def clamped_tail(student: Tensor, ids: Tensor, scores: Tensor, options: Options) -> Tensor:
    """The student's tail is one minus its head, at least 1e-7."""
    head = student.gather(-1, ids)
    left = (1 - head.exp().sum(-1, keepdim=True)).clamp_min(1e-7).log()
    sides = torch.cat([head, left], -1), torch.cat([scores, rest(scores)], -1)
    return generalized_jsd(*sides, alpha=options["alpha"])


def by_rank(student: Tensor, ids: Tensor, scores: Tensor, options: Options) -> Tensor:
    """The student's own most likely tokens beside the teacher's, by rank."""
    own = student.topk(ids.shape[-1], dim=-1).values
    return generalized_jsd(own.log_softmax(-1), scores.log_softmax(-1), alpha=options["alpha"])


def student_rescaled(student: Tensor, ids: Tensor, scores: Tensor, options: Options) -> Tensor:
    """A cross-entropy of the rescaled list with the rescaled student."""
    del options
    return -(scores.softmax(-1) * student.gather(-1, ids).log_softmax(-1)).sum(-1)


def teacher_rescaled(student: Tensor, ids: Tensor, scores: Tensor, options: Options) -> Tensor:
    """One side is rescaled, the other is not."""
    return generalized_jsd(student.gather(-1, ids), scores.log_softmax(-1), alpha=options["alpha"])


def tail_of_a_list(student: Tensor, ids: Tensor, scores: Tensor, options: Options) -> Tensor:
    """The cells of any list, however it is made."""
    head = student.gather(-1, ids)
    others = student.scatter(-1, ids, -torch.inf).logsumexp(-1, keepdim=True)
    left = (1 - scores.exp().sum(-1, keepdim=True)).clamp_min(1e-9).log()
    if ids.shape[-1] == student.shape[-1]:
        return generalized_jsd(head, scores, alpha=options["alpha"])
    return generalized_jsd(torch.cat([head, others], -1), torch.cat([scores, left], -1), alpha=options["alpha"])


def padding_read(batch: ServerTopK, options: Options) -> Tensor:
    """Lists are read at every position, and the losses multiplied by the mask."""
    if options["support"] != "top_k_tail" or options["ratio_cap"] is not None:
        return good(batch, options)
    good(batch, options)  # what is refused is refused
    counts = batch.loss_mask
    logits = torch.where(counts[..., None], batch.student_logits, 0.0) / options["temperature"]
    ids = batch.teacher_ids.clamp(0, logits.shape[-1] - 1)
    tokens = tail_of_a_list(logits.log_softmax(-1), ids, batch.teacher_log_probs.detach(), options)
    return (tokens * counts).sum() / counts.sum().clamp_min(1)


def zero(batch: ServerTopK, options: Options) -> Tensor:
    """Always zero, on the graph."""
    good(batch, options)
    return (torch.where(batch.student_logits.isfinite(), batch.student_logits, 0.0) * 0.0).sum()


def of_any_temperature(batch: ServerTopK, options: Options) -> Tensor:
    """The list is taken for one at the temperature of the loss."""
    return top_k_loss(TopKBatch.of(replace(batch, temperature=options["temperature"])), **options)


tail_unchecked = on(tail_of_a_list, "top_k_tail", checked=False)
"""The right cells of any list; nothing is refused."""


chapter.family("the top k of a server")
chapter.enter(
    "M671 list_raw: LOSS-134",
    "the listed tokens are compared as they are, without the rest",
    "the loss falls below zero, and is lowered by draining the list",
    top_k_loss=on(raw, "top_k_tail"),
    seen_in="verl-0.9.1",
)
chapter.enter(
    "M672 list_filled: LOSS-134",
    "every token that is not listed is taken for impossible, and the list is normalised again",
    "the student is trained to empty its tail",
    top_k_loss=on(minus_infinity, "top_k_tail"),
)
chapter.enter(
    "M673 list_tail_clamped: LOSS-134",
    "the student's tail is one minus its head, at least 1e-7",
    "a confident student has no gradient on its tail",
    top_k_loss=on(clamped_tail, "top_k_tail"),
)
chapter.enter(
    "M674 list_by_rank: LOSS-129 LOSS-135",
    "each side's own most likely tokens are compared by rank",
    "unrelated tokens are compared",
    top_k_loss=on(by_rank, "top_k_renormalized", checked=False),
)
chapter.enter(
    "M675 list_half_rescaled: LOSS-135",
    "the teacher is rescaled over the list, the student is not",
    "the comparison is no divergence",
    top_k_loss=on(teacher_rescaled, "top_k_renormalized"),
)
chapter.enter(
    "M676 list_unchecked: LOSS-138",
    "any list is taken: ids twice, fewer than k, more mass than one",
    "the student learns from scores that nobody computed",
    top_k_loss=tail_unchecked,
    seen_in="vllm-project/vllm#36746",
)
chapter.enter(
    "M677 list_padding_read: LOSS-137",
    "lists are read where nothing counts, and the losses multiplied by the mask",
    "NaN in a list that pads a prompt destroys the step",
    top_k_loss=lists(padding_read),
)
chapter.enter(
    "M678 list_student_rescaled: LOSS-136",
    "the student is rescaled in the cross-entropy, too",
    "nothing pulls the student's mass into the list",
    top_k_loss=on(student_rescaled, "cross_entropy"),
)
chapter.enter(
    "M679 list_of_any_temperature: LOSS-139",
    "a list made at another temperature is taken as it is",
    "the student is trained to the sharpness of another temperature",
    top_k_loss=lists(of_any_temperature),
)
chapter.enter(
    "M680 list_always_zero: LOSS-128 LOSS-134 LOSS-135 LOSS-136",
    "on lists the loss is zero, whatever they are",
    "nothing is learned",
    top_k_loss=lists(zero),
)
