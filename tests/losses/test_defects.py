"""What other implementations of this loss got wrong, one test each; the list is of faults that were published."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sdpo_ref.errors import UnsupportedError
from sdpo_ref.losses import reference
from sdpo_ref.types import FULL, SAMPLED_TOKEN, DistillationBatch, Head, HiddenBatch, Support
from tests.losses.equality import (
    EACH,
    VARIANTS,
    Variant,
    answers,
    errors,
    in_float64,
    materialized,
    plain,
    with_gradients,
)
from tests.losses.memory import peak_bytes
from tests.losses.problems import Shape, hidden_batch, logit_batch, token_weights

chunked = VARIANTS[0]
each_variant = pytest.mark.parametrize("variant", EACH, ids=str)

LARGE = Shape(rollout=4, time=16, vocab=800, hidden=32)
"""Large enough that a chunk is a small part of it."""


def large(variant: Variant) -> Shape:
    """As many tokens as the variant computes in a moment; sixteen in Triton's interpreter."""
    return LARGE if variant.name == "chunked" else replace(LARGE, time=4)


def dense(batch: HiddenBatch) -> HiddenBatch:
    """The batch with every token counted."""
    mask = torch.ones_like(batch.completion_mask)
    numbers = {name: getattr(batch, name).nan_to_num(0.5) for name in ("student_hidden", "teacher_hidden")}
    return replace(
        batch,
        **numbers,
        completions=batch.completions.clamp(min=0),
        completion_mask=mask,
        self_distillation_mask=mask[:, 0],
        behaviour_log_probs=None,
    )


# -- digits ------------------------------------------------------------------------------------------------------------


@each_variant
def test_bf16_gradient_stays_right_as_the_teacher_comes_close(variant: Variant) -> None:
    """Goal A1: from a KL of 4 down to 4e-3 the gradient of bf16 inputs errs by no more than 5e-3, and no worse later.

    Logits rounded to bf16 err by a quarter at the lower end.
    """
    found = {}
    for gap in (1.7, 0.4, 0.12, 0.035):
        batch = dense(hidden_batch(large(variant), gap=gap, dtype=torch.bfloat16))
        truth = answers(plain, in_float64(batch), alpha=1.0)
        error = errors(answers(variant.sdpo_loss, batch, alpha=1.0), truth)
        found[float(truth["value"])] = max(error["student_hidden"], error["student_head.weight"])
    assert min(found) < 5e-3
    assert max(found) > 2.0
    assert max(found.values()) <= 5e-3, found


@each_variant
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("gap", [1.0, 0.1])
def test_float32_has_its_digits(variant: Variant, alpha: float, gap: float) -> None:
    """Goal A2: gradients of float32 inputs to 1e-5, the loss to 1e-6."""
    batch = dense(hidden_batch(large(variant), gap=gap, dtype=torch.float32))
    error = errors(answers(variant.sdpo_loss, batch, alpha=alpha), answers(plain, in_float64(batch), alpha=alpha))
    assert error.pop("value") <= 1e-6
    assert max(error.values()) <= 1e-5


@each_variant
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_no_token_has_a_negative_divergence(variant: Variant, alpha: float) -> None:
    """In float32, a millionth of a nat apart: tiny, positive, and still with three digits."""
    time = 50 if variant.name == "chunked" else 10
    student = torch.randn(1, time, 300, generator=torch.Generator().manual_seed(0))
    teacher = student + 1e-3 * torch.randn(1, time, 300, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(1, time, dtype=torch.bool)
    batch = DistillationBatch(student, teacher, torch.zeros(1, time).long(), mask, mask[:, 0])
    found = variant.sdpo_token_losses(batch, alpha=alpha)
    expected = reference.sdpo_token_losses(in_float64(batch), alpha=alpha)
    assert bool((found > 0.0).all())
    assert float(expected.max()) < 1e-6
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=0.0)


