"""The loss from hidden states and heads: as that of their logits, with a gradient for the head (spec/04-loss, I)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

import pytest
import torch
from torch import Tensor

from sdpo_ref.types import DistillationBatch, Head, HiddenBatch, Support
from sdpo_ref.vectors.store import Vector
from sdpo_ref.verification.checks.closed_form import losses_and_gradient
from sdpo_ref.verification.checks.comparison import assert_close, assert_finite
from sdpo_ref.verification.checks.inputs import input_generator, on_policy, random_batch, vector_parameters
from sdpo_ref.verification.checks.settings import Setting
from sdpo_ref.verification.checks.subject import Subject

WIDTH = 7
"""Of the student's hidden states."""

BIASES = [pytest.param(True, id="with a bias"), pytest.param(False, id="without a bias")]


def _head(generator: torch.Generator, vocab: int, width: int, *, has_bias: bool) -> Head:
    weight = torch.randn(vocab, width, generator=generator, dtype=torch.float64) / width**0.5
    bias = torch.randn(vocab, generator=generator, dtype=torch.float64) if has_bias else None
    return Head(weight, bias)


def _hidden(
    batch: DistillationBatch, seed: int, *, has_bias: bool = False, teacher_width: int = 5, shared: bool = False
) -> HiddenBatch:
    """Hidden states of two widths, or of one under a shared head, for the tokens and masks of a batch of logits."""
    generator = input_generator(seed)
    rows, time, vocab = batch.student_logits.shape
    width, teacher_width = WIDTH, WIDTH if shared else teacher_width
    student_head = _head(generator, vocab, width, has_bias=has_bias)
    teacher_head = student_head if shared else _head(generator, vocab, teacher_width, has_bias=has_bias)
    student = 2.0 * torch.randn(rows, time, width, generator=generator, dtype=torch.float64)
    teacher = 2.0 * torch.randn(rows, time, teacher_width, generator=generator, dtype=torch.float64)
    masks = batch.completions, batch.completion_mask, batch.self_distillation_mask
    return HiddenBatch(student, student_head, teacher, teacher_head, *masks, batch.behaviour_log_probs)


def _asking(batch: HiddenBatch, *, head: bool = True) -> HiddenBatch:
    """A copy in which everything asks for a gradient, or only what stands before the student's head."""

    def own(tensor: Tensor, *, asks: bool = head) -> Tensor:
        return tensor.detach().clone().requires_grad_(asks)

    def own_head(it: Head) -> Head:
        return Head(own(it.weight), None if it.bias is None else own(it.bias))

    student_head = own_head(batch.student_head)
    return replace(
        batch,
        student_hidden=own(batch.student_hidden, asks=True),
        student_head=student_head,
        teacher_hidden=own(batch.teacher_hidden),
        teacher_head=student_head if batch.teacher_head is batch.student_head else own_head(batch.teacher_head),
    )


def _student_leaves(batch: HiddenBatch) -> dict[str, Tensor]:
    head = batch.student_head
    leaves = {"student's hidden states": batch.student_hidden, "student head's weight": head.weight}
    leaves |= {} if head.bias is None else {"student head's bias": head.bias}
    return {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}


