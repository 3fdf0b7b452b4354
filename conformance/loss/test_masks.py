"""Masks and aggregation (spec/04-loss, E)."""

from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor

from sdpo_ref.types import FULL, SAMPLED_TOKEN, Aggregation, DistillationBatch
from sdpo_ref.verification.checks.closed_form import divergences, losses_and_gradient, token_weights
from sdpo_ref.verification.checks.comparison import allowed, assert_close, assert_finite, assert_that
from sdpo_ref.verification.checks.inputs import every_row, on_policy, random_batch
from sdpo_ref.verification.checks.subject import Subject

ALPHAS = [0.0, 0.25, 1.0]
PARTS_WITH_A_MEAN = ["loss", "sdft_loss", "hybrid_loss"]


def _rows(batch: DistillationBatch, rows: Tensor) -> DistillationBatch:
    return DistillationBatch(
        batch.student_logits[rows],
        batch.teacher_logits[rows],
        batch.completions[rows],
        batch.completion_mask[rows],
        batch.self_distillation_mask[rows],
    )


@pytest.mark.requirement("LOSS-050")
@pytest.mark.parametrize("alpha", ALPHAS)
def test_no_gradient_where_nothing_counts(subject: Subject, alpha: float) -> None:
    """Exactly zero at padding and in rows without a teacher; not zero at tokens that count."""
    batch = on_policy(random_batch(11))
    for on in subject.offered.each("loss", at=alpha):
        gradient = subject.loss(batch, **on.options).student
        outside = gradient[~batch.loss_mask]
        inputs = {
            "completion_mask": batch.completion_mask,
            "self_distillation_mask": batch.self_distillation_mask,
            **on.given,
        }
        assert_that(
            not outside.any(),
            "a gradient of exactly 0 at positions that do not count",
            f"up to {float(outside.abs().max()):.6g}",
            inputs,
            looks_like="M101 row mask ignored" if gradient[2].any() else "M102 padding or tool tokens trained",
        )
        silent = (gradient.abs().sum(-1) == 0) & batch.loss_mask
        assert_that(
            not silent.any(), "a gradient at every token that counts", f"none at {silent.nonzero().tolist()}", inputs
        )


@pytest.mark.requirement("LOSS-050")
@pytest.mark.parametrize("alpha", ALPHAS)
def test_no_gradient_in_holes(subject: Subject, alpha: float) -> None:
    """The output of a tool stands between tokens that were sampled."""
    batch = every_row(random_batch(19))
    mask = torch.ones_like(batch.completion_mask)
    mask[0, 2:4] = mask[1, 1] = mask[3, ::2] = False
    for on in subject.offered.each("loss", at=alpha):
        gradient = subject.loss(replace(batch, completion_mask=mask), **on.options).student
        counted = gradient.abs().sum(-1) > 0
        assert_that(
            bool(torch.equal(counted, mask)),
            "a gradient at exactly the tokens of the mask",
            f"another one at {(counted != mask).nonzero().tolist()}",
            {"completion_mask": mask, **on.given},
            looks_like="M102 padding or tool tokens trained" if bool((counted & ~mask).any()) else "",
        )


POISONS = {
    "NaN in the student": {"student_logits": torch.nan},
    "NaN in the teacher": {"teacher_logits": torch.nan},
    "infinity in the student": {"student_logits": torch.inf},
    "minus infinity in both": {"student_logits": -torch.inf, "teacher_logits": -torch.inf},
    "large numbers in the teacher": {"teacher_logits": 1e30},
}


@pytest.mark.requirement("LOSS-051")
@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_poison_where_nothing_counts(subject: Subject, poison: str, alpha: float) -> None:
    """Garbage at positions that do not count changes neither value nor gradient, and the gradient stays finite."""
    batch = on_policy(random_batch(12))
    dirty_logits = {
        name: torch.where(batch.loss_mask[..., None], getattr(batch, name), value)
        for name, value in POISONS[poison].items()
    }
    for on in subject.offered.each("loss", at=alpha):
        clean = subject.loss(batch, **on.options)
        dirty = subject.loss(replace(batch, **dirty_logits), **on.options)
        inputs = {"at positions that do not count": poison, **on.given}
        assert_close(dirty.value, clean.value, what="loss in nats", given=inputs)
        assert_finite(dirty.student, what="gradient", given=inputs)
        assert_close(dirty.student, clean.student, what="gradient", given=inputs)