@each_variant
@pytest.mark.parametrize("exponent", [1, 4, 8, 12])
@pytest.mark.parametrize("top_k_from", ["student", "teacher"])
def test_tail_is_summed_directly(variant: Variant, exponent: int, top_k_from: str) -> None:
    """Goal A3: reverse KL of two cells tells the teacher's log tail mass to 1e-5 nats, down to a mass of 1e-12.

    One minus the head's mass has no digit left at 1e-8 in float32.
    """
    tail = torch.linspace(0.5, 1.5, 20, dtype=torch.float64)
    student = torch.cat([torch.tensor([0.5]), 0.5 * tail / tail.sum()]).log()
    teacher = torch.cat([torch.tensor([1.0]), 10.0**-exponent * tail.flip(0) / tail.sum()]).log()
    mask = torch.tensor([[True]])
    batch = DistillationBatch(student[None, None].float(), teacher[None, None].float(), mask.long(), mask, mask[0])
    options: dict[str, Any] = {"alpha": 1.0, "support": Support("top_k_tail", 1), "top_k_from": top_k_from}
    truth = answers(plain, in_float64(batch), **options)
    found = answers(variant.sdpo_loss, batch, **options)
    assert float((found["value"] - truth["value"]).abs()) <= 0.5 * 1e-5
    assert errors(found, truth)["student_logits"] <= 1e-5


@each_variant
def test_head_gradient_of_many_chunks_is_rounded_once(variant: Variant) -> None:
    """With 64 chunks of one token the bf16 gradient of the head is as right as with one chunk."""
    batch = dense(hidden_batch(LARGE, dtype=torch.bfloat16))
    truth = answers(plain, in_float64(batch), alpha=1.0)
    one, many = (
        errors(answers(variant.sdpo_loss, batch, alpha=1.0, chunk_bytes=budget), truth)["student_head.weight"]
        for budget in (2**30, 2 * 4 * LARGE.vocab)
    )
    assert many <= one * 1.01


@each_variant
def test_a_loss_scale_comes_before_the_rounding(variant: Variant) -> None:
    """A float16 gradient that would be zero by itself is right when the loss is scaled by 2^16, as scaling is for."""
    batch = hidden_batch(Shape(rollout=1, time=1), dtype=torch.float16)
    options: dict[str, Any] = {"alpha": 1.0, "token_weights": torch.full((1, 1), 1e-8)}
    scaled = answers(variant.sdpo_loss, batch, upstream=2.0**16, **options)["student_hidden"].double()
    truth = answers(plain, in_float64(batch), upstream=2.0**16, **options)["student_hidden"]
    assert not answers(variant.sdpo_loss, batch, **options)["student_hidden"].any()
    torch.testing.assert_close(scaled, truth, rtol=1e-3, atol=6e-8)


