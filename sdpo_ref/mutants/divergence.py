"""Defects of the divergence of one token (spec/04-loss, A)."""

import torch
from torch import Tensor

from sdpo_ref.functional.divergence import generalized_jsd, kl_divergence, mixture_log_probs
from sdpo_ref.mutants.mutant import Chapter
from sdpo_ref.mutants.plant import Planted
from sdpo_ref.mutants.variation import divergence

FILE = "functional/divergence.py"
INTERIOR = "(1 - alpha) * kl_divergence(student_log_probs, mixture) + alpha * kl_divergence(teacher_log_probs, mixture)"
MIXTURE = "mixture = mixture_log_probs(student_log_probs, teacher_log_probs, alpha=alpha)"
FORWARD = "return kl_divergence(teacher_log_probs, student_log_probs)"
REVERSE = "return kl_divergence(student_log_probs, teacher_log_probs)"

chapter = Chapter()


def swapped_coefficients(s: Tensor, t: Tensor, alpha: float) -> Tensor:
    """Alpha and one minus alpha swapped, in front of the two divergences only."""
    m = mixture_log_probs(s, t, alpha=alpha) if 0 < alpha < 1 else (s if alpha == 0 else t)
    return alpha * kl_divergence(s, m) + (1 - alpha) * kl_divergence(t, m)


def estimated(s: Tensor, t: Tensor, alpha: float) -> Tensor:
    """The estimator r - 1 - log r of the reverse KL in the place of the forward KL."""
    if alpha == 0:
        return (s.exp() * ((t - s).exp() - 1 - (t - s))).sum(-1)
    return generalized_jsd(s, t, alpha=alpha)


def geometric(s: Tensor, t: Tensor, alpha: float) -> Tensor:
    """The two distributions are mixed in the logarithm."""
    if alpha in {0.0, 1.0}:
        return generalized_jsd(s, t, alpha=alpha)
    m = torch.log_softmax((1 - alpha) * s + alpha * t, -1)
    return (1 - alpha) * kl_divergence(s, m) + alpha * kl_divergence(t, m)


chapter.family("direction of the divergence")
chapter.enter(
    "M001 direction_swapped: LOSS-001 LOSS-002",
    "forward and reverse KL are swapped at the ends of alpha",
    "a run meant to cover the teacher seeks its mode, and the other way round",
    divergence=divergence(
        lambda s, t, a: generalized_jsd(s, t, alpha=1 - a) if a in {0, 1} else generalized_jsd(s, t, alpha=a)
    ),
    seen_in="siyan-zhao/OPSD#14 idanshen/Self-Distillation#5 THUDM/slime#2254 paiml/aprender#2153",
)
chapter.enter(
    "M002 always_reverse: LOSS-001 LOSS-061 TRAIN-001",
    "alpha 0 gives the reverse KL as well",
    "the student concentrates on one answer of the teacher instead of covering all",
    Planted(FILE, FORWARD, REVERSE),
)
chapter.enter(
    "M003 always_forward: LOSS-002 LOSS-061 TRAIN-001",
    "alpha 1 gives the forward KL as well",
    "the student spreads over all that the teacher finds possible",
    Planted(FILE, REVERSE, FORWARD),
)
chapter.enter(
    "M004 ends_exchanged: LOSS-001 LOSS-002 LOSS-061 TRAIN-001",
    "alpha 0 and alpha 1 are told apart the wrong way round, in everything that uses the divergence",
    "every run at an end of alpha minimises the other divergence",
    Planted(
        FILE,
        f"{FORWARD}\n    if alpha == 1.0:\n        {REVERSE}",
        f"{REVERSE}\n    if alpha == 1.0:\n        {FORWARD}",
    ),
    same_as="M001",
)
chapter.enter(
    "M005 k3_for_forward: LOSS-001",
    "forward KL is computed by the estimator r - 1 - log r under the student, which is the reverse KL",
    "the student concentrates on one answer where it should cover all of the teacher's",
    divergence=divergence(estimated),
    same_as="M002",
)