@pytest.mark.requirement("LOSS-051")
@pytest.mark.needs("loss.importance")
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 1e30])
def test_poison_in_behaviour(subject: Subject, value: float) -> None:
    """The behaviour log-probabilities of padding have no effect."""
    batch = random_batch(13)
    assert batch.behaviour_log_probs is not None
    poisoned = replace(batch, behaviour_log_probs=torch.where(batch.loss_mask, batch.behaviour_log_probs, value))
    for on in subject.offered.each("loss"):
        clean = subject.loss(batch, **on.options, ratio_cap=2.0)
        dirty = subject.loss(poisoned, **on.options, ratio_cap=2.0)
        inputs = {"behaviour_log_probs where nothing counts": value, **on.given}
        assert_close(dirty.value, clean.value, what="loss in nats", given=inputs)
        assert_close(dirty.student, clean.student, what="gradient", given=inputs)


@pytest.mark.requirement("LOSS-051")
@pytest.mark.parametrize("token", [-100, 10**6])
def test_ids_of_padding(subject: Subject, token: int) -> None:
    """Padding may hold the usual ignore index, or any other id."""
    batch = on_policy(random_batch(14))
    padded = replace(batch, completions=torch.where(batch.completion_mask, batch.completions, token))
    for on in subject.offered.each("loss"):
        clean = subject.loss(batch, **on.options)
        dirty = subject.loss(padded, **on.options)
        inputs = {"id at padded positions": token, **on.given}
        assert_close(dirty.value, clean.value, what="loss in nats", given=inputs)


@pytest.mark.requirement("LOSS-051")
@pytest.mark.needs("loss.sampled_token")
def test_padding_beside_a_vocabulary_of_one(subject: Subject) -> None:
    """Where there is one token only, no other id may stand in at padded positions."""
    mask = torch.tensor([[True, False]])
    logits = torch.ones(1, 2, 1, dtype=torch.float64)
    batch = DistillationBatch(logits, 2 * logits, torch.tensor([[0, 0]]), mask, mask[:, 0])
    found = subject.loss(batch, alpha=1.0, support=SAMPLED_TOKEN)
    inputs = {"vocab": 1, "completions": batch.completions, "completion_mask": mask}
    assert_close(found.value, torch.tensor(0.0), what="loss of a certain token", given=inputs)
    assert_close(found.student, torch.zeros(1, 2, 1), what="gradient", given=inputs)


@pytest.mark.requirement("LOSS-052")
@pytest.mark.parametrize("alpha", ALPHAS)
def test_longer_padding(subject: Subject, alpha: float) -> None:
    """Three more padded positions change nothing but the divisor of time_normalized_sum."""
    batch = on_policy(random_batch(15))
    time = batch.completions.shape[1]
    longer = DistillationBatch(
        torch.cat([batch.student_logits, batch.student_logits[:, :3]], dim=1),
        torch.cat([batch.teacher_logits, batch.teacher_logits[:, 2:5]], dim=1),
        torch.cat([batch.completions, batch.completions[:, :3]], dim=1),
        torch.cat([batch.completion_mask, torch.zeros(4, 3, dtype=torch.bool)], dim=1),
        batch.self_distillation_mask,
    )
    factor = time / (time + 3) if subject.profile.aggregation == "time_normalized_sum" else 1.0
    for on in subject.offered.each("loss", at=alpha):
        before, after = subject.loss(batch, **on.options), subject.loss(longer, **on.options)
        inputs = {**on.given, "padded positions added": 3, "aggregation": subject.profile.aggregation}
        assert_close(after.value, factor * before.value, what="loss in nats", given=inputs)
        assert_close(after.student[:, :time], factor * before.student, what="gradient", given=inputs)