@each_variant
def test_autocast_changes_nothing(variant: Variant) -> None:
    """Inside a bf16 autocast region the matrix products stay in the dtype of the arithmetic."""
    batch = hidden_batch(Shape(), dtype=torch.float32)
    expected = answers(variant.sdpo_loss, batch, alpha=0.5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = answers(variant.sdpo_loss, batch, alpha=0.5)
    for name, answer in expected.items():
        assert torch.equal(found[name], answer), name


# -- chunks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("support", [FULL, Support("top_k_tail", 5), Support("top_k_renormalized", 5), SAMPLED_TOKEN])
def test_size_of_chunks_changes_nothing(support: Support) -> None:
    """Goal A4: float64, every number of tokens in a chunk, value and gradients to 1e-12."""
    batch = hidden_batch(Shape(rollout=3, time=7), dtype=torch.float64)
    whole = answers(chunked.sdpo_loss, batch, alpha=1.0, support=support, ratio_cap=2.0)
    for tokens in range(1, 12):
        found = answers(
            chunked.sdpo_loss, batch, alpha=1.0, support=support, ratio_cap=2.0, chunk_bytes=tokens * 2 * 8 * 13 + 5
        )
        assert max(errors(found, whole).values()) <= 1e-12, tokens


def test_chunking_has_an_effect() -> None:
    """The peak falls to the gradients and one chunk; plain torch holds every logit several times."""
    batch, _ = with_gradients(dense(hidden_batch(LARGE, dtype=torch.float32)))
    assert isinstance(batch, HiddenBatch)
    logits = 4 * LARGE.rollout * LARGE.time * LARGE.vocab
    gradients = 4 * (LARGE.vocab * LARGE.hidden + LARGE.rollout * LARGE.time * LARGE.hidden)
    chunk = 8 * 2 * 4 * LARGE.vocab

    def step(loss: Callable[..., Tensor], **options: Any) -> None:
        for tensor in (batch.student_hidden, batch.student_head.weight):
            tensor.grad = None
        torch.autograd.backward(loss(batch, alpha=1.0, **options))

    ours = peak_bytes(lambda: step(chunked.sdpo_loss, chunk_bytes=chunk))
    of_plain = peak_bytes(lambda: step(plain))
    assert gradients + chunk <= ours <= gradients + chunk + 8 * 4 * LARGE.vocab * 32 // 4
    assert of_plain >= 4 * logits
    assert ours < 0.7 * of_plain


def test_tokens_of_single_losses_stay_in_bounds() -> None:
    """The losses of single tokens need one chunk in forward, and in backward the gradients and one chunk.

    At this size a tile is a whole chunk, and its three blocks in float64 are as large as three chunks in float32.
    """
    batch, inputs = with_gradients(dense(hidden_batch(LARGE, dtype=torch.float32)))
    chunk = 8 * 2 * 4 * LARGE.vocab
    losses = chunked.sdpo_token_losses(batch, alpha=1.0, chunk_bytes=chunk)
    forward = peak_bytes(lambda: chunked.sdpo_token_losses(batch, alpha=1.0, chunk_bytes=chunk))
    backward = peak_bytes(lambda: torch.autograd.grad(losses.sum(), list(inputs.values())))
    gradients = sum(4 * tensor.numel() for tensor in inputs.values())
    assert forward <= 4.1 * chunk
    assert backward <= gradients + 4.1 * chunk


# -- masks and weights -------------------------------------------------------------------------------------------------


@each_variant
def test_masked_tokens_cost_nothing(variant: Variant) -> None:
    """Half the tokens, half the floating-point operations of the matrix products."""
    if variant.name != "chunked":
        pytest.skip("the interpreter's matrix products are over a fixed number of rows")
    batch = dense(hidden_batch(LARGE, dtype=torch.float32))
    half = replace(batch, completion_mask=torch.arange(LARGE.time).expand(LARGE.rollout, -1) % 2 == 0)
    assert flops(variant, half) * 2 == flops(variant, batch)


def flops(variant: Variant, batch: HiddenBatch, *, wanted: tuple[str, ...] = ("hidden", "weight")) -> int:
    """Operations of the matrix products of forward and backward."""
    ready = replace(
        batch,
        student_hidden=batch.student_hidden.detach().requires_grad_("hidden" in wanted),
        student_head=Head(batch.student_head.weight.detach().requires_grad_("weight" in wanted)),
    )
    with FlopCounterMode(display=False) as counter:
        loss = variant.sdpo_loss(ready, alpha=1.0)
        if loss.requires_grad:
            torch.autograd.backward(loss)
    return int(counter.get_total_flops())


@each_variant
def test_nothing_counted(variant: Variant) -> None:
    """Zero, attached to the graph, with gradients that are zero; also of the single tokens."""
    batch = hidden_batch(Shape(bias=True), dtype=variant.dtypes[0])
    batch = replace(batch, completion_mask=torch.zeros_like(batch.completion_mask))
    ready, inputs = with_gradients(batch)
    for loss in (
        variant.sdpo_loss(ready, alpha=1.0),
        variant.sdpo_token_losses(ready, alpha=1.0).sum(),
    ):
        assert float(loss.detach()) == 0.0
        for gradient, tensor in zip(torch.autograd.grad(loss, list(inputs.values())), inputs.values(), strict=True):
            assert torch.equal(gradient, torch.zeros_like(tensor))


@each_variant
def test_what_does_not_count_is_never_read(variant: Variant) -> None:
    """Other numbers at masked positions, in every input, change not one bit of any answer."""
    batch = hidden_batch(Shape(), dtype=variant.dtypes[0])
    counts = batch.loss_mask
    assert batch.behaviour_log_probs is not None
    other = replace(
        batch,
        student_hidden=torch.where(counts[..., None], batch.student_hidden, torch.inf),
        teacher_hidden=torch.where(counts[..., None], batch.teacher_hidden, 7.0),
        completions=torch.where(counts, batch.completions, 0),
        behaviour_log_probs=torch.where(counts, batch.behaviour_log_probs, 1e9),
    )
    found, expected = (
        answers(variant.sdpo_loss, each, alpha=0.3, ratio_cap=2.0, token_weights=token_weights(each))
        for each in (other, batch)
    )
    for name, answer in expected.items():
        assert torch.equal(found[name], answer), name
    outside = found["student_hidden"][~counts]
    assert torch.equal(outside, torch.zeros_like(outside))


@each_variant
def test_padded_vocabulary(variant: Variant) -> None:
    """Columns of minus infinity on both sides change neither value nor gradient, and get none."""
    batch = logit_batch(Shape(vocab=6), dtype=variant.dtypes[0])
    padding = batch.student_logits.new_full((*batch.completions.shape, 3), -torch.inf)
    padded = replace(
        batch,
        student_logits=torch.cat([batch.student_logits, padding], -1),
        teacher_logits=torch.cat([batch.teacher_logits, padding], -1),
    )
    for alpha in (0.0, 0.3, 1.0):
        expected, found = (answers(variant.sdpo_loss, each, alpha=alpha) for each in (batch, padded))
        torch.testing.assert_close(found["value"], expected["value"])
        torch.testing.assert_close(found["student_logits"][..., :6], expected["student_logits"])
        assert not found["student_logits"][..., 6:].any()


@each_variant
def test_top_k_with_tail_is_a_divergence(variant: Variant) -> None:
    """Never negative, and never above the one on the full vocabulary; a head without its tail would be both."""
    time = 40 if variant.name == "chunked" else 10
    batch = hidden_batch(Shape(rollout=2, time=time, vocab=30), dtype=variant.dtypes[0])
    for alpha in (0.0, 0.5, 1.0):
        full = variant.sdpo_token_losses(batch, alpha=alpha)
        tail = variant.sdpo_token_losses(batch, alpha=alpha, support=Support("top_k_tail", 4))
        assert bool((tail >= 0.0).all())
        assert bool((tail <= full + 1e-6).all())


# -- gradients ---------------------------------------------------------------------------------------------------------


@each_variant
@pytest.mark.parametrize("upstream", [1.0, -2.5])
def test_differentiating_twice_gives_the_same_twice(variant: Variant, upstream: float) -> None:
    """With a retained graph, also if the caller changes what the first call returned."""
    ready, inputs = with_gradients(hidden_batch(Shape(bias=True), dtype=variant.dtypes[0]))
    loss = variant.sdpo_loss(ready, alpha=0.5)
    factor = torch.full_like(loss, upstream)
    first = torch.autograd.grad(loss, list(inputs.values()), factor, retain_graph=True)
    kept = [gradient.clone() for gradient in first]
    for gradient in first:
        gradient.fill_(torch.nan)
    second = torch.autograd.grad(loss, list(inputs.values()), factor, retain_graph=True)
    third = torch.autograd.grad(loss, list(inputs.values()), 2.0 * factor)
    for one, two, three in zip(kept, second, third, strict=True):
        torch.testing.assert_close(one, two)
        torch.testing.assert_close(2.0 * one, three)


@each_variant
def test_backward_adds_to_what_is_there(variant: Variant) -> None:
    """Two backward calls leave the sum in ``.grad``, in the inputs' dtype, and a freed graph says so."""
    ready, inputs = with_gradients(hidden_batch(Shape(), dtype=variant.dtypes[0]))
    loss = variant.sdpo_loss(ready, alpha=0.5)
    torch.autograd.backward(loss, retain_graph=True)
    once = {name: tensor.grad.clone() for name, tensor in inputs.items() if tensor.grad is not None}
    torch.autograd.backward(loss)
    for name, tensor in inputs.items():
        torch.testing.assert_close(tensor.grad, 2.0 * once[name])
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.backward(loss)


@each_variant
def test_a_derivative_of_the_gradient_is_refused(variant: Variant) -> None:
    """The closed form is not differentiable again; a gradient penalty is an error and no silent zero."""
    ready, inputs = with_gradients(hidden_batch(Shape(), dtype=variant.dtypes[0]))
    for loss in (variant.sdpo_loss(ready, alpha=0.5), variant.sdpo_token_losses(ready, alpha=0.5).sum()):
        with pytest.raises((UnsupportedError, RuntimeError)):
            penalize(loss, inputs["student_hidden"])


def penalize(loss: Tensor, tensor: Tensor) -> None:
    """A backward pass through the size of a gradient, and through something that has one in any case."""
    (gradient,) = torch.autograd.grad(loss, [tensor], create_graph=True)
    torch.autograd.backward(gradient.square().sum() + tensor.nansum())


@each_variant
def test_inputs_are_as_they_were(variant: Variant) -> None:
    """Bit for bit, after forward and two backward calls."""
    for batch in (hidden_batch(Shape(bias=True), dtype=torch.float32), logit_batch(Shape(), dtype=torch.float32)):
        ready, inputs = with_gradients(batch)
        parts = {**vars(ready), **inputs}
        tensors = {name: value for name, value in parts.items() if isinstance(value, Tensor)}
        before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        loss = variant.sdpo_loss(ready, alpha=0.3, temperature=0.5, ratio_cap=1.0)
        torch.autograd.grad(loss, list(inputs.values()), torch.tensor(3.0), retain_graph=True)
        torch.autograd.grad(loss, list(inputs.values()))
        for name, tensor in tensors.items():
            assert torch.equal(tensor.nan_to_num(), before[name].nan_to_num()), name


@each_variant
@pytest.mark.parametrize(
    ("alpha", "support"), [(1.0, FULL), (0.3, Support("top_k_tail", 3)), (1.0, SAMPLED_TOKEN)], ids=str
)
def test_each_token_has_its_own_upstream_gradient(variant: Variant, alpha: float, support: Support) -> None:
    """Random factors, one exactly zero and NaN where nothing counts: losses and gradients are the reference's."""
    batch = hidden_batch(Shape(bias=True), dtype=variant.dtypes[0])
    factors = token_weights(batch).to(variant.dtypes[0])
    factors[0, 0] = 0.0
    options: dict[str, Any] = {"alpha": alpha, "support": support, "ratio_cap": 1.2}
    found = {}
    for name in ("variant", "plain"):
        ready, inputs = with_gradients(batch)
        if name == "variant":
            losses, upstream = variant.sdpo_token_losses(ready, **options), factors
        else:
            losses = reference.sdpo_token_losses(materialized(ready), **options)
            upstream = factors.nan_to_num(0.0)
        gradients = torch.autograd.grad(losses, list(inputs.values()), upstream)
        found[name] = {"losses": losses.detach(), **dict(zip(inputs, gradients, strict=True))}
    error = 1e-12 if variant.dtypes[0] is torch.float64 else 1e-5
    for name, expected in found["plain"].items():
        torch.testing.assert_close(found["variant"][name], expected, rtol=error, atol=error)


@pytest.mark.parametrize("hidden", [True, False])
@pytest.mark.parametrize("weight", [True, False])
def test_only_what_is_asked_for_is_computed(*, hidden: bool, weight: bool) -> None:
    """A frozen head costs neither its matrix product nor its memory, and frozen hidden states none of theirs."""
    batch = dense(hidden_batch(LARGE, dtype=torch.float32))
    wanted = tuple(name for name, asked in (("hidden", hidden), ("weight", weight)) if asked)
    product = 2 * LARGE.rollout * LARGE.time * LARGE.hidden * LARGE.vocab
    assert flops(VARIANTS[0], batch, wanted=wanted) == (2 + len(wanted)) * product
    ready = replace(
        batch,
        student_hidden=batch.student_hidden.requires_grad_(hidden),
        student_head=Head(batch.student_head.weight.requires_grad_(weight)),
    )
    head_bytes = 4 * LARGE.vocab * LARGE.hidden
    chunk = 2 * 4 * LARGE.vocab
    peak = peak_bytes(lambda: chunked.sdpo_loss(ready, alpha=1.0, chunk_bytes=chunk))
    assert (peak >= head_bytes) == weight


@each_variant
def test_no_gradient_without_need(variant: Variant) -> None:
    """Under ``no_grad`` only the logits' products run, and the loss asks for no gradient."""
    batch = dense(hidden_batch(large(variant), dtype=torch.float32))
    with torch.no_grad():
        ready, _ = with_gradients(batch)
        assert not variant.sdpo_loss(ready, alpha=1.0).requires_grad
        assert not variant.sdpo_token_losses(ready, alpha=1.0).requires_grad
    if variant.name == "chunked":
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            variant.sdpo_loss(ready, alpha=1.0)
        assert counter.get_total_flops() == 2 * 2 * LARGE.rollout * LARGE.time * LARGE.hidden * LARGE.vocab


@each_variant
@pytest.mark.parametrize("shared", [True, False])
def test_nothing_reaches_the_teacher(variant: Variant, *, shared: bool) -> None:
    """Its hidden states and its own head get no gradient; a shared head gets the student's side of it and no more."""
    batch, inputs = with_gradients(hidden_batch(Shape(teacher_hidden=None if shared else 4), dtype=variant.dtypes[0]))
    assert isinstance(batch, HiddenBatch)
    teacher_hidden = batch.teacher_hidden.requires_grad_()
    if not shared:
        batch.teacher_head.weight.requires_grad_()
    loss = variant.sdpo_loss(batch, alpha=0.5)
    teachers = [teacher_hidden] if shared else [teacher_hidden, batch.teacher_head.weight]
    assert torch.autograd.grad(loss, teachers, retain_graph=True, allow_unused=True) == (None,) * len(teachers)
    separate = replace(batch, teacher_head=Head(batch.teacher_head.weight.detach().clone()))
    (found,) = torch.autograd.grad(loss, [inputs["student_head.weight"]])
    (expected,) = torch.autograd.grad(variant.sdpo_loss(separate, alpha=0.5), [inputs["student_head.weight"]])
    torch.testing.assert_close(found, expected)


def test_a_change_in_place_before_the_second_backward_is_noticed() -> None:
    """The second gradient is computed from the inputs, so these must be as they were; torch says if they are not."""
    batch, inputs = with_gradients(hidden_batch(Shape(), dtype=torch.float64))
    loss = chunked.sdpo_loss(batch, alpha=0.5)
    torch.autograd.grad(loss, list(inputs.values()), retain_graph=True)
    with torch.no_grad():
        inputs["student_head.weight"].mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(loss, list(inputs.values()))
