"""The sampled-token surrogate (spec/04-loss, C)."""

import pytest
import torch
from torch import Tensor

from sdpo_ref.types import FULL, SAMPLED_TOKEN, DistillationBatch
from sdpo_ref.verification.checks.closed_form import losses_and_gradient
from sdpo_ref.verification.checks.comparison import assert_close, assert_that
from sdpo_ref.verification.checks.inputs import input_generator, on_policy, random_batch
from sdpo_ref.verification.checks.subject import Subject


def _one_token(student: Tensor, teacher: Tensor, token: int) -> DistillationBatch:
    true = torch.tensor([[True]])
    return DistillationBatch(student[None, None], teacher[None, None], torch.tensor([[token]]), true, true[0])


@pytest.mark.requirement("LOSS-031")
@pytest.mark.parametrize("seed", range(4))
def test_expected_gradient_is_that_of_reverse_kl(subject: Subject, seed: int) -> None:
    """The average over every token, weighted by its probability under the student: exact, no sampling."""
    student, teacher = 1.5 * torch.randn(2, 7, generator=input_generator(seed), dtype=torch.float64)
    exact = _reverse_kl(subject, _one_token(student, teacher, 0))
    probabilities = student.softmax(-1)
    average = torch.zeros_like(exact)
    for token, probability in enumerate(probabilities):
        found = subject.loss(_one_token(student, teacher, token), alpha=1.0, support=SAMPLED_TOKEN)
        average += probability * found.student
    assert_close(
        average,
        exact,
        what="mean gradient over all tokens, that of the reverse KL,",
        relative=1e-10,
        absolute=1e-12,
        given={"student_logits": student, "teacher_logits": teacher},
    )


def _reverse_kl(subject: Subject, batch: DistillationBatch) -> Tensor:
    """Its gradient: the implementation's own, or the formula's if the sampled token is all that it offers."""
    on = subject.offered.one("loss", at=1.0, vocab=batch.student_logits.shape[-1])
    if on.is_surrogate:
        return losses_and_gradient(batch, subject.profile, alpha=1.0, support=FULL)[1]
    return subject.loss(batch, **on.options).student


@pytest.mark.requirement("LOSS-030")
@pytest.mark.parametrize("seed", [41, 42])
def test_gradient_of_a_ragged_batch(subject: Subject, seed: int) -> None:
    """Rows of unequal length, one of them unusable: each token's advantage times its weight, and nothing else."""
    batch = on_policy(random_batch(seed))
    _, gradient = losses_and_gradient(batch, subject.profile, alpha=1.0, support=SAMPLED_TOKEN)
    assert_close(
        subject.loss(batch, alpha=1.0, support=SAMPLED_TOKEN).student,
        gradient,
        what="gradient w.r.t. the student's logits",
        relative=1e-9,
        absolute=1e-13,
        given={"support": "sampled_token", "aggregation": subject.profile.aggregation},
    )


@pytest.mark.requirement("LOSS-030")
def test_sign_of_the_update(subject: Subject) -> None:
    """A sampled token that the teacher likes more is raised, one that it likes less is lowered."""
    even = torch.zeros(2, dtype=torch.float64)
    for liked, direction in ((0.9, -1.0), (0.1, 1.0)):
        teacher = torch.tensor([liked, 1 - liked], dtype=torch.float64).log()
        slope = float(subject.loss(_one_token(even, teacher, 0), alpha=1.0, support=SAMPLED_TOKEN).student[0, 0, 0])
        assert_that(
            slope * direction > 0,
            f"{'negative' if direction < 0 else 'positive'} gradient on the logit of the sampled token",
            f"{slope:.6g}",
            {"student": "0.5", "teacher": str(liked)},
            looks_like="M073 sign flipped",
        )


@pytest.mark.requirement("LOSS-032")
@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.99])
def test_only_reverse_kl(subject: Subject, alpha: float) -> None:
    """Another alpha is refused."""
    batch = _one_token(torch.zeros(3).double(), torch.ones(3).double(), 1)
    refused = subject.raises("loss", lambda it: it.loss(batch, alpha=alpha, support=SAMPLED_TOKEN))
    assert_that(
        refused is not None,
        "an error: the surrogate estimates reverse KL only",
        "a result",
        {"alpha": alpha, "support": "sampled_token"},
        looks_like="M077 sampled-token surrogate used with another alpha",
    )
