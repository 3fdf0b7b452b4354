"""The loss over a given count of tokens or rows (spec/04-loss, E): a batch is a piece of a step."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sdpo_ref.types import DistillationBatch
from sdpo_ref.verification.checks.closed_form import losses_and_gradient
from sdpo_ref.verification.checks.comparison import assert_close, assert_finite
from sdpo_ref.verification.checks.inputs import on_policy, random_batch
from sdpo_ref.verification.checks.settings import Setting
from sdpo_ref.verification.checks.subject import Subject

ALPHAS = [0.0, 0.25, 1.0]


def _compare(subject: Subject, batch: DistillationBatch, on: Setting, denominator: float, **options: Any) -> None:
    """Value and gradient are those that are written out."""
    found = subject.loss(batch, **on.options, **options, denominator=denominator)
    value, gradient = losses_and_gradient(batch, subject.profile, **on.options, **options, denominator=denominator)
    inputs = {"denominator": denominator, "aggregation": subject.profile.aggregation, **on.given, **options}
    if not on.is_surrogate:
        assert_close(found.value, value, what="loss in nats", relative=1e-9, given=inputs)
    assert_close(found.student, gradient, what="gradient", relative=1e-9, absolute=1e-13, given=inputs)


@pytest.mark.requirement("LOSS-140")
@pytest.mark.parametrize("denominator", [0.5, 3.0, 40.0])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_denominator_stands_for_the_count(subject: Subject, alpha: float, denominator: float) -> None:
    """A number below one, one below the batch's own count, and one above it."""
    batch = on_policy(random_batch(61))
    for on in subject.offered.each("loss", at=alpha):
        _compare(subject, batch, on, denominator)


@pytest.mark.requirement("LOSS-140")
@pytest.mark.needs("loss.denominator", "loss.importance", "loss.temperature")
def test_denominator_with_every_option(subject: Subject) -> None:
    """Beside importance weights and a temperature."""
    batch = random_batch(62)
    for on in subject.offered.each("loss", near=0.25):
        _compare(subject, batch, on, 23.0, temperature=0.7, ratio_cap=1.5)


CUTS = {
    "single rows": ([0], [1], [2], [3]),
    "one row and three": ([1], [0, 2, 3]),
    "rows that do not count": ([2], [0, 1, 3]),
    "the whole": ([0, 1, 2, 3],),
}


@pytest.mark.requirement("LOSS-141")
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_pieces_add_up(subject: Subject, alpha: float, cut: str) -> None:
    """However rows are cut into pieces, each without the padding that only others need."""
    batch, denominator = on_policy(random_batch(63)), 11.0
    for on in subject.offered.each("loss", at=alpha):
        whole = subject.loss(batch, **on.options, denominator=denominator)
        total, gradient = torch.zeros((), dtype=torch.float64), torch.zeros_like(whole.student)
        for rows in CUTS[cut]:
            piece = _piece(batch, torch.tensor(rows))
            found = subject.loss(piece, **on.options, denominator=denominator)
            total = total + found.value
            gradient[torch.tensor(rows), : piece.completions.shape[1]] = found.student
        inputs = {"pieces": cut, "denominator of each": denominator, **on.given}
        if not on.is_surrogate:
            assert_close(total.to(whole.value), whole.value, what="sum of the pieces", relative=1e-10, given=inputs)
        assert_close(
            gradient.to(whole.value.dtype), whole.student, what="gradient", relative=1e-10, absolute=1e-13, given=inputs
        )


def _piece(batch: DistillationBatch, rows: Tensor) -> DistillationBatch:
    """Some rows, as long as the longest of them."""
    time = int(batch.completion_mask[rows].any(0).nonzero().max()) + 1
    return DistillationBatch(
        batch.student_logits[rows, :time],
        batch.teacher_logits[rows, :time],
        batch.completions[rows, :time],
        batch.completion_mask[rows, :time],
        batch.self_distillation_mask[rows],
    )


@pytest.mark.requirement("LOSS-142")
@pytest.mark.parametrize("denominator", [0.0, 0.25, 9.0])
@pytest.mark.parametrize("empty", ["no usable row", "no counted token"])
def test_nothing_counts_over_a_denominator(subject: Subject, empty: str, denominator: float) -> None:
    """Zero, with gradients that are all zero, also where nothing counts in the whole step."""
    batch = on_policy(random_batch(64))
    if empty == "no usable row":
        batch = replace(batch, self_distillation_mask=torch.zeros(4, dtype=torch.bool))
    else:
        batch = replace(batch, completion_mask=torch.zeros_like(batch.completion_mask))
    for on in subject.offered.each("loss", near=1.0):
        found = subject.loss(batch, **on.options, denominator=denominator)
        inputs = {"batch": empty, "denominator": denominator, **on.given}
        assert_close(found.value, torch.tensor(0.0), what="loss in nats", given=inputs)
        assert_finite(found.student, what="gradient", given=inputs)
        assert_close(found.student, torch.zeros_like(found.student), what="gradient", given=inputs)
