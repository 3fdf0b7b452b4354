"""Defects of the sum over the vocabulary: lost terms, small probabilities, alphas out of range (spec/04-loss, A)."""

import math

import torch
from torch import Tensor

from sdpo_ref.functional.divergence import generalized_jsd
from sdpo_ref.mutants.mutant import GOOD, Chapter
from sdpo_ref.mutants.plant import Planted
from sdpo_ref.mutants.variation import divergence
from sdpo_ref.types import Support

FILE = "functional/divergence.py"

chapter = Chapter()


def plain_arithmetic(s: Tensor, t: Tensor, alpha: float) -> Tensor:
    """The formulas as they stand in papers."""
    if alpha in {0.0, 1.0}:
        p, q = (t, s) if alpha == 0 else (s, t)
        return (p.exp() * (p - q)).sum(-1)
    m = torch.logaddexp(s + math.log1p(-alpha), t + math.log(alpha))
    return (1 - alpha) * (s.exp() * (s - m)).sum(-1) + alpha * (t.exp() * (t - m)).sum(-1)


def clipped_terms(s: Tensor, t: Tensor, alpha: float) -> Tensor:
    """Each vocabulary entry's term is limited before the sum."""
    if 0 < alpha < 1:
        return generalized_jsd(s, t, alpha=alpha)
    p, q = (t, s) if alpha == 0 else (s, t)
    return (p.exp() * (p - q)).clamp(max=0.05).sum(-1)


def any_alpha(student: Tensor, teacher: Tensor, *, alpha: float, support: Support) -> Tensor:
    """An alpha out of range is moved into it."""
    return GOOD.divergence(student, teacher, alpha=min(max(alpha, 0.0), 1.0), support=support)


chapter.family("terms of the sum")
chapter.enter(
    "M019 terms_clipped: LOSS-005",
    "vocabulary terms are clipped before they are summed",
    "the loss becomes negative and falls by leaving the teacher",
    divergence=divergence(clipped_terms),
    seen_in="siyan-zhao/OPSD#2 siyan-zhao/OPSD#24 huggingface/trl#5990 THUDM/slime#2074",
)
chapter.enter(
    "M020 mean_over_the_vocabulary: LOSS-001 LOSS-002 LOSS-003 LOSS-061",
    "terms are averaged over the vocabulary",
    "the loss shrinks with the size of the vocabulary, to nothing at a hundred thousand tokens",
    Planted(FILE, "return terms.sum(-1)", "return terms.mean(-1)"),
)
chapter.enter(
    "M021 last_token_forgotten: LOSS-001 LOSS-006 LOSS-103 LOSS-108",
    "the last token of the vocabulary is left out of the sum",
    "whatever has the last id, often the end of the turn, is not distilled",
    Planted(FILE, "return terms.sum(-1)", "return terms[..., :-1].sum(-1)"),
)
chapter.enter(
    "M022 first_token_counts_more: LOSS-006",
    "a factor depends on the probability of token 0",
    "the loss depends on which token has which id",
    divergence=divergence(lambda s, t, a: generalized_jsd(s, t, alpha=a) * (1 + s[..., 0].exp())),
)
chapter.enter(
    "M023 absolute_terms: LOSS-001 LOSS-002",
    "the absolute value of each term p log(p / q) is summed",
    "the loss is no divergence; its gradient pushes where it should pull",
    divergence=divergence(
        lambda s, t, a: (
            generalized_jsd(s, t, alpha=a)
            if 0 < a < 1
            else ((t.exp() * (t - s)).abs().sum(-1) if a == 0 else (s.exp() * (s - t)).abs().sum(-1))
        )
    ),
)

chapter.family("probabilities near zero")
chapter.enter(
    "M024 nan_on_zero_mass: LOSS-007",
    "the formulas as they stand in papers: zero times minus infinity",
    "one masked token of the vocabulary makes the loss NaN",
    divergence=divergence(plain_arithmetic),
    seen_in="huggingface/trl#5594",
)
chapter.enter(
    "M025 nan_behind_a_good_value: LOSS-007",
    "NaN is replaced in the value, and lives on in the gradient",
    "the loss curve looks well and all weights become NaN at the first such token",
    divergence=divergence(lambda s, t, a: torch.nan_to_num(plain_arithmetic(s, t, a), posinf=math.inf)),
    seen_in="lasgroup/SDPO",
)
chapter.enter(
    "M026 infinity_hidden: LOSS-008",
    "an infinite divergence is reported as 100",
    "a teacher that rules the student's token out is not noticed",
    divergence=divergence(lambda s, t, a: torch.nan_to_num(generalized_jsd(s, t, alpha=a), posinf=100.0)),
)
chapter.enter(
    "M027 probabilities_floored: LOSS-011",
    "log-probabilities are floored at -16 on both sides",
    "tokens that are very unlikely on one side stop to matter",
    divergence=divergence(lambda s, t, a: generalized_jsd(s.clamp(min=-16), t.clamp(min=-16), alpha=a)),
)
chapter.enter(
    "M028 teacher_floored: LOSS-012",
    "the teacher's log-probabilities are floored at -8",
    "what the teacher rules out is kept alive",
    divergence=divergence(lambda s, t, a: generalized_jsd(s, t.clamp(min=-8), alpha=a)),
)
chapter.enter(
    "M029 epsilon_in_the_logarithm: LOSS-008 LOSS-011",
    "1e-8 is added to the probabilities before the logarithm is taken",
    "a divergence between almost certain rows is cut off, and both sides no longer sum to one",
    divergence=divergence(lambda s, t, a: generalized_jsd((s.exp() + 1e-8).log(), (t.exp() + 1e-8).log(), alpha=a)),
)

chapter.family("what must be refused")
chapter.enter(
    "M030 any_alpha: LOSS-009",
    "an alpha outside [0, 1] is moved into it",
    "a slip in a configuration trains with another divergence, in silence",
    divergence=any_alpha,
)
chapter.enter(
    "M031 nan_alpha_passes: LOSS-009",
    "an alpha that is not a number passes",
    "a slip in a configuration makes the loss NaN at the first step",
    Planted(FILE, "if not 0.0 <= alpha <= 1.0:", "if alpha < 0.0 or alpha > 1.0:"),
)
