"""Defects of top-k supports (spec/04-loss, B)."""

from typing import Any

import torch
from torch import Tensor

from sdpo_ref.functional.divergence import generalized_jsd
from sdpo_ref.functional.support import on_support
from sdpo_ref.mutants.mutant import GOOD, Chapter
from sdpo_ref.mutants.near_zero import plain_arithmetic
from sdpo_ref.mutants.plant import Planted
from sdpo_ref.mutants.variation import good, loss, tail_cells
from sdpo_ref.types import FULL, Support

FILE = "functional/support.py"

chapter = Chapter()


def head(log_probabilities: Tensor, ids: Tensor) -> Tensor:
    """Log-probabilities of the given tokens."""
    return log_probabilities.gather(-1, ids)


def with_clamped_tail(row: Tensor, ids: Tensor, *, limit: float = -1e-7) -> Tensor:
    """The head and one minus the head, as published codes compute it."""
    top = head(row, ids)
    mass = torch.logsumexp(top, -1, keepdim=True).clamp(max=limit)
    return torch.cat([top, torch.log(-torch.expm1(mass))], -1)


def no_tail(s: Tensor, t: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The head alone, not rescaled."""
    ids = s.topk(k).indices
    return head(s, ids), head(t, ids)


def own_heads(s: Tensor, t: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Each side's own most likely tokens, compared by rank."""
    return with_clamped_tail(s, s.topk(k).indices), with_clamped_tail(t, t.topk(k).indices)


def clamped(s: Tensor, t: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """A tail of at least 1e-7."""
    ids = s.topk(k).indices
    return with_clamped_tail(s, ids), with_clamped_tail(t, ids)


def subtracted(s: Tensor, t: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """A tail of one minus the head, without a guard."""
    ids = s.topk(k).indices
    return tuple(
        torch.cat([head(row, ids), torch.log1p(-head(row, ids).exp().sum(-1, keepdim=True))], -1) for row in (s, t)
    )  # type: ignore[return-value]


def one_fewer(s: Tensor, t: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """A token short."""
    ids = s.topk(max(k - 1, 1)).indices
    return with_clamped_tail(s, ids), with_clamped_tail(t, ids)


def students_tail(s: Tensor, t: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """One tail for both sides."""
    own = with_clamped_tail(s, s.topk(k).indices)
    return own, torch.cat([head(t, s.topk(k).indices), own[..., -1:]], -1)


def clamped_at_zero(s: Tensor, t: Tensor, alpha: float) -> Tensor:
    """A divergence that cannot be negative, because it is cut there."""
    return plain_arithmetic(s, t, alpha).clamp(min=0)


def exchanged_supports(student: Tensor, teacher: Tensor, *, alpha: float, support: Support) -> Tensor:
    """The knob between tail and rescaling is inverted."""
    other = {"top_k_tail": "top_k_renormalized", "top_k_renormalized": "top_k_tail"}
    kind: Any = other.get(support.kind, support.kind)
    return GOOD.divergence(student, teacher, alpha=alpha, support=Support(kind, support.k))


def chosen_by_the_teacher(student: Tensor, teacher: Tensor, *, alpha: float, support: Support) -> Tensor:
    """The declared profile says student."""
    return generalized_jsd(*on_support(student, teacher, support=support, top_k_from="teacher"), alpha=alpha)


def no_more_than_there_are(student: Tensor, teacher: Tensor, *, alpha: float, support: Support) -> Tensor:
    """A k above the vocabulary raises."""
    if support.k is not None:
        student.topk(support.k)
    return GOOD.divergence(student, teacher, alpha=alpha, support=support)


chapter.family("tail of a top-k support")
chapter.enter(
    "M041 tail_dropped: LOSS-020 LOSS-023",
    "no tail and no rescaling: what is compared does not sum to one",
    "the loss becomes negative, and falls by draining the top-k tokens",
    divergence=tail_cells(no_tail, plain_arithmetic),
    seen_in="verl-project/verl#5041 verl-project/verl#7856",
)
chapter.enter(
    "M042 negative_cut_to_zero: LOSS-020 LOSS-024",
    "no tail, and the negative divergence that comes of it is cut to zero",
    "most steps have no gradient at all",
    divergence=tail_cells(no_tail, clamped_at_zero),
    same_as="M041",
    seen_in="verl-project/verl#7856",
)
chapter.enter(
    "M043 tail_clamped: LOSS-025",
    "the tail is one minus the head, at least 1e-7",
    "where the teacher is nearly certain the tail has no gradient: the student's own tail is not pulled in",
    divergence=tail_cells(clamped),
)
chapter.enter(
    "M044 tail_clamped_everywhere: LOSS-025",
    "the tail is one minus the head, at least 1e-7, in every loss",
    "where the teacher is nearly certain the tail has no gradient: the student's own tail is not pulled in",
    Planted(
        FILE,
        "return torch.where(has_mass, torch.logsumexp(safe, dim=-1), -torch.inf)",
        "mass = torch.logsumexp(log_probs.gather(-1, head_ids), -1)\n"
        "    return torch.log(-torch.expm1(mass.clamp(max=-1e-7)))",
    ),
    same_as="M043",
)
chapter.enter(
    "M045 tail_by_subtraction: LOSS-025",
    "the tail is the logarithm of one minus the head, without a guard",
    "a head that rounds to one gives NaN, or a tail made of rounding errors",
    divergence=tail_cells(subtracted),
)
chapter.enter(
    "M046 tail_averaged: LOSS-020 LOSS-028",
    "the tail's cell holds the mean probability of its tokens, not their sum",
    "the cells do not sum to one, and the tail hardly counts",
    Planted(
        FILE,
        "return torch.where(has_mass, torch.logsumexp(safe, dim=-1), -torch.inf)",
        "mean = torch.logsumexp(safe, dim=-1) - tail.sum(-1).clamp(min=1).log()\n"
        "    return torch.where(has_mass, mean, -torch.inf)",
    ),
)
chapter.enter(
    "M047 tail_without_gradient: LOSS-025 LOSS-028",
    "no gradient flows into the tail",
    "mass outside the top tokens is never moved",
    Planted(
        FILE,
        "tail_log_mass(log_probs, head_ids)[..., None]]",
        "tail_log_mass(log_probs, head_ids)[..., None].detach()]",
    ),
)

chapter.family("tokens of a top-k support")
chapter.enter(
    "M048 own_heads: LOSS-022",
    "each side uses its own most likely tokens, compared by rank",
    "probabilities of different tokens are pulled together",
    divergence=tail_cells(own_heads),
)
chapter.enter(
    "M049 chosen_by_the_teacher: LOSS-022",
    "the teacher chooses the tokens, while the profile says the student",
    "the student's own mistakes lie in the tail and are hardly corrected",
    divergence=chosen_by_the_teacher,
)
chapter.enter(
    "M050 least_likely: LOSS-020 LOSS-022",
    "the k least likely tokens are taken",
    "the loss is about tokens that neither side ever samples",
    Planted(FILE, "min(k, log_probs.shape[-1]), dim=-1)", "min(k, log_probs.shape[-1]), dim=-1, largest=False)"),
)
chapter.enter(
    "M051 first_ids: LOSS-020 LOSS-022",
    "the first k ids of the vocabulary are taken",
    "the loss compares punctuation and forgets the words",
    Planted(
        FILE,
        "return log_probs.topk(min(k, log_probs.shape[-1]), dim=-1).indices",
        "return torch.arange(min(k, log_probs.shape[-1])).expand(*log_probs.shape[:-1], -1)",
    ),
)
chapter.enter(
    "M052 one_fewer: LOSS-020 LOSS-024",
    "k minus one tokens are taken",
    "a coarser divergence than was chosen",
    divergence=tail_cells(one_fewer),
)
chapter.enter(
    "M053 one_more: LOSS-020 LOSS-021",
    "k plus one tokens are taken",
    "a finer divergence than was chosen; numbers of other codes cannot be compared",
    Planted(FILE, "head_ids = top_k_ids(chooser, k=support.k)", "head_ids = top_k_ids(chooser, k=support.k + 1)"),
)
chapter.enter(
    "M054 k_ignored: LOSS-020 LOSS-021",
    "k is always 2",
    "a sweep over k shows that k makes no difference",
    Planted(FILE, "head_ids = top_k_ids(chooser, k=support.k)", "head_ids = top_k_ids(chooser, k=2)"),
)
chapter.enter(
    "M055 k_above_the_vocabulary: LOSS-027",
    "a k above the vocabulary raises",
    "small test models cannot be trained with the published settings",
    divergence=no_more_than_there_are,
)

chapter.family("kind of support")
chapter.enter(
    "M056 supports_exchanged: LOSS-020 LOSS-021 LOSS-026",
    "the option that chooses between tail and rescaling is inverted",
    "numbers are those of the other support",
    divergence=exchanged_supports,
)
chapter.enter(
    "M057 never_rescaled: LOSS-021 LOSS-026",
    "rescaling is left out",
    "what is compared does not sum to one, as in M041",
    Planted(FILE, "return head - torch.logsumexp(head, dim=-1, keepdim=True)", "return head"),
)
chapter.enter(
    "M058 rescaled_by_the_mean: LOSS-021",
    "the head is centred in the logarithm instead of being rescaled to sum to one",
    "the cells are no probabilities",
    Planted(FILE, "head - torch.logsumexp(head, dim=-1, keepdim=True)", "head - head.mean(-1, keepdim=True)"),
)
chapter.enter(
    "M059 full_vocabulary_after_all: LOSS-028 LOSS-030",
    "the loss takes every support for the full vocabulary",
    "memory and numbers are those of the full vocabulary",
    loss=loss(lambda b, o: good(b, {**o, "support": FULL})),
)
chapter.enter(
    "M060 tail_on_one_side: LOSS-020 LOSS-023",
    "the teacher's tail is that of the student",
    "the mass that the teacher gives to other tokens is not learned",
    divergence=tail_cells(students_tail, plain_arithmetic),
)
