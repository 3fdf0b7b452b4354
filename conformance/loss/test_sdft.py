"""The loss of SDFT (spec/04-loss, H)."""

from dataclasses import replace

import pytest
import torch

from sdpo_ref.types import DistillationBatch
from sdpo_ref.verification.checks.closed_form import losses_and_gradient
from sdpo_ref.verification.checks.comparison import assert_close, assert_that
from sdpo_ref.verification.checks.inputs import every_row, input_generator, random_batch
from sdpo_ref.verification.checks.subject import Subject


@pytest.mark.requirement("LOSS-090")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("skip_tokens", [0, 1, 3])
def test_first_tokens_are_left_out(subject: Subject, alpha: float, skip_tokens: int) -> None:
    """The loss with n tokens skipped is the loss of the mask without the first n counted tokens of each row."""
    batch = every_row(random_batch(61))
    counted = batch.completion_mask.long().cumsum(-1)
    shorter = replace(batch, completion_mask=batch.completion_mask & (counted > skip_tokens))
    on = subject.offered.one("sdft_loss", at=alpha, vocab=11)
    skipped = subject.sdft_loss(batch, **on.options, skip_tokens=skip_tokens)
    expected = subject.sdft_loss(shorter, **on.options, skip_tokens=0)
    inputs = {"skip_tokens": skip_tokens, "completion_mask": batch.completion_mask, **on.given}
    assert_close(skipped.value, expected.value, what="loss in nats", relative=1e-10, given=inputs)
    assert_close(skipped.student, expected.student, what="gradient", relative=1e-9, given=inputs)


@pytest.mark.requirement("LOSS-090")
@pytest.mark.parametrize("skip_tokens", [5, 30, 200])
def test_many_first_tokens(subject: Subject, skip_tokens: int) -> None:
    """However many are left out: only the others have a gradient."""
    generator = input_generator(63)
    student, teacher = torch.randn(2, 1, 260, 5, generator=generator, dtype=torch.float64)
    true = torch.ones(1, 260, dtype=torch.bool)
    batch = DistillationBatch(student, teacher, torch.zeros(1, 260, dtype=torch.long), true, true[:, 0])
    on = subject.offered.one("sdft_loss", near=0.0, vocab=5)
    found = subject.sdft_loss(batch, **on.options, skip_tokens=skip_tokens).student
    counted = found.abs().sum(-1)[0] > 0
    assert_that(
        bool(torch.equal(counted, torch.arange(260) >= skip_tokens)),
        f"a gradient from token {skip_tokens} on",
        f"a gradient at {int(counted.sum())} of 260 tokens",
        {"skip_tokens": skip_tokens, **on.given},
    )


@pytest.mark.requirement("LOSS-102")
def test_refuses_negative_skip(subject: Subject) -> None:
    """A negative number of tokens to skip raises."""
    batch = every_row(random_batch(61))
    on = subject.offered.one("sdft_loss", near=0.0, vocab=11)
    refused = subject.raises("sdft_loss", lambda it: it.sdft_loss(batch, **on.options, skip_tokens=-1))
    assert_that(refused is not None, "an error that names the number", "a result", {"skip_tokens": -1})


@pytest.mark.requirement("LOSS-090")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_no_skip_is_the_written_out_loss(subject: Subject, alpha: float) -> None:
    """One row, no skip: the mean divergence of its tokens, written out."""
    batch = every_row(random_batch(62))
    row = replace(
        batch,
        student_logits=batch.student_logits[1:2],
        teacher_logits=batch.teacher_logits[1:2],
        completions=batch.completions[1:2],
        completion_mask=batch.completion_mask[1:2],
        self_distillation_mask=batch.self_distillation_mask[1:2],
    )
    on = subject.offered.one("sdft_loss", at=alpha, vocab=11)
    found = subject.sdft_loss(row, **on.options, skip_tokens=0)
    value, gradient = losses_and_gradient(row, subject.profile, **on.options)
    inputs = {**on.given, "rows": "one, of six tokens"}
    if on.is_surrogate:
        assert_close(found.student, gradient, what="gradient", relative=1e-9, absolute=1e-13, given=inputs)
    else:
        assert_close(found.value, value, what="loss in nats", relative=1e-9, given=inputs)


