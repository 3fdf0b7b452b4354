"""Properties of top-k supports that hold for every input (spec/04-loss, B)."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sdpo_ref.types import FULL, Support
from sdpo_ref.verify.comparison import assert_close, assert_that
from sdpo_ref.verify.inputs import distributions
from sdpo_ref.verify.subject import Subject

ALPHAS = st.sampled_from([0.0, 0.25, 0.5, 1.0])


@pytest.mark.requirement("LOSS-023")
@given(student=distributions(size=6), teacher=distributions(size=6), alpha=ALPHAS)
def test_tail_coarsens(subject: Subject, student: Tensor, teacher: Tensor, alpha: float) -> None:
    """Nested supports give divergences that grow with k up to the one on the full vocabulary."""
    full = float(subject.divergence(student[None], teacher[None], alpha=alpha, support=FULL))
    nested = [
        float(subject.divergence(student[None], teacher[None], alpha=alpha, support=Support("top_k_tail", k)))
        for k in range(1, 6)
    ]
    rising = [*nested, full]
    assert_that(
        all(low <= high + subject.slack * max(1.0, high) for low, high in pairwise(rising)),
        "divergences that do not fall as k grows, the last at most that of the full vocabulary",
        ", ".join(f"k={k}: {value:.10g}" for k, value in enumerate(nested, start=1)) + f", full: {full:.10g} nats",
        {"student_log_probs": student, "teacher_log_probs": teacher, "alpha": alpha},
        looks_like="K01 no tail and no renormalisation" if nested[0] < -subject.slack else "",
    )


@pytest.mark.requirement("LOSS-024")
@given(student=distributions(size=4), teacher=distributions(size=4), alpha=ALPHAS, k=st.sampled_from([3, 4]))
def test_last_token_is_its_own_tail(subject: Subject, student: Tensor, teacher: Tensor, alpha: float, k: int) -> None:
    """All tokens but one, or all, with a tail, is the full vocabulary."""
    full = subject.divergence(student[None], teacher[None], alpha=alpha, support=FULL)
    tail = subject.divergence(student[None], teacher[None], alpha=alpha, support=Support("top_k_tail", k))
    # one minus the head loses up to 1e-16 of a tail as small as e^-12: a relative error of 1e-10
    assert_close(
        tail,
        full,
        what="divergence in nats, that of the full vocabulary,",
        relative=1e-9,
        absolute=1e-9,
        given={"student_log_probs": student, "teacher_log_probs": teacher, "alpha": alpha, "k": k},
    )


@pytest.mark.requirement("LOSS-025")
@pytest.mark.parametrize("exponent", [3, 6, 8, 10, 12])
def test_small_tail_keeps_its_gradient(subject: Subject, exponent: int) -> None:
    """The student's tail still feels the teacher when the teacher's tail is small, and the other way round."""
    student = torch.tensor([[0.5, 0.3, 0.15, 0.05]], dtype=torch.float64).log()
    small = 10.0**-exponent
    teacher = torch.tensor([[0.6, 0.4 - small, small * 0.75, small * 0.25]], dtype=torch.float64).log()
    found = subject.divergence_gradient(student, teacher, alpha=1.0, support=Support("top_k_tail", 2))
    # reverse KL on the cells (0.5, 0.3, 0.2) and (0.6, 0.4 - small, small): p (log p/q - KL), the tail shared by weight
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    q = torch.tensor([0.6, 0.4 - small, small], dtype=torch.float64)
    kl = (p * (p / q).log()).sum()
    cells = p * ((p / q).log() - kl)
    expected = torch.stack([cells[0], cells[1], 0.75 * cells[2], 0.25 * cells[2]])[None]
    assert_close(
        found.student,
        expected,
        what="gradient w.r.t. the student's logits",
        relative=1e-9,
        absolute=1e-9,
        given={"teacher_tail_mass": small, "student_log_probs": student, "alpha": 1.0, "k": 2},
        known_wrong=(),
    )


@pytest.mark.requirement("LOSS-026")
@given(student=distributions(), teacher=distributions(), alpha=ALPHAS)
def test_one_renormalised_token_is_certain(subject: Subject, student: Tensor, teacher: Tensor, alpha: float) -> None:
    """A single renormalised token has probability one on both sides."""
    value = float(
        subject.divergence(student[None], teacher[None], alpha=alpha, support=Support("top_k_renormalized", 1))
    )
    assert_that(
        abs(value) <= subject.slack,
        "0 nats",
        f"{value:.6g} nats",
        {"student_log_probs": student, "teacher_log_probs": teacher, "alpha": alpha},
        looks_like="K07 the tail knob is inverted",
    )


@pytest.mark.requirement("LOSS-027")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_more_tokens_than_there_are(subject: Subject, alpha: float) -> None:
    """A k above the vocabulary is the full vocabulary."""
    student = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64).log()
    teacher = torch.tensor([[0.2, 0.6, 0.2]], dtype=torch.float64).log()
    full = subject.divergence(student, teacher, alpha=alpha, support=FULL)
    more = subject.divergence(student, teacher, alpha=alpha, support=Support("top_k_tail", 100))
    assert_close(more, full, what="divergence in nats", relative=1e-6, given={"alpha": alpha, "k": 100, "vocab": 3})
