"""Transformations of logits under which the loss does not change (spec/01-policy)."""

from dataclasses import replace

import pytest
import torch

from sdpo_ref.verification.checks.comparison import assert_close
from sdpo_ref.verification.checks.inputs import on_policy, random_batch
from sdpo_ref.verification.checks.subject import Subject


@pytest.mark.requirement("POLICY-002")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("shift", [100.0, -300.0])
def test_shift(subject: Subject, alpha: float, shift: float) -> None:
    """A constant added to each position's logits, another one on each side, changes nothing."""
    batch = on_policy(random_batch(51))
    shifted = replace(
        batch, student_logits=batch.student_logits + shift, teacher_logits=batch.teacher_logits - 2 * shift
    )
    for on in subject.offered.each("loss", at=alpha):
        before, after = subject.loss(batch, **on.options), subject.loss(shifted, **on.options)
        inputs = {"added to the student": shift, "added to the teacher": -2 * shift, **on.given}
        # adding 600 to a logit costs 600 times the rounding of 1: 1e-13 absolute
        assert_close(after.value, before.value, what="loss in nats", relative=1e-10, absolute=1e-11, given=inputs)
        assert_close(after.student, before.student, what="gradient", relative=1e-9, absolute=1e-11, given=inputs)


@pytest.mark.requirement("POLICY-003")
@pytest.mark.parametrize("temperature", [0.02, 0.5, 2.0, 50.0])
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_temperature_divides_both_sides(subject: Subject, temperature: float, alpha: float) -> None:
    """The loss at temperature tau on z is the loss at temperature one on z / tau."""
    batch = on_policy(random_batch(52))
    divided = replace(
        batch,
        student_logits=batch.student_logits / temperature,
        teacher_logits=batch.teacher_logits / temperature,
    )
    for on in subject.offered.each("loss", at=alpha):
        assert_close(
            subject.loss(batch, **on.options, temperature=temperature).value,
            subject.loss(divided, **on.options).value,
            what="loss in nats",
            relative=1e-10,
            given={"temperature": temperature, **on.given},
        )


@pytest.mark.requirement("POLICY-003")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_equal_logits_stay_equal(subject: Subject, alpha: float) -> None:
    """A teacher that agrees with the student teaches nothing, at any temperature."""
    batch = on_policy(random_batch(53))
    agreeing = replace(batch, teacher_logits=batch.student_logits.clone())
    for on in subject.offered.each("loss", at=alpha):
        assert_close(
            subject.loss(agreeing, **on.options, temperature=0.5).value,
            torch.tensor(0.0),
            what="loss in nats",
            absolute=1e-12,
            given={"temperature": 0.5, "teacher_logits": "those of the student", **on.given},
        )
