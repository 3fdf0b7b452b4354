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


TAIL = "tail of a top-k support"
chapter.enter(
    41,
    "tail_dropped",
    TAIL,
    "no tail and no rescaling: what is compared does not sum to one",
    "the loss becomes negative, and falls by draining the top-k tokens",
    "LOSS-020 LOSS-023",
    divergence=tail_cells(no_tail, plain_arithmetic),
    seen_in="verl-project/verl#5041 verl-project/verl#7856",
)
chapter.enter(
    42,
    "negative_cut_to_zero",
    TAIL,
    "no tail, and the negative divergence that comes of it is cut to zero",
    "most steps have no gradient at all",
    "LOSS-020 LOSS-024",
    divergence=tail_cells(no_tail, clamped_at_zero),
    same_as=41,
    seen_in="verl-project/verl#7856",
)
chapter.enter(
    43,
    "tail_clamped",
    TAIL,
    "the tail is one minus the head, at least 1e-7",
    "where the teacher is nearly certain the tail has no gradient: the student's own tail is not pulled in",
    "LOSS-025",
    divergence=tail_cells(clamped),
)
chapter.enter(
    44,
    "tail_clamped_everywhere",
    TAIL,
    "the tail is one minus the head, at least 1e-7, in every loss",
    "where the teacher is nearly certain the tail has no gradient: the student's own tail is not pulled in",
    "LOSS-025",
    Planted(
        FILE,
        "return torch.where(has_mass, torch.logsumexp(safe, dim=-1), -torch.inf)",
        "mass = torch.logsumexp(log_probs.gather(-1, head_ids), -1)\n"
        "    return torch.log(-torch.expm1(mass.clamp(max=-1e-7)))",
    ),
    same_as=43,
)
chapter.enter(
    45,
    "tail_by_subtraction",
    TAIL,
    "the tail is the logarithm of one minus the head, without a guard",
    "a head that rounds to one gives NaN, or a tail made of rounding errors",
    "LOSS-025",
    divergence=tail_cells(subtracted),
)
chapter.enter(
    46,
    "tail_averaged",
    TAIL,
    "the tail's cell holds the mean probability of its tokens, not their sum",
    "the cells do not sum to one, and the tail hardly counts",
    "LOSS-020 LOSS-028",
    Planted(
        FILE,
        "return torch.where(has_mass, torch.logsumexp(safe, dim=-1), -torch.inf)",
        "mean = torch.logsumexp(safe, dim=-1) - tail.sum(-1).clamp(min=1).log()\n"
        "    return torch.where(has_mass, mean, -torch.inf)",
    ),
)
chapter.enter(
    47,
    "tail_without_gradient",
    TAIL,
    "no gradient flows into the tail",
    "mass outside the top tokens is never moved",
    "LOSS-025 LOSS-028",
    Planted(
        FILE,
        "return torch.cat([head, tail_log_mass(log_probs, head_ids)[..., None]], dim=-1)",
        "return torch.cat([head, tail_log_mass(log_probs, head_ids)[..., None].detach()], dim=-1)",
    ),
)

HEAD = "tokens of a top-k support"
chapter.enter(
    48,
    "own_heads",
    HEAD,
    "each side uses its own most likely tokens, compared by rank",
    "probabilities of different tokens are pulled together",
    "LOSS-022",
    divergence=tail_cells(own_heads),
)
chapter.enter(
    49,
    "chosen_by_the_teacher",
    HEAD,
    "the teacher chooses the tokens, while the profile says the student",
    "the student's own mistakes lie in the tail and are hardly corrected",
    "LOSS-022",
    divergence=chosen_by_the_teacher,
)
chapter.enter(
    50,
    "least_likely",
    HEAD,
    "the k least likely tokens are taken",
    "the loss is about tokens that neither side ever samples",
    "LOSS-020 LOSS-022",
    Planted(
        FILE,
        "log_probs.topk(min(k, log_probs.shape[-1]), dim=-1)",
        "log_probs.topk(min(k, log_probs.shape[-1]), dim=-1, largest=False)",
    ),
)
chapter.enter(
    51,
    "first_ids",
    HEAD,
    "the first k ids of the vocabulary are taken",
    "the loss compares punctuation and forgets the words",
    "LOSS-020 LOSS-022",
    Planted(
        FILE,
        "return log_probs.topk(min(k, log_probs.shape[-1]), dim=-1).indices",
        "return torch.arange(min(k, log_probs.shape[-1])).expand(*log_probs.shape[:-1], -1)",
    ),
)
chapter.enter(
    52,
    "one_fewer",
    HEAD,
    "k minus one tokens are taken",
    "a coarser divergence than was chosen",
    "LOSS-020 LOSS-024",
    divergence=tail_cells(one_fewer),
)
chapter.enter(
    53,
    "one_more",
    HEAD,
    "k plus one tokens are taken",
    "a finer divergence than was chosen; numbers of other codes cannot be compared",
    "LOSS-020 LOSS-021",
    Planted(FILE, "head_ids = top_k_ids(chooser, k=support.k)", "head_ids = top_k_ids(chooser, k=support.k + 1)"),
)
chapter.enter(
    54,
    "k_ignored",
    HEAD,
    "k is always 2",
    "a sweep over k shows that k makes no difference",
    "LOSS-020 LOSS-021",
    Planted(FILE, "head_ids = top_k_ids(chooser, k=support.k)", "head_ids = top_k_ids(chooser, k=2)"),
)
chapter.enter(
    55,
    "k_above_the_vocabulary",
    HEAD,
    "a k above the vocabulary raises",
    "small test models cannot be trained with the published settings",
    "LOSS-027",
    divergence=no_more_than_there_are,
)

KIND = "kind of support"
chapter.enter(
    56,
    "supports_exchanged",
    KIND,
    "the option that chooses between tail and rescaling is inverted",
    "numbers are those of the other support",
    "LOSS-020 LOSS-021 LOSS-026",
    divergence=exchanged_supports,
)
chapter.enter(
    57,
    "never_rescaled",
    KIND,
    "rescaling is left out",
    "what is compared does not sum to one, as in M041",
    "LOSS-021 LOSS-026",
    Planted(FILE, "return head - torch.logsumexp(head, dim=-1, keepdim=True)", "return head"),
)
chapter.enter(
    58,
    "rescaled_by_the_mean",
    KIND,
    "the head is centred in the logarithm instead of being rescaled to sum to one",
    "the cells are no probabilities",
    "LOSS-021",
    Planted(
        FILE,
        "return head - torch.logsumexp(head, dim=-1, keepdim=True)",
        "return head - head.mean(-1, keepdim=True)",
    ),
)
chapter.enter(
    59,
    "full_vocabulary_after_all",
    KIND,
    "the loss takes every support for the full vocabulary",
    "memory and numbers are those of the full vocabulary",
    "LOSS-028 LOSS-030",
    loss=loss(lambda b, o: good(b, {**o, "support": FULL})),
)
chapter.enter(
    60,
    "tail_on_one_side",
    KIND,
    "the teacher's tail is that of the student",
    "the mass that the teacher gives to other tokens is not learned",
    "LOSS-020 LOSS-023",
    divergence=tail_cells(students_tail, plain_arithmetic),
)

MUTANTS = tuple(chapter.mutants)
