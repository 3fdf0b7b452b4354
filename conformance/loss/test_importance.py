"""Importance weights (spec/04-loss, D)."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from sdpo_ref.types import DistillationBatch
from sdpo_ref.verification.checks.comparison import assert_close, assert_finite, assert_that
from sdpo_ref.verification.checks.inputs import on_policy, random_batch
from sdpo_ref.verification.checks.subject import Subject


def _one_token(log_ratio: float) -> DistillationBatch:
    """A single token whose importance ratio is exp(log_ratio)."""
    student = torch.tensor([[[0.3, -0.4, 0.9]]], dtype=torch.float64)
    teacher = torch.tensor([[[1.0, 0.2, -0.5]]], dtype=torch.float64)
    true = torch.tensor([[True]])
    now = student.log_softmax(-1)[:, :, 0]
    return DistillationBatch(student, teacher, torch.tensor([[0]]), true, true[0], now - log_ratio)


@pytest.mark.requirement("LOSS-040")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("ratio", [0.25, 1.0, 1.5, 4.0])
def test_constant_factor(subject: Subject, alpha: float, ratio: float) -> None:
    """Value and gradient of a token are those without weights times min(ratio, cap)."""
    batch = _one_token(float(torch.tensor(ratio, dtype=torch.float64).log()))
    factor = min(ratio, 2.0)
    for on in subject.offered.each("loss", at=alpha):
        plain = subject.loss(on_policy(batch), **on.options)
        weighted = subject.loss(batch, **on.options, ratio_cap=2.0)
        inputs = {"ratio": ratio, "ratio_cap": 2.0, **on.given, "student_logits": batch.student_logits}
        assert_close(weighted.value, factor * plain.value, what="loss in nats", relative=1e-10, given=inputs)
        assert_close(
            weighted.student,
            factor * plain.student,
            what=f"{factor} times the gradient without weights:",
            relative=1e-10,
            given=inputs,
        )


@pytest.mark.requirement("LOSS-040")
@pytest.mark.parametrize("ratio", [33.0, 90.0])
def test_large_cap(subject: Subject, ratio: float) -> None:
    """The cap alone bounds a ratio: below a cap of 50 a ratio of 33 is used unchanged, and 90 is cut to 50."""
    batch = _one_token(float(torch.tensor(ratio, dtype=torch.float64).log()))
    factor = min(ratio, 50.0)
    for on in subject.offered.each("loss"):
        plain = subject.loss(on_policy(batch), **on.options)
        weighted = subject.loss(batch, **on.options, ratio_cap=50.0)
        inputs = {"ratio": ratio, "ratio_cap": 50.0, **on.given}
        assert_close(weighted.value, factor * plain.value, what="loss in nats", relative=1e-10, given=inputs)
        assert_close(weighted.student, factor * plain.student, what="gradient", relative=1e-10, given=inputs)


@pytest.mark.requirement("LOSS-040")
@pytest.mark.parametrize("ratio_cap", [0.5, 0.05])
def test_cap_below_one(subject: Subject, ratio_cap: float) -> None:
    """A cap may lie below one: fresh tokens then have the cap for their weight."""
    batch = _one_token(0.0)
    for on in subject.offered.each("loss"):
        plain = subject.loss(on_policy(batch), **on.options)
        weighted = subject.loss(batch, **on.options, ratio_cap=ratio_cap)
        inputs = {"ratio": 1.0, "ratio_cap": ratio_cap, **on.given}
        assert_close(weighted.value, ratio_cap * plain.value, what="loss in nats", relative=1e-10, given=inputs)
        assert_close(weighted.student, ratio_cap * plain.student, what="gradient", relative=1e-10, given=inputs)


@pytest.mark.requirement("LOSS-041")
@pytest.mark.parametrize("ratio", [0.5, 0.1, 1e-3, 1e-8])
def test_small_ratios_stay(subject: Subject, ratio: float) -> None:
    """There is no lower truncation."""
    batch = _one_token(float(torch.tensor(ratio, dtype=torch.float64).log()))
    for on in subject.offered.each("loss", near=0.0):
        assert_close(
            subject.loss(batch, **on.options, ratio_cap=2.0).value,
            ratio * subject.loss(on_policy(batch), **on.options).value,
            what="loss in nats",
            relative=1e-9,
            given={"ratio": ratio, "ratio_cap": 2.0, **on.given},
        )


@pytest.mark.requirement("LOSS-042")
@pytest.mark.parametrize("log_ratio", [1e4, -1e4])
def test_extreme_ratio_is_finite(subject: Subject, log_ratio: float) -> None:
    """Neither overflow nor NaN."""
    for on in subject.offered.each("loss"):
        found = subject.loss(_one_token(log_ratio), **on.options, ratio_cap=2.0)
        inputs = {"log_ratio": log_ratio, **on.given}
        assert_finite(found.value, what="loss in nats", given=inputs)
        assert_finite(found.student, what="gradient", given=inputs)


@pytest.mark.requirement("LOSS-043")
def test_missing_behaviour(subject: Subject) -> None:
    """A cap without behaviour log-probabilities raises, or is left out, as declared."""
    batch = on_policy(random_batch(5))
    declared = subject.profile.missing_behaviour
    for on in subject.offered.each("loss"):
        refused = subject.raises("loss", partial(Subject.loss, batch=batch, **on.options, ratio_cap=2.0))
        inputs = {"ratio_cap": 2.0, "behaviour_log_probs": None, "profile": declared, **on.given}
        if declared == "raise":
            assert_that(refused is not None, "an error that asks for behaviour log-probabilities", "a result", inputs)
            continue
        assert_that(refused is None, "the loss without importance weights", f"the error {refused}", inputs)
        plain = subject.loss(batch, **on.options).value
        skipped = subject.loss(batch, **on.options, ratio_cap=2.0).value
        assert_close(skipped, plain, what="loss in nats", given=inputs)


@pytest.mark.requirement("LOSS-044")
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_both_log_probabilities_are_tempered(subject: Subject, temperature: float) -> None:
    """On the first use of a batch every ratio is one, at any temperature."""
    batch = random_batch(6)
    recorded = (batch.student_logits / temperature).log_softmax(-1).gather(-1, batch.completions[..., None]).squeeze(-1)
    fresh = replace(batch, behaviour_log_probs=recorded)
    untempered = batch.student_logits.log_softmax(-1).gather(-1, batch.completions[..., None]).squeeze(-1)
    largest = float((untempered - recorded)[batch.loss_mask].abs().max())
    for on in subject.offered.each("loss"):
        assert_close(
            subject.loss(fresh, **on.options, temperature=temperature, ratio_cap=1e6).value,
            subject.loss(on_policy(batch), **on.options, temperature=temperature).value,
            what="loss in nats, as without weights:",
            relative=1e-9,
            given={
                "temperature": temperature,
                "largest |log-ratio| if only one side is tempered": largest,
                **on.given,
            },
        )
