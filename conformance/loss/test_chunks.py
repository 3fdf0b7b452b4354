"""Faults that begin with the second chunk or tile: many tokens and rows, large vocabularies (spec/04-loss, E)."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sdpo_ref.types import DistillationBatch
from sdpo_ref.verification.checks.closed_form import divergences, losses_and_gradient
from sdpo_ref.verification.checks.comparison import assert_close
from sdpo_ref.verification.checks.inputs import input_generator
from sdpo_ref.verification.checks.settings import Setting
from sdpo_ref.verification.checks.subject import Gradient, Subject

SHAPES = {"two long rows": (2, 35_000), "many short rows": (1_500, 47)}
"""Seventy thousand tokens, more than the chunks and tiles that are in use: 1,024, 2,048, 4,096 and 65,536."""


def _ragged(seed: int, rows: int, time: int, vocab: int = 3) -> DistillationBatch:
    """Rows of different lengths with a hole in each, whose tokens were recorded about one nat from the student."""
    generator = input_generator(seed)
    student, teacher = torch.randn(2, rows, time, vocab, generator=generator, dtype=torch.float64)
    completions = torch.randint(vocab, (rows, time), generator=generator)
    lengths = time - torch.randint(max(time // 8, 1), (rows, 1), generator=generator)
    mask = torch.arange(time) < lengths
    mask[:, 1] = False
    recorded = student.log_softmax(-1).gather(-1, completions[..., None]).squeeze(-1)
    shift = torch.randn(rows, time, generator=generator, dtype=torch.float64)
    return DistillationBatch(student, teacher, completions, mask, mask.any(-1), (recorded + shift).clamp(max=0.0))


def _compare(found: Gradient, expected: tuple[Tensor, Tensor], on: Setting, given: dict[str, object]) -> None:
    given = {**given, **on.given}
    if not on.is_surrogate:
        assert_close(found.value, expected[0], what="loss in nats", relative=1e-9, given=given)
    assert_close(
        found.student,
        expected[1],
        what="gradient w.r.t. the student's logits",
        relative=1e-9,
        absolute=1e-9 * float(expected[1].abs().max()),
        given=given,
    )


@pytest.mark.requirement("LOSS-123")
@pytest.mark.parametrize("shape", SHAPES)
def test_seventy_thousand_tokens(subject: Subject, shape: str) -> None:
    """Every token has its weight and its gradient, however the batch is cut on the way; in many rows also a ratio."""
    rows, time = SHAPES[shape]
    ratio_cap = 2.0 if rows > time and subject.offers("loss.importance") else None
    batch = _ragged(71, rows, time)
    for on in subject.offered.each("loss"):
        found = subject.loss(batch, **on.options, ratio_cap=ratio_cap)
        expected = losses_and_gradient(batch, subject.profile, **on.options, ratio_cap=ratio_cap)
        _compare(found, expected, on, {"rollouts": rows, "tokens of each, at most": time, "ratio_cap": ratio_cap})


@pytest.mark.requirement("LOSS-091")
def test_half_precision_of_many_tokens(subject: Subject) -> None:
    """Seventy thousand tokens are counted exactly also where their logits are in half precision."""
    batch = _ragged(74, 2, 35_000)
    half = replace(
        batch,
        student_logits=batch.student_logits.bfloat16(),
        teacher_logits=batch.teacher_logits.bfloat16(),
        behaviour_log_probs=None,
    )
    on = subject.offered.one("loss", near=0.0, vocab=3)
    found = subject.loss(half, **on.options)
    value, gradient = losses_and_gradient(half, subject.profile, **on.options)
    given = {"rollouts": 2, "tokens of each, at most": 35_000, "dtype": torch.bfloat16, **on.given}
    if not on.is_surrogate:
        assert_close(found.value, value, what="loss in nats", relative=1e-4, absolute=0.0, given=given)
    # the gradient may come back in half precision: 2^-8 of each entry, and of the largest for cancellation
    slack = 2**-9 * float(gradient.abs().max())
    assert_close(found.student, gradient, what="gradient", relative=2**-7, absolute=slack, given=given)


@pytest.mark.requirement("LOSS-120")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_quarter_of_a_million_ids(subject: Subject, alpha: float) -> None:
    """One token whose every id matters, the last one sampled."""
    vocab = 262_144
    student, teacher = torch.randn(2, 1, 1, vocab, generator=input_generator(72), dtype=torch.float64)
    student[..., [vocab - 1, 140_000]], teacher[..., [vocab - 1, 70_000]] = 9.0, 8.0
    true = torch.ones(1, 1, dtype=torch.bool)
    batch = DistillationBatch(student, teacher, torch.tensor([[vocab - 1]]), true, true[0])
    for on in subject.offered.each("loss", at=alpha):
        found = subject.loss(batch, **on.options)
        _compare(found, losses_and_gradient(batch, subject.profile, **on.options), on, {"vocab": vocab})


@pytest.mark.parametrize(
    "alpha",
    [
        pytest.param(0.0, marks=pytest.mark.requirement("LOSS-001")),
        pytest.param(0.25, marks=pytest.mark.requirement("LOSS-003")),
        pytest.param(1.0, marks=pytest.mark.requirement("LOSS-002")),
    ],
)
def test_divergence_of_many_positions(subject: Subject, alpha: float) -> None:
    """At all of 70,000 positions, and over 262,144 ids, it is the divergence."""
    for positions, vocab in ((35_000, 3), (1, 262_144)):
        on = subject.offered.one("divergence", at=alpha, vocab=vocab)
        sides = torch.randn(2, 2, positions, vocab, generator=input_generator(73), dtype=torch.float64).log_softmax(-1)
        assert_close(
            subject.divergence(*sides, **on.options),
            divergences(*sides, **on.options, top_k_from=subject.profile.top_k_from),
            what="divergence in nats",
            relative=1e-9,
            absolute=1e-12,
            given={"positions": 2 * positions, "vocab": vocab, **on.given},
        )
