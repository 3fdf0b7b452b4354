"""Properties of the divergence that hold for every input (spec/04-loss, A)."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sdpo_ref.types import FULL
from sdpo_ref.verification.checks.closed_form import divergences
from sdpo_ref.verification.checks.comparison import assert_close, assert_finite, assert_that
from sdpo_ref.verification.checks.inputs import distributions, random_batch
from sdpo_ref.verification.checks.settings import Setting
from sdpo_ref.verification.checks.subject import Subject

ALPHAS = st.sampled_from([0.0, 0.01, 0.25, 0.5, 0.9, 1.0])
INTERIOR = st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])


def _divergence(subject: Subject, student: Tensor, teacher: Tensor, on: Setting) -> float:
    return float(subject.divergence(student[None], teacher[None], **on.options))


def _near(subject: Subject, alpha: float, vocab: int = 5) -> Setting:
    """The whole vocabulary, at the offered alpha that is nearest."""
    return subject.offered.one("divergence", near=alpha, vocab=vocab)


def _exactly(subject: Subject, alpha: float, vocab: int = 5) -> Setting:
    """The whole vocabulary, at this alpha."""
    return subject.offered.exactly("divergence", alpha, FULL, vocab=vocab)


@pytest.mark.parametrize(
    "alpha",
    [
        pytest.param(0.0, marks=pytest.mark.requirement("LOSS-001")),
        pytest.param(0.25, marks=pytest.mark.requirement("LOSS-003")),
        pytest.param(1.0, marks=pytest.mark.requirement("LOSS-002")),
    ],
)
def test_formula(subject: Subject, alpha: float) -> None:
    """At either end, and at whichever alpha is offered between them, the formula of the chapter."""
    on = subject.offered.one("divergence", at=alpha, vocab=11)
    batch = random_batch(41)
    student, teacher = batch.student_logits.log_softmax(-1), batch.teacher_logits.log_softmax(-1)
    assert_close(
        subject.divergence(student, teacher, **on.options),
        divergences(student, teacher, alpha=on.alpha, support=FULL),
        what="divergence in nats",
        relative=1e-9,
        absolute=1e-12,
        given=on.given,
    )


def _assert_small_near_the_ends(subject: Subject, student: Tensor, teacher: Tensor) -> None:
    """In float32: near an end the divergence is below the binary entropy of alpha, however large the KL."""
    epsilon = 1e-3
    bound = -epsilon * math.log(epsilon) - (1 - epsilon) * math.log1p(-epsilon)
    for alpha in (epsilon, 1 - epsilon):
        value = _divergence(subject, student, teacher, _exactly(subject, alpha))
        assert_that(
            value <= bound + subject.slack,
            f"at most {bound:.6g} nats at alpha {alpha:g}",
            f"{value:.6g} nats",
            {"student_log_probs": student, "teacher_log_probs": teacher},
            looks_like="M006 coefficients swapped: continuous at the ends",
        )


@pytest.mark.requirement("LOSS-004")
@given(student=distributions(), teacher=distributions())
def test_interior_tends_to_zero_at_the_ends(subject: Subject, student: Tensor, teacher: Tensor) -> None:
    """D_eps / eps approaches the forward KL, D_(1-eps) / eps the reverse KL; the ends themselves are the KLs."""
    if subject.precision is not torch.float64:
        _assert_small_near_the_ends(subject, student, teacher)
        return
    epsilon = 1e-9
    forward, near_forward, near_reverse, reverse = (
        _divergence(subject, student, teacher, _exactly(subject, at)) for at in (0.0, epsilon, 1 - epsilon, 1.0)
    )
    given_ = {"student_log_probs": student, "teacher_log_probs": teacher, "alpha": epsilon}
    # D_eps is of size 1e-9 with rounding 1e-16, so the quotient is good to about 1e-6; odds are at most e^12.
    for near, end, name in ((near_forward, forward, "forward"), (near_reverse, reverse, "reverse")):
        assert_that(
            abs(near / epsilon - end) <= 1e-4 * max(1.0, end),
            f"{epsilon:g} from its end the divergence is {epsilon:g} times the {name} KL {end:.6g} nats",
            f"{near:.6g} nats",
            given_,
            looks_like="" if near < 0.5 * end else "M006 coefficients swapped: continuous at the ends",
        )


@pytest.mark.requirement("LOSS-005")
@given(student=distributions(), teacher=distributions(), alpha=ALPHAS)
def test_never_negative(subject: Subject, student: Tensor, teacher: Tensor, alpha: float) -> None:
    """The divergence is at least zero up to rounding."""
    on = _near(subject, alpha)
    value = _divergence(subject, student, teacher, on)
    assert_that(
        value >= -subject.slack,
        "divergence >= 0 nats",
        f"{value:.6g} nats",
        {"student_log_probs": student, "teacher_log_probs": teacher, **on.given},
        tolerance=f"{subject.slack:g} nats of rounding",
    )


@pytest.mark.requirement("LOSS-005")
@given(teacher=distributions(), alpha=ALPHAS)
def test_zero_where_both_agree(subject: Subject, teacher: Tensor, alpha: float) -> None:
    """Student equal to teacher gives zero."""
    on = _near(subject, alpha)
    value = _divergence(subject, teacher, teacher, on)
    assert_that(
        abs(value) <= subject.slack,
        "0 nats between a distribution and itself",
        f"{value:.6g} nats",
        {"student_log_probs": teacher, "teacher_log_probs": teacher, **on.given},
    )


@pytest.mark.requirement("LOSS-005")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_one_sure_token_against_uniform(subject: Subject, alpha: float) -> None:
    """A case in which clipping vocabulary terms before they are summed gives a negative number."""
    student, teacher = torch.tensor([[0.97, 0.01, 0.01, 0.01]]).double().log(), torch.full((1, 4), 0.25).double().log()
    on = subject.offered.one("divergence", at=alpha, vocab=4)
    value = float(subject.divergence(student, teacher, **on.options))
    assert_that(
        value > min(0.1, 0.5 * float(divergences(student, teacher, alpha=on.alpha, support=FULL))),
        "clearly more than 0 nats",
        f"{value:.6g} nats",
        {"student_log_probs": student, "teacher_log_probs": teacher, **on.given},
        looks_like="M019 vocabulary terms clipped before the sum" if value < 0 else "",
    )


@pytest.mark.requirement("LOSS-006")
@given(student=distributions(), teacher=distributions(), alpha=ALPHAS, order=st.permutations(range(5)))
def test_token_ids_are_names(
    subject: Subject, student: Tensor, teacher: Tensor, alpha: float, order: list[int]
) -> None:
    """A permutation of the vocabulary changes nothing."""
    on = _near(subject, alpha)
    before = _divergence(subject, student, teacher, on)
    after = _divergence(subject, student[order], teacher[order], on)
    assert_that(
        abs(before - after) <= subject.slack * max(1.0, before),
        f"{before:.12g} nats under every order of the vocabulary",
        f"{after:.12g} nats in the order {order}",
        {"student_log_probs": student, "teacher_log_probs": teacher, **on.given},
    )


@pytest.mark.requirement("LOSS-007")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 1.0])
def test_appended_tokens_without_mass(subject: Subject, alpha: float) -> None:
    """A vocabulary padded with tokens of logit minus infinity on both sides gives the same value and gradient."""
    student = torch.tensor([[0.4, -0.3, 1.1]], dtype=torch.float64)
    teacher = torch.tensor([[-0.2, 0.9, 0.1]], dtype=torch.float64)
    padding = torch.full((1, 2), -torch.inf, dtype=torch.float64)
    on = subject.offered.one("divergence", at=alpha, vocab=3)
    plain = subject.divergence_gradient(student, teacher.log_softmax(-1), **on.options)
    on = subject.offered.one("divergence", at=alpha, vocab=5)
    padded = subject.divergence_gradient(
        torch.cat([student, padding], -1), torch.cat([teacher, padding], -1).log_softmax(-1), **on.options
    )
    inputs = {"student_logits": torch.cat([student, padding], -1), **on.given}
    assert_close(padded.value, plain.value, what="divergence in nats", given=inputs)
    assert_close(padded.student[:, :3], plain.student, what="gradient w.r.t. the student's logits", given=inputs)
    assert_close(padded.student[:, 3:], torch.zeros(1, 2), what="gradient of tokens without mass", given=inputs)


@pytest.mark.requirement("LOSS-009")
@pytest.mark.parametrize("alpha", [-0.1, 1.5, math.nan, -1e-9, 1 + 1e-9])
def test_alpha_out_of_range_raises(subject: Subject, alpha: float) -> None:
    """An alpha outside [0, 1] is refused."""
    pair = torch.tensor([[0.5, 0.5]]).double().log()
    support = _near(subject, 0.25, vocab=2).support
    refused = subject.raises("divergence", lambda it: it.divergence(pair, pair, alpha=alpha, support=support))
    assert_that(refused is not None, "an error that names alpha", "a result", {"alpha": alpha})


@pytest.mark.requirement("LOSS-010")
@given(student=distributions(low=-30, high=30), teacher=distributions(low=-30, high=30), alpha=INTERIOR)
def test_bounded_by_binary_entropy(subject: Subject, student: Tensor, teacher: Tensor, alpha: float) -> None:
    """Interior divergences stay below -alpha log alpha - (1 - alpha) log(1 - alpha)."""
    on = subject.offered.one("divergence", at=alpha, vocab=5)
    bound = -on.alpha * math.log(on.alpha) - (1 - on.alpha) * math.log1p(-on.alpha)
    value = _divergence(subject, student, teacher, on)
    assert_that(
        value <= bound + subject.slack,
        f"at most {bound:.6g} nats",
        f"{value:.6g} nats",
        {"student_log_probs": student, "teacher_log_probs": teacher, **on.given},
    )


@pytest.mark.requirement("LOSS-011")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("gap", [5.0, 15.0, 27.6])
def test_peaked_rows_are_finite(subject: Subject, alpha: float, gap: float) -> None:
    """One token far above the others, on one side or both, gives a finite value and a finite gradient."""
    flat, peaked = torch.zeros(1, 4, dtype=torch.float64), torch.tensor([[gap, 0.0, 0.0, 0.0]], dtype=torch.float64)
    on = subject.offered.one("divergence", at=alpha, vocab=4)
    for student, teacher in ((peaked, flat), (flat, peaked), (peaked, peaked.flip(-1))):
        found = subject.divergence_gradient(student, teacher.log_softmax(-1), **on.options)
        inputs = {"student_logits": student, "teacher_logits": teacher, **on.given}
        assert_finite(found.value, what="divergence in nats", given=inputs)
        assert_finite(found.student, what="gradient w.r.t. the student's logits", given=inputs)


@pytest.mark.requirement("LOSS-012")
@given(student=distributions(low=-20, high=20), teacher=distributions(low=-20, high=20), alpha=ALPHAS)
def test_both_sides_are_treated_alike(subject: Subject, student: Tensor, teacher: Tensor, alpha: float) -> None:
    """D_alpha(S, T) = D_(1 - alpha)(T, S)."""
    on = _near(subject, alpha)
    one = _divergence(subject, student, teacher, on)
    other = _divergence(subject, teacher, student, _exactly(subject, 1 - on.alpha))
    assert_that(
        abs(one - other) <= subject.slack * max(1.0, one),
        f"{one:.12g} nats, as at alpha {on.alpha:g} from the other side",
        f"{other:.12g} nats at alpha {1 - on.alpha:g}",
        {"student_log_probs": student, "teacher_log_probs": teacher},
    )
