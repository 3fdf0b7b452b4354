"""Properties of top-k supports that hold for every input (spec/04-loss, B)."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sdpo_ref.types import FULL, DistillationBatch, Support, SupportKind
from sdpo_ref.verification.checks.closed_form import divergences, losses_and_gradient, token_weights
from sdpo_ref.verification.checks.comparison import as_coarse_as, assert_close, assert_finite, assert_that
from sdpo_ref.verification.checks.inputs import distributions, input_generator, on_policy, random_batch
from sdpo_ref.verification.checks.subject import Subject

ALPHAS = st.sampled_from([0.0, 0.25, 0.5, 1.0])
TAIL = Support("top_k_tail", 2)


def _alpha(subject: Subject, support: Support, near: float) -> float:
    """The nearest alpha that is offered."""
    return subject.offered.on("divergence", support, near=near).alpha


def _full(subject: Subject, student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    """The divergence on the full vocabulary; by the formula, if it is not offered."""
    if subject.offers("divergence"):
        return subject.divergence(student, teacher, alpha=alpha, support=FULL)
    return divergences(student, teacher, alpha=alpha, support=FULL)


@pytest.mark.parametrize(
    ("kind", "k"),
    [
        pytest.param("top_k_tail", 3, marks=pytest.mark.requirement("LOSS-020")),
        pytest.param("top_k_renormalized", 3, marks=pytest.mark.requirement("LOSS-021")),
    ],
)
def test_formula(subject: Subject, kind: SupportKind, k: int) -> None:
    """At whichever alpha is offered, the formula on the cells of the support."""
    on = subject.offered.on("divergence", Support(kind, k), near=0.25)
    batch = random_batch(42)
    student, teacher = batch.student_logits.log_softmax(-1), batch.teacher_logits.log_softmax(-1)
    assert_close(
        subject.divergence(student, teacher, **on.options),
        divergences(student, teacher, **on.options, top_k_from=subject.profile.top_k_from),
        what="divergence in nats",
        relative=1e-9,
        absolute=1e-12,
        given=on.given,
    )


@pytest.mark.requirement("LOSS-023")
@given(student=distributions(size=6), teacher=distributions(size=6), alpha=ALPHAS)
def test_tail_coarsens(subject: Subject, student: Tensor, teacher: Tensor, alpha: float) -> None:
    """Nested supports give divergences that grow with k up to the one on the full vocabulary."""
    alpha = _alpha(subject, TAIL, alpha)
    full = float(_full(subject, student[None], teacher[None], alpha))
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
        looks_like="M041 no tail and no renormalisation" if nested[0] < -subject.slack else "",
    )


@pytest.mark.requirement("LOSS-024")
@given(student=distributions(size=4), teacher=distributions(size=4), alpha=ALPHAS, k=st.sampled_from([3, 4]))
def test_last_token_is_its_own_tail(subject: Subject, student: Tensor, teacher: Tensor, alpha: float, k: int) -> None:
    """All tokens but one, or all, with a tail, is the full vocabulary."""
    alpha = _alpha(subject, TAIL, alpha)
    full = _full(subject, student[None], teacher[None], alpha)
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
    """The student's tail keeps its gradient when the teacher's tail is small."""
    student = torch.tensor([[0.5, 0.3, 0.15, 0.05]], dtype=torch.float64).log()
    small = 10.0**-exponent
    teacher = torch.tensor([[0.6, 0.4 - small, small * 0.75, small * 0.25]], dtype=torch.float64).log()
    on = subject.offered.exactly("divergence", 1.0, TAIL, vocab=4)
    found = subject.divergence_gradient(student, teacher, **on.options)
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
        given={"teacher_tail_mass": small, "student_log_probs": student, **on.given},
        known_wrong=(),
    )


@pytest.mark.requirement("LOSS-025")
def test_tail_of_many_unlikely_tokens(subject: Subject) -> None:
    """Forty thousand tokens of which none matters have a mass of 1e-11 together."""
    vocab, mass = 40_002, 1e-11
    near, wide = (torch.full((1, vocab), tail / (vocab - 2), dtype=torch.float64) for tail in (mass, 0.5))
    near[0, :2] = torch.tensor([0.75, 0.25 - mass])
    wide[0, :2] = 0.25
    by_student = subject.profile.top_k_from == "student"
    student, teacher = (near, wide) if by_student else (wide, near)
    on = subject.offered.exactly("divergence", 0.0 if by_student else 1.0, TAIL, vocab=vocab)  # the wide side weighs
    p, q = (torch.tensor(cells, dtype=torch.float64) for cells in ([0.25, 0.25, 0.5], [0.75, 0.25 - mass, mass]))
    assert_close(
        subject.divergence(student.log(), teacher.log(), **on.options),
        (p * (p / q).log()).sum()[None],
        what="divergence in nats",
        relative=1e-9,
        given={"cells of one side": q, "cells of the other": p, "vocab": vocab, **on.given},
    )


@pytest.mark.requirement("LOSS-022")
@pytest.mark.parametrize("most_likely", [0, 1])
def test_the_most_likely_by_a_little(subject: Subject, most_likely: int) -> None:
    """Two tokens whose log-probabilities differ by 2e-4, which half precision rounds to one number."""
    near = torch.tensor([[-3.0, -3.0, -0.2, -4.0]], dtype=torch.float64)
    near[0, most_likely] += 2e-4
    far = torch.tensor([[-1.0, -6.0, -0.6, -3.0]], dtype=torch.float64)
    by_student = subject.profile.top_k_from == "student"
    student, teacher = (side.log_softmax(-1) for side in ((near, far) if by_student else (far, near)))
    head = torch.tensor([[2, most_likely]])
    cells = [side.gather(-1, head) for side in (student, teacher)]
    p, q = (torch.cat([side, (1 - side.exp().sum(-1, keepdim=True)).log()], -1) for side in cells)
    on = subject.offered.on("divergence", TAIL)
    assert_close(
        subject.divergence(student, teacher, **on.options),
        divergences(p, q, alpha=on.alpha, support=FULL),
        what="divergence in nats",
        relative=1e-9,
        given={"student_log_probs": student, "teacher_log_probs": teacher, **on.given, "head": head},
    )


@pytest.mark.requirement("LOSS-026")
@given(student=distributions(), teacher=distributions(), alpha=ALPHAS)
def test_one_renormalised_token_is_certain(subject: Subject, student: Tensor, teacher: Tensor, alpha: float) -> None:
    """A single renormalised token has probability one on both sides."""
    support = Support("top_k_renormalized", 1)
    alpha = _alpha(subject, support, alpha)
    value = float(subject.divergence(student[None], teacher[None], alpha=alpha, support=support))
    assert_that(
        abs(value) <= subject.slack,
        "0 nats",
        f"{value:.6g} nats",
        {"student_log_probs": student, "teacher_log_probs": teacher, "alpha": alpha},
        looks_like="M056 tail and renormalisation swapped",
    )


@pytest.mark.requirement("LOSS-027")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_more_tokens_than_there_are(subject: Subject, alpha: float) -> None:
    """A k above the vocabulary is the full vocabulary."""
    student = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64).log()
    teacher = torch.tensor([[0.2, 0.6, 0.2]], dtype=torch.float64).log()
    alpha = _alpha(subject, TAIL, alpha)
    full = _full(subject, student, teacher, alpha)
    more = subject.divergence(student, teacher, alpha=alpha, support=Support("top_k_tail", 100))
    assert_close(more, full, what="divergence in nats", relative=1e-6, given={"alpha": alpha, "k": 100, "vocab": 3})


def _every_token(student: Tensor, teacher: Tensor) -> DistillationBatch:
    counted = torch.ones(student.shape[:2], dtype=torch.bool)
    return DistillationBatch(student, teacher, torch.zeros_like(counted).long(), counted, counted[:, 0])


@pytest.mark.requirement("LOSS-028")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_aggregated_cells(subject: Subject, alpha: float) -> None:
    """On every support, value and gradient of a batch with rows of unequal length, of which one is unusable."""
    batch = on_policy(random_batch(43))
    for on in subject.offered.each("loss", at=alpha, k=3):
        found, inputs = subject.loss(batch, **on.options), {**on.given, "aggregation": subject.profile.aggregation}
        value, gradient = losses_and_gradient(batch, subject.profile, **on.options)
        if not on.is_surrogate:
            assert_close(found.value, value, what="loss in nats", relative=1e-9, given=inputs)
        what = "gradient w.r.t. the student's logits"
        assert_close(found.student, gradient, what=what, relative=1e-9, absolute=1e-13, given=inputs)


@pytest.mark.requirement("LOSS-028")
@pytest.mark.needs("loss.top_k_tail", "divergence.top_k_tail")
@pytest.mark.parametrize(("rollout", "time"), [(2, 3), (3, 2), (4, 2), (2, 4), (4, 3), (3, 4)])
@pytest.mark.parametrize("k", [2, 3])
def test_sizes_that_coincide(subject: Subject, rollout: int, time: int, k: int) -> None:
    """As many rows, or tokens of a row, as there are tokens in the head or in the vocabulary of four."""
    generator = input_generator(81)
    student, teacher = torch.randn(2, rollout, time, 4, generator=generator, dtype=torch.float64)
    batch, support = _every_token(student, teacher), Support("top_k_tail", k)
    on = subject.offered.on("loss", support, near=0.25)
    tokens = subject.divergence(
        student.flatten(0, 1).log_softmax(-1), teacher.flatten(0, 1).log_softmax(-1), **on.options
    )
    weights = token_weights(batch.loss_mask, subject.profile.aggregation)
    assert_close(
        as_coarse_as(subject.loss(batch, **on.options).value, tokens),
        (weights.flatten() * tokens).sum(),
        what="loss in nats, the aggregated divergence,",
        relative=1e-9,
        given={"rollouts": rollout, "tokens of each": time, "vocab": 4, "k": k},
    )


@pytest.mark.requirement("LOSS-007")
@pytest.mark.needs("loss.top_k_renormalized")
def test_renormalised_head_with_excluded_tokens(subject: Subject) -> None:
    """At every position the teacher excludes the second of the student's two most likely tokens."""
    student = torch.tensor([[[2.0, 1.0, 0.0], [2.0, 0.5, -1.0]]], dtype=torch.float64)
    teacher = torch.tensor([[[0.3, -torch.inf, 0.1], [0.2, -torch.inf, 0.4]]], dtype=torch.float64)
    if subject.profile.top_k_from == "teacher":
        teacher = torch.tensor([[[2.0, 1.0, -torch.inf], [2.0, 0.5, -torch.inf]]], dtype=torch.float64)
        student = torch.tensor([[[0.3, 0.2, 0.1], [0.2, 0.7, 0.4]]], dtype=torch.float64)
    on = subject.offered.exactly("loss", 0.0, Support("top_k_renormalized", 2), vocab=3)
    found = subject.loss(_every_token(student, teacher), **on.options)
    p, q = student[..., :2].log_softmax(-1), teacher[..., :2].softmax(-1)
    tokens = (torch.where(q > 0, q * (q.log() - p), 0.0)).sum(-1)
    inputs = {"student_logits": student, "teacher_logits": teacher, **on.given}
    assert_close(
        found.value,
        (tokens * token_weights(torch.ones(1, 2).bool(), subject.profile.aggregation)).sum(),
        what="loss in nats",
        relative=1e-9,
        given=inputs,
    )
    assert_finite(found.student, what="gradient", given=inputs)
