"""Logits as hidden states and heads: the same logits bit for bit, and the same gradient."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sdpo_ref.bundled import hidden, make
from sdpo_ref.losses.reference import sdpo_loss
from sdpo_ref.types import FULL, DistillationBatch, HiddenBatch
from sdpo_ref.verification.checks.hidden_form import LARGEST_IDENTITY, as_hidden
from sdpo_ref.verification.checks.inputs import on_policy, random_batch
from sdpo_ref.verification.checks.mismatch import NotAskedError
from sdpo_ref.verification.checks.subject import Subject
from sdpo_ref.verification.suite.capabilities import CAPABILITIES, KEYWORDS, is_declared

BATCHES = [
    pytest.param(random_batch(1), id="an identity for a head"),
    pytest.param(random_batch(2, vocab=LARGEST_IDENTITY + 1), id="logits in the head"),
    pytest.param(on_policy(random_batch(3, dtype=torch.bfloat16)), id="half precision"),
]


@pytest.mark.parametrize("batch", BATCHES)
def test_same_logits_and_gradient(batch: DistillationBatch) -> None:
    """The projection gives the logits back where they count, and a leaf their gradient."""
    found = as_hidden(batch)
    counts = batch.loss_mask
    logits = found.batch.project()
    assert torch.equal(logits.student_logits[counts], batch.student_logits[counts])
    assert torch.equal(logits.teacher_logits[counts], batch.teacher_logits[counts])
    assert torch.equal(found.seen(batch).student_logits, batch.student_logits)
    student = batch.student_logits.clone().requires_grad_()
    expected = sdpo_loss(replace(batch, student_logits=student), alpha=0.3)
    value = sdpo_loss(found.batch, alpha=0.3)
    assert torch.equal(value, expected)
    (slope,), (right,) = torch.autograd.grad(value, found.student.leaf), torch.autograd.grad(expected, student)
    assert torch.equal(found.student.of_logits(slope), right)


@pytest.mark.parametrize("vocab", [5, LARGEST_IDENTITY + 5])
def test_what_never_is_sampled_and_garbage(vocab: int) -> None:
    """A token that every position excludes stays excluded; NaN stays at the position that it is at."""
    batch = on_policy(random_batch(4, vocab=vocab))
    logits = batch.student_logits.clone()
    logits[..., 1] = -torch.inf
    logits[~batch.loss_mask] = torch.nan
    found = as_hidden(replace(batch, student_logits=logits)).batch.project().student_logits
    assert torch.equal(found[batch.loss_mask], logits[batch.loss_mask])


def test_what_no_head_makes() -> None:
    """One token excluded at one position: the check is not asked."""
    batch = random_batch(5)
    logits = batch.student_logits.clone()
    logits[1, 2, 3] = -torch.inf
    with pytest.raises(NotAskedError, match="no head"):
        as_hidden(replace(batch, student_logits=logits))


def test_asked_through_hidden_states() -> None:
    """One that takes no logits is asked in the other form under the same names; one that offers both, in both."""
    alone, both = Subject(hidden()), Subject(make())
    assert {it for it in CAPABILITIES if it.startswith("loss") and it not in KEYWORDS} <= alone.capabilities
    assert not {name for name in alone.declared if name.startswith("loss")}
    assert alone.through_hidden_states() is alone
    batch: Any = on_policy(random_batch(6))
    expected = both.loss(batch, alpha=1.0, support=FULL)
    for subject in (alone, both.through_hidden_states()):
        found = subject.loss(batch, alpha=1.0, support=FULL)
        assert torch.equal(found.value, expected.value)
        assert torch.equal(found.student, expected.student)
    assert not is_declared("loss.half", {"hidden_loss"})


def test_the_form_is_called() -> None:
    """Through hidden states, `loss` is not called, and what is written into is seen."""

    class Writing:
        def hidden_loss(self, batch: HiddenBatch, **_: object) -> Tensor:
            batch.completions.add_(1)
            return batch.student_hidden.sum()

    subject = Subject(Writing())
    with subject.watching() as written:
        subject.loss(on_policy(random_batch(7)), alpha=1.0, support=FULL)
    assert written == ["hidden_loss"]