@pytest.mark.requirement("LOSS-053")
def test_worked_example(subject: Subject) -> None:
    """Token losses of 1 to 5 in rows of 3, 2 and 4 tokens, the last row unusable: every mean gives another number."""
    wanted = torch.tensor([[1.0, 2.0, 3.0, 9.0], [4.0, 8.0, 9.0, 9.0], [5.0, 5.0, 5.0, 5.0]], dtype=torch.float64)
    # a KL from one certain token is -log of the other side's probability: make every token's loss the wanted number
    certain = torch.tensor([0.0, -800.0], dtype=torch.float64).expand(3, 4, 2).clone()
    unsure = torch.stack([-wanted, torch.log1p(-torch.exp(-wanted))], dim=-1)
    on = subject.offered.one("loss", near=0.0, vocab=2)
    student, teacher = (certain, unsure) if on.alpha == 1.0 and not on.is_surrogate else (unsure, certain)
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]]).bool()
    batch = DistillationBatch(
        student, teacher, torch.zeros(3, 4, dtype=torch.long), mask, torch.tensor([True, True, False])
    )
    declared = subject.profile.aggregation
    inputs = {"completion_mask": mask, "self_distillation_mask": [True, True, False], **on.given}
    found = subject.loss(batch, **on.options)
    if on.is_surrogate:
        _, gradient = losses_and_gradient(batch, subject.profile, **on.options)
        assert_close(found.student, gradient, what=f"gradient of the {declared}", relative=1e-9, given=inputs)
        return
    tokens = divergences(student.log_softmax(-1), teacher.log_softmax(-1), alpha=on.alpha, support=FULL)
    value = float(found.value)
    means = {name: float((token_weights(batch.loss_mask, name) * tokens).sum()) for name in get_args(Aggregation)}
    others = [name for name, number in means.items() if name != declared and abs(value - number) < 1e-5]
    named_wrong = {42 / 9: "token mean over all rows, self-distillation mask ignored"} | {
        38 / 9: "token mean over all rows, self-distillation mask ignored",
        1.5: "sum divided by rows times padded length",
        2.0: "sum of counted tokens divided by all sampled tokens",
    }
    signs = [text for number, text in named_wrong.items() if abs(value - number) < 1e-5]
    tolerance = max(1e-9, subject.slack, allowed() * means[declared])
    assert_that(
        abs(value - means[declared]) <= tolerance,
        f"{means[declared]:.10g} nats, the {declared} of {_rounded(tokens)}",
        f"{value:.10g} nats",
        inputs,
        tolerance=f"{tolerance:g} nats",
        looks_like=(f"aggregation {others[0]}: declare it in the profile" if others else "".join(signs[:1])),
    )


@pytest.mark.requirement("LOSS-053")
def test_rows_of_one_token(subject: Subject) -> None:
    """Rows of one token before longer ones: each is a row, also where rows are packed one after the other."""
    lengths = torch.tensor([1, 3, 1, 2])
    batch = replace(every_row(random_batch(46)), completion_mask=torch.arange(6) < lengths[:, None])
    on = subject.offered.one("loss", near=0.0, vocab=11)
    found = subject.loss(batch, **on.options)
    value, gradient = losses_and_gradient(batch, subject.profile, **on.options)
    inputs = {"tokens of each row": lengths, "aggregation": subject.profile.aggregation, **on.given}
    if on.is_surrogate:
        assert_close(found.student, gradient, what="gradient", relative=1e-9, absolute=1e-13, given=inputs)
        return
    student, teacher = batch.student_logits.log_softmax(-1), batch.teacher_logits.log_softmax(-1)
    tokens = divergences(student, teacher, alpha=on.alpha, support=FULL) * batch.completion_mask
    two_and_two = (tokens[:2].sum() / 4 + tokens[2:].sum() / 3) / 2
    packed = abs(float(found.value.double() - two_and_two)) < 1e-6
    assert_close(
        found.value,
        value,
        what=f"loss in nats, the {subject.profile.aggregation},",
        relative=1e-9,
        given=inputs,
        looks_like="rows are packed, and told apart by where a position falls: after one token none does" * packed,
    )