def _expected(batch: HiddenBatch, subject: Subject, on: Setting, **options: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """The value, and the chain rule written out from the gradient of the logits."""
    logits = batch.project()
    value, slope = losses_and_gradient(logits, subject.profile, **on.options, **options)
    hidden = torch.where(batch.loss_mask[..., None], batch.student_hidden.detach(), 0.0)
    return value, {
        "student's hidden states": torch.einsum("rtv,vh->rth", slope, batch.student_head.weight.detach()),
        "student head's weight": torch.einsum("rtv,rth->vh", slope, hidden),
        "student head's bias": slope.sum(dim=(0, 1)),
    }


def _compare(
    subject: Subject,
    batch: HiddenBatch,
    on: Setting,
    given: dict[str, object],
    *,
    only_value: bool = False,
    head: bool = True,
    **options: Any,
) -> None:
    """Value and gradients equal the closed form's and the chain rule's; of a surrogate, the gradients only."""
    own = _asking(batch, head=head)
    leaves = _student_leaves(own)
    value, *found = subject.hidden_loss(own, list(leaves.values()), **on.options, **options)
    expected, slopes = _expected(batch, subject, on, **options)
    given = {**given, **on.given, **options}
    if not on.is_surrogate:
        assert_close(value, expected, what="loss in nats", relative=1e-9, given=given)
        if only_value:
            return
    for name, gradient in zip(leaves, found, strict=True):
        size = float(slopes[name].abs().max())
        what = f"gradient w.r.t. the {name}"
        assert_close(gradient, slopes[name], what=what, relative=1e-9, absolute=1e-9 * size, given=given)


@pytest.mark.requirement("LOSS-130")
@pytest.mark.parametrize(("teacher_width", "has_bias"), [(5, True), (WIDTH, False)])
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_loss_from_hidden_states(subject: Subject, alpha: float, teacher_width: int, has_bias: bool) -> None:  # noqa: FBT001
    """On every support, masks and padding included; each side has a head of its own, whatever its width."""
    it = subject.through_hidden_states()
    batch = _hidden(on_policy(random_batch(140)), 141, has_bias=has_bias, teacher_width=teacher_width)
    given: dict[str, object] = {
        "width of the teacher's hidden states": teacher_width,
        "of the student's": WIDTH,
        "bias": has_bias,
    }
    for on in it.offered.each("loss", at=alpha):
        _compare(it, batch, on, given, only_value=True, head=False)


@pytest.mark.parametrize("vector", vector_parameters("hidden_loss", part="hidden_loss"))
def test_vector(subject: Subject, not_applicable: Callable[[str], NoReturn], vector: Vector) -> None:
    """Value and gradients equal the derived ones."""
    it, options, inputs = subject.through_hidden_states(), vector.options, vector.inputs
    if options["k"] is not None and options["top_k_from"] != it.profile.top_k_from:
        not_applicable(f"the profile takes the top-k of the {it.profile.top_k_from}")
    kind, alpha, k = options["support"], options["alpha"], options["k"]
    on = it.offered.exactly("loss", alpha, Support(kind, k), vocab=5)  # type: ignore[arg-type]
    heads = (Head(inputs[f"{side}_weight"], inputs[f"{side}_bias"]) for side in ("student", "teacher"))
    student_head, teacher_head = heads
    masks = inputs["completions"], inputs["completion_mask"], inputs["self_distillation_mask"]
    own = _asking(HiddenBatch(inputs["student_hidden"], student_head, inputs["teacher_hidden"], teacher_head, *masks))
    value, *found = it.hidden_loss(own, list(_student_leaves(own).values()), **on.options)
    names = ("value", "gradient_hidden", "gradient_weight", "gradient_bias")
    for what, got in zip(names, (value, *found), strict=True):
        name = f"{what}/{it.profile.aggregation}"
        if on.is_surrogate and what == "value":
            continue
        assert_close(
            got,
            vector.expected[name],
            what=name,
            relative=vector.tolerance.relative,
            absolute=vector.tolerance.absolute,
            given={"vector": vector.id, **options, **inputs},
            known_wrong=[wrong for wrong in vector.known_wrong if wrong.expected == name],
        )


@pytest.mark.requirement("LOSS-130")
@pytest.mark.needs("hidden_loss", "hidden_loss.temperature")
def test_temperature_from_hidden_states(subject: Subject) -> None:
    """The logits of both sides are divided, their biases too."""
    it = subject.through_hidden_states()
    batch = _hidden(on_policy(random_batch(142)), 143, has_bias=True)
    for on in it.offered.each("loss"):
        _compare(it, batch, on, {}, only_value=True, head=False, temperature=1.7)


@pytest.mark.requirement("LOSS-130")
@pytest.mark.needs("hidden_loss", "hidden_loss.importance")
def test_weights_from_hidden_states(subject: Subject) -> None:
    """Each token has its ratio."""
    it = subject.through_hidden_states()
    for on in it.offered.each("loss"):
        _compare(it, _hidden(random_batch(144), 145), on, {}, only_value=True, head=False, ratio_cap=1.5)


@pytest.mark.requirement("LOSS-130")
@pytest.mark.needs("hidden_loss", "hidden_loss.half")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_from_hidden_states(subject: Subject, dtype: torch.dtype) -> None:
    """Logits of half precision are rounded once, and computed with in more (LOSS-091)."""
    it = subject.through_hidden_states()
    batch = on_policy(random_batch(146, dtype=dtype))
    identity = Head(torch.eye(batch.student_logits.shape[-1], dtype=dtype))
    masks = batch.completions, batch.completion_mask, batch.self_distillation_mask
    for on in it.offered.each("loss"):
        hidden = HiddenBatch(
            batch.student_logits.clone().requires_grad_(), identity, batch.teacher_logits, identity, *masks
        )
        value, gradient = it.hidden_loss(hidden, [hidden.student_hidden], **on.options)
        expected, slope = losses_and_gradient(batch, it.profile, **on.options)
        given = {"dtype": dtype, **on.given}
        if not on.is_surrogate:
            assert_close(value, expected, what="loss in nats", relative=1e-4, absolute=1e-5, given=given)
        size = float(slope.abs().max())
        assert_close(gradient, slope, what="gradient", relative=2**-5, absolute=2**-6 * size, given=given)


@pytest.mark.requirement("LOSS-131")
@pytest.mark.parametrize("has_bias", BIASES)
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_gradients_from_hidden_states(subject: Subject, alpha: float, has_bias: bool) -> None:  # noqa: FBT001
    """Hidden states, weight and bias, as the chain rule has them."""
    it = subject.through_hidden_states()
    batch = _hidden(on_policy(random_batch(147)), 148, has_bias=has_bias)
    for on in it.offered.each("loss", at=alpha):
        _compare(it, batch, on, {"bias": has_bias})


@pytest.mark.requirement("LOSS-131")
def test_frozen_head(subject: Subject) -> None:
    """A head that asks for no gradient takes none from the hidden states."""
    it = subject.through_hidden_states()
    for on in it.offered.each("loss"):
        _compare(it, _hidden(on_policy(random_batch(149)), 150), on, {"student's head": "frozen"}, head=False)


@pytest.mark.requirement("LOSS-131")
@pytest.mark.parametrize(("rows", "time", "vocab"), [(3, 1_000, 3), (1, 2, 40_000)], ids=["3,000 tokens", "40,000 ids"])
def test_gradients_of_many(subject: Subject, rows: int, time: int, vocab: int) -> None:
    """Every token reaches the head, and every id has its row of it."""
    it = subject.through_hidden_states()
    completions = torch.randint(vocab, (rows, time), generator=input_generator(151))
    mask = torch.arange(time) < time - torch.arange(rows)[:, None]
    logits = torch.zeros(rows, time, vocab)
    batch = _hidden(DistillationBatch(logits, logits, completions, mask, mask[:, 0]), 152)
    for on in it.offered.each("loss"):
        _compare(it, batch, on, {"rollouts": rows, "tokens of each, at most": time, "vocab": vocab})


@pytest.mark.requirement("LOSS-132")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_teacher_from_hidden_states(subject: Subject, alpha: float) -> None:
    """Nothing arrives at what makes the teacher's logits."""
    it = subject.through_hidden_states()
    batch = _hidden(on_policy(random_batch(153)), 154, has_bias=True)
    for on in it.offered.each("loss", at=alpha):
        own = _asking(batch)
        assert own.teacher_head.bias is not None
        leaves = {
            "teacher's hidden states": own.teacher_hidden,
            "teacher head's weight": own.teacher_head.weight,
            "teacher head's bias": own.teacher_head.bias,
        }
        _, *found = it.hidden_loss(own, list(leaves.values()), **on.options)
        for (name, leaf), gradient in zip(leaves.items(), found, strict=True):
            what = f"gradient w.r.t. the {name}"
            assert_close(gradient, torch.zeros_like(leaf), what=what, relative=0.0, absolute=0.0, given=on.given)


@pytest.mark.requirement("LOSS-132")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_shared_head(subject: Subject, alpha: float) -> None:
    """One head for both sides has the gradient of the student's logits alone."""
    it = subject.through_hidden_states()
    batch = _hidden(on_policy(random_batch(155)), 156, has_bias=True, shared=True)
    for on in it.offered.each("loss", at=alpha):
        _compare(it, batch, on, {"teacher_head": "is student_head"})


@pytest.mark.requirement("LOSS-133")
@pytest.mark.parametrize("garbage", [torch.nan, torch.inf, 1e30])
def test_garbage_in_hidden_states(subject: Subject, garbage: float) -> None:
    """Padding, and rows without a teacher, hold what they hold."""
    it = subject.through_hidden_states()
    batch = _hidden(on_policy(random_batch(157)), 158, has_bias=True)
    counts = batch.loss_mask[..., None]
    dirty = replace(
        batch,
        student_hidden=torch.where(counts, batch.student_hidden, garbage),
        teacher_hidden=torch.where(counts, batch.teacher_hidden, garbage),
        completions=torch.where(batch.completion_mask, batch.completions, -100),
    )
    for on in it.offered.each("loss"):
        clean, own = _asking(batch), _asking(dirty)
        expected = it.hidden_loss(clean, list(_student_leaves(clean).values()), **on.options)
        found = it.hidden_loss(own, list(_student_leaves(own).values()), **on.options)
        given = {"hidden states that do not count": garbage, **on.given}
        for name, one, other in zip(("loss in nats", *_student_leaves(own)), found, expected, strict=True):
            assert_finite(one, what=name, given=given)
            assert_close(one, other, what=name, relative=1e-10, given=given)