@pytest.mark.requirement("LOSS-090")
@pytest.mark.parametrize("skip_tokens", [0, 2])
def test_every_support(subject: Subject, skip_tokens: int) -> None:
    """The support that is asked for is that of the loss, with holes in the rows, of which a skipped token is none."""
    batch = every_row(random_batch(64))
    mask = torch.ones_like(batch.completion_mask)
    mask[0, 1] = mask[1, :2] = mask[3, ::2] = False
    batch = replace(batch, completion_mask=mask)
    shorter = replace(batch, completion_mask=mask & (mask.long().cumsum(-1) > skip_tokens))
    for on in subject.offered.each("sdft_loss"):
        found = subject.sdft_loss(batch, **on.options, skip_tokens=skip_tokens)
        value, gradient = losses_and_gradient(shorter, subject.profile, **on.options)
        inputs = {"skip_tokens": skip_tokens, "completion_mask": mask, **on.given}
        if not on.is_surrogate:
            assert_close(found.value, value, what="loss in nats", relative=1e-9, given=inputs)
        assert_close(found.student, gradient, what="gradient", relative=1e-9, absolute=1e-13, given=inputs)


@pytest.mark.requirement("LOSS-090")
@pytest.mark.parametrize("skip_tokens", [6, 7, 1_000])
def test_all_tokens_are_left_out(subject: Subject, skip_tokens: int) -> None:
    """Rows of at most six tokens: nothing is left."""
    batch = every_row(random_batch(65))
    on = subject.offered.one("sdft_loss", near=0.25, vocab=11)
    found = subject.sdft_loss(batch, **on.options, skip_tokens=skip_tokens)
    inputs = {"skip_tokens": skip_tokens, "tokens of the longest row": 6, **on.given}
    assert_close(found.value, torch.tensor(0.0), what="loss in nats", given=inputs)
    assert_close(found.student, torch.zeros_like(found.student), what="gradient", given=inputs)


@pytest.mark.requirement("LOSS-090")
@pytest.mark.parametrize("skip_tokens", [3, 300, 33_000])
def test_first_tokens_of_a_long_completion(subject: Subject, skip_tokens: int) -> None:
    """Of 40,000 tokens exactly the first are left out."""
    student, teacher = torch.randn(2, 1, 40_000, 3, generator=input_generator(66), dtype=torch.float64)
    true = torch.ones(1, 40_000, dtype=torch.bool)
    batch = DistillationBatch(student, teacher, torch.zeros(1, 40_000, dtype=torch.long), true, true[:, 0])
    on = subject.offered.one("sdft_loss", near=0.0, vocab=3)
    counted = subject.sdft_loss(batch, **on.options, skip_tokens=skip_tokens).student.abs().sum(-1)[0] > 0
    assert_that(
        bool(torch.equal(counted, torch.arange(40_000) >= skip_tokens)),
        f"a gradient from token {skip_tokens} on",
        f"a gradient at {int(counted.sum())} of 40,000 tokens",
        {"skip_tokens": skip_tokens, **on.given},
    )


@pytest.mark.requirement("LOSS-051")
@pytest.mark.needs("sdft_loss")
@pytest.mark.parametrize("token", [-100, 10**6])
def test_garbage_in_padding(subject: Subject, token: int) -> None:
    """Padding may hold any id and NaN, on every support."""
    batch = every_row(random_batch(67))
    mask = batch.completion_mask
    dirty = replace(
        batch,
        student_logits=torch.where(mask[..., None], batch.student_logits, torch.nan),
        teacher_logits=torch.where(mask[..., None], batch.teacher_logits, torch.nan),
        completions=torch.where(mask, batch.completions, token),
    )
    for on in subject.offered.each("sdft_loss"):
        expected, found = (subject.sdft_loss(it, **on.options, skip_tokens=1) for it in (batch, dirty))
        inputs = {"id at padded positions": token, "logits there": "NaN", **on.given}
        assert_close(found.value, expected.value, what="loss in nats", given=inputs)
        assert_close(found.student, expected.student, what="gradient", given=inputs)