def _rounded(tokens: Tensor) -> list[list[float]]:
    return [[round(number, 9) for number in row] for row in tokens.tolist()]


@pytest.mark.requirement("LOSS-054")
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("empty", ["no usable row", "no counted token", "neither"])
def test_nothing_counts(subject: Subject, alpha: float, empty: str) -> None:
    """Zero, attached to the graph, with gradients that are all zero."""
    batch = on_policy(random_batch(16))
    if empty != "no counted token":
        batch = replace(batch, self_distillation_mask=torch.zeros(4, dtype=torch.bool))
    if empty != "no usable row":
        batch = replace(batch, completion_mask=torch.zeros_like(batch.completion_mask))
    for on in subject.offered.each("loss", at=alpha):
        found = subject.loss(batch, **on.options)
        inputs = {"batch": empty, **on.given}
        assert_close(found.value, torch.tensor(0.0), what="loss in nats", given=inputs)
        assert_close(found.student, torch.zeros_like(found.student), what="gradient", given=inputs)


@pytest.mark.requirement("LOSS-055")
@pytest.mark.parametrize("alpha", ALPHAS)
def test_order_of_rows(subject: Subject, alpha: float) -> None:
    """Rows may come in any order."""
    batch, order = on_policy(random_batch(17)), torch.tensor([2, 0, 3, 1])
    for on in subject.offered.each("loss", at=alpha):
        before, after = subject.loss(batch, **on.options), subject.loss(_rows(batch, order), **on.options)
        inputs = {"order of rows": order, **on.given}
        assert_close(after.value, before.value, what="loss in nats", given=inputs)
        assert_close(after.student, before.student[order], what="gradient", given=inputs)


@pytest.mark.requirement("LOSS-056")
@pytest.mark.parametrize("alpha", ALPHAS)
def test_halves_add_up(subject: Subject, alpha: float) -> None:
    """Two halves, weighted by their share of the denominator, give the whole."""
    batch = on_policy(random_batch(18))
    halves = [_rows(batch, torch.tensor(rows)) for rows in ([0, 1], [2, 3])]
    denominators = [_denominator(half, subject.profile.aggregation) for half in halves]
    total = sum(denominators) if subject.profile.aggregation != "time_normalized_sum" else 1.0
    for on in subject.offered.each("loss", at=alpha):
        parts = [float(subject.loss(half, **on.options).value) for half in halves]
        expected = sum(share * part for share, part in zip(denominators, parts, strict=True)) / total
        assert_close(
            subject.loss(batch, **on.options).value,
            torch.tensor(expected, dtype=torch.float64),
            what="loss in nats, from its halves,",
            relative=1e-10,
            given={**on.given, "losses of the halves": parts, "their denominators": denominators},
        )


def _denominator(batch: DistillationBatch, aggregation: str) -> float:
    mask = batch.loss_mask
    return {
        "token_mean": float(mask.sum()),
        "row_mean": float(mask.any(-1).sum()),
        "row_mean_all": float(mask.shape[0]),
        "row_sum": float(mask.any(-1).sum()),
        "time_normalized_sum": 1.0,
    }[aggregation]


@pytest.mark.requirement("LOSS-119")
@pytest.mark.parametrize("part", [pytest.param(it, marks=pytest.mark.needs(it)) for it in PARTS_WITH_A_MEAN])
def test_nothing_is_added_to_the_counts(subject: Subject, part: str) -> None:
    """A token that is alone weighs its share: one of one, as sixty-four of sixty-four do."""
    found = subject.bias(part)
    assert_that(
        not found,
        "a token that weighs its share where it is alone",
        f"{found:.2g} of its share is missing: all answers are compared with four times that",
        {"part": part, "aggregation": subject.profile.aggregation},
        looks_like="M570 epsilon in the denominator",
    )