chapter.family("formula between the ends of alpha")
chapter.enter(
    "M006 coefficients_swapped: LOSS-003 LOSS-004",
    "JSD coefficients swapped: alpha and one minus alpha swapped before the two KLs",
    "at alpha 0.1 the loss is eight times too large; the learning rate that was tuned no longer fits",
    divergence=divergence(swapped_coefficients),
    seen_in="modelscope/ms-swift#10213 modelscope/ms-swift#10078",
)
chapter.enter(
    "M007 coefficients_swapped_in_float32: LOSS-003 LOSS-004",
    "JSD coefficients swapped, in an implementation that rounds to float32",
    "at alpha 0.1 the loss is eight times too large; the learning rate that was tuned no longer fits",
    divergence=lambda s, t, **o: divergence(swapped_coefficients)(s.float(), t.float(), **o),
    same_as="M006",
)
chapter.enter(
    "M008 coefficients_swapped_everywhere: LOSS-003 LOSS-004 LOSS-061",
    "JSD coefficients swapped in the file that every loss uses",
    "at alpha 0.1 the loss is eight times too large, in training as well",
    Planted(
        FILE,
        INTERIOR,
        "alpha * kl_divergence(student_log_probs, mixture) + (1 - alpha) * kl_divergence(teacher_log_probs, mixture)",
    ),
    same_as="M006",
)
chapter.enter(
    "M009 mixture_swapped: LOSS-003",
    "student and teacher swapped between the ends, so the mixture's weights are swapped",
    "at alpha 0.25 the student is pulled as alpha 0.75 would",
    divergence=divergence(lambda s, t, a: generalized_jsd(t, s, alpha=a)),
)
chapter.enter(
    "M010 mixture_weights_swapped: LOSS-003 LOSS-061",
    "the mixture takes alpha from the student and one minus alpha from the teacher",
    "loss and gradient of another alpha, not even a generalised Jensen-Shannon divergence",
    Planted(
        FILE,
        MIXTURE,
        "mixture = mixture_log_probs(student_log_probs, teacher_log_probs, alpha=1 - alpha)",
    ),
    seen_in="huggingface/trl#3043",
)
chapter.enter(
    "M011 inner_reversed: LOSS-003 LOSS-010",
    "the two KLs inside are taken from the mixture to the sides",
    "the divergence is unbounded and pulls hardest where the teacher is nearly certain",
    Planted(
        FILE,
        INTERIOR,
        "(1 - alpha) * kl_divergence(mixture, student_log_probs) + alpha * kl_divergence(mixture, teacher_log_probs)",
    ),
)
chapter.enter(
    "M012 one_half_only: LOSS-003 LOSS-004",
    "only the student's half of the divergence is kept",
    "the gradient is right, since the mixture's part cancels, but the reported loss is not",
    Planted(FILE, INTERIOR, "(1 - alpha) * kl_divergence(student_log_probs, mixture)"),
)
chapter.enter(
    "M013 not_weighted: LOSS-003 LOSS-010",
    "the two halves are added without their weights",
    "at alpha 0.1 the student is pulled ten times as hard towards the teacher",
    Planted(FILE, INTERIOR, "kl_divergence(student_log_probs, mixture) + kl_divergence(teacher_log_probs, mixture)"),
)
chapter.enter(
    "M014 always_one_half: LOSS-003 LOSS-004 LOSS-061",
    "any alpha between the ends is taken for one half",
    "a sweep over alpha shows that alpha makes no difference",
    Planted(FILE, MIXTURE, f"alpha = 0.5\n    {MIXTURE}"),
)
chapter.enter(
    "M015 geometric_mixture: LOSS-003 LOSS-010",
    "the two sides are mixed in the logarithm",
    "where one side is nearly certain the mixture forgets the other, so the pull vanishes",
    divergence=divergence(geometric),
)

chapter.family("ends of alpha")
chapter.enter(
    "M016 general_formula_at_the_ends: LOSS-001 LOSS-002 LOSS-004",
    "alpha is moved off 0 and 1, so the interior formula gives almost zero there",
    "nothing is learned at alpha 0 or 1, and the loss looks converged",
    divergence=divergence(lambda s, t, a: generalized_jsd(s, t, alpha=min(max(a, 1e-6), 1 - 1e-6))),
    seen_in="huggingface/trl#6780 verl-project/verl-recipe#151 linkedin/Liger-Kernel#278",
)
chapter.enter(
    "M017 rescaled_between_the_ends: LOSS-003 LOSS-004 LOSS-010",
    "the interior formula is divided by alpha times one minus alpha, which makes it continuous at the ends",
    "a loss four times larger at alpha one half",
    Planted(FILE, f"return {INTERIOR}", f"return ({INTERIOR}) / (alpha * (1 - alpha))"),
)
chapter.enter(
    "M018 ends_are_wide: LOSS-004 LOSS-010",
    "alphas within a hundredth of an end count as the end",
    "a small alpha gives a hundred times the right loss",
    Planted(FILE, "if alpha == 0.0:", "if alpha <= 0.01:"),
)
