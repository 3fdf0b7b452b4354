"""The loss of SDFT (spec/04-loss, H)."""

from dataclasses import replace

import pytest
import torch

from sdpo_ref.types import FULL, DistillationBatch
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
    skipped = subject.sdft_loss(batch, alpha=alpha, support=FULL, skip_tokens=skip_tokens)
    expected = subject.sdft_loss(shorter, alpha=alpha, support=FULL, skip_tokens=0)
    inputs = {"skip_tokens": skip_tokens, "completion_mask": batch.completion_mask, "alpha": alpha}
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
    found = subject.sdft_loss(batch, alpha=0.0, support=FULL, skip_tokens=skip_tokens).student
    counted = found.abs().sum(-1)[0] > 0
    assert_that(
        bool(torch.equal(counted, torch.arange(260) >= skip_tokens)),
        f"a gradient from token {skip_tokens} on",
        f"a gradient at {int(counted.sum())} of 260 tokens",
        {"skip_tokens": skip_tokens},
    )


@pytest.mark.requirement("LOSS-102")
def test_refuses_negative_skip(subject: Subject) -> None:
    """A negative number of tokens to skip raises."""
    batch = every_row(random_batch(61))
    refused = subject.raises("sdft_loss", lambda it: it.sdft_loss(batch, alpha=0.0, support=FULL, skip_tokens=-1))
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
    p, q = row.student_logits.softmax(-1), row.teacher_logits.softmax(-1)
    m = (1 - alpha) * p + alpha * q
    tokens = {
        0.0: (q * (q / p).log()).sum(-1),
        1.0: (p * (p / q).log()).sum(-1),
    }.get(alpha, (1 - alpha) * (p * (p / m).log()).sum(-1) + alpha * (q * (q / m).log()).sum(-1))
    expected = tokens.sum() if subject.profile.aggregation == "row_sum" else tokens.mean()
    assert_close(
        subject.sdft_loss(row, alpha=alpha, support=FULL, skip_tokens=0).value,
        expected,
        what="loss in nats",
        relative=1e-9,
        given={"alpha": alpha, "rows": "one, of six tokens"},
    )
