"""What the fused loss has of its own: blocks and packing, memory, operators, and what it refuses.

That it equals the reference on every pair of options is tested here, on awkward batches together with the other
variants. The kernels run in Triton's
interpreter (tests/conftest.py), which rounds to bfloat16 by cutting digits off; what needs a GPU is run with
``TRITON_INTERPRET=0 pytest tests/losses/test_fused.py -k graph_on_cuda``.
"""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sdpo_ref.errors import InvalidInputError, UnsupportedError
from sdpo_ref.losses import reference
from sdpo_ref.losses.dispatch import require_kernels
from sdpo_ref.losses.fused import autograd, launch, sources
from sdpo_ref.losses.fused.evaluate import evaluate
from sdpo_ref.losses.fused.sources import Inputs, Needs
from sdpo_ref.losses.fused.tokens import Tokens, packed_tokens
from sdpo_ref.losses.options import LossOptions
from sdpo_ref.types import FULL, SAMPLED_TOKEN, Aggregation, HiddenBatch, Support, TopKFrom
from tests.losses.equality import (
    Batch,
    Variant,
    answers,
    assert_equal_to_reference,
    errors,
    in_float64,
    plain,
    with_gradients,
)
from tests.losses.pairs import Case, covering, pairs
from tests.losses.problems import Shape, hidden_batch, logit_batch, token_weights

TAIL, RENORMALIZED = Support("top_k_tail", 5), Support("top_k_renormalized", 5)
SUPPORTS = [FULL, TAIL, RENORMALIZED, SAMPLED_TOKEN]
FUSED = fused = Variant("fused", (torch.float32, torch.bfloat16, torch.float16), roundings=2)
SHAPE = Shape(vocab=37, hidden=6, bias=True)
SMALL = Shape(time=3, vocab=11, hidden=3, bias=True)
"""Five tokens that count, for what depends on no size."""

each_support = pytest.mark.parametrize("support", SUPPORTS, ids=lambda support: support.kind)
each_dtype = pytest.mark.parametrize("dtype", FUSED.dtypes, ids=lambda dtype: str(dtype).removeprefix("torch."))
needs_cuda = pytest.mark.skipif(
    launch.INTERPRETED or not torch.cuda.is_available(), reason="needs a GPU and TRITON_INTERPRET=0"
)


OPTIONS: Mapping[str, Sequence[Any]] = {
    "alpha": (0.0, 0.001, 0.3, 0.8, 1.0),
    "support": SUPPORTS,
    "dtype": FUSED.dtypes,
    "origin": ("hidden states", "logits"),
    "block": (16, launch.BLOCK),
    "aggregation": get_args(Aggregation),
    "top_k_from": get_args(TopKFrom),
    "temperature": (1.0, 0.7),
    "ratio_cap": (None, 1.5),
}


def is_defined(case: Case) -> bool:
    """On the sampled token there is only the reverse divergence."""
    return bool(case["support"] != SAMPLED_TOKEN or case["alpha"] == 1.0)


CASES = covering(OPTIONS, is_defined)


def test_every_pair_of_options_is_in_some_case() -> None:
    """Any two values of two options occur in one of the cases, unless no call may have both."""
    covered = set().union(*map(pairs, CASES))
    for (one, values), (other, others) in combinations(sorted(OPTIONS.items()), 2):
        for value, second in product(values, others):
            undefined = (one, other) == ("alpha", "support") and second == SAMPLED_TOKEN and value != 1.0
            assert (((one, value), (other, second)) in covered) is not undefined


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(getattr(it, "kind", str(it)) for it in case.values()))
def test_every_pair_of_options(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of three blocks or one, chunks that do not divide the tokens, weights: value and gradients are the same."""
    monkeypatch.setattr(launch, "BLOCK", case["block"])
    shape = replace(SHAPE, time=3)
    make = hidden_batch if case["origin"] == "hidden states" else logit_batch
    batch = make(shape, dtype=case["dtype"])
    assert_equal_to_reference(
        FUSED,
        batch,
        chunk_bytes=3 * 2 * 4 * shape.vocab,
        token_weights=token_weights(batch).to(case["dtype"]),
        **{name: case[name] for name in ("alpha", "support", "aggregation", "top_k_from", "temperature", "ratio_cap")},
    )


@settings(max_examples=12)
@given(
    seed=st.integers(0, 2**31),
    block=st.sampled_from([4, 16, 64]),
    chunk=st.integers(2, 20),
    vocab=st.integers(1, 40),
    alpha=st.sampled_from([0.0, 0.3, 1.0]),
    support=st.sampled_from([FULL, TAIL, RENORMALIZED]),
)
def test_any_block_and_any_chunk(
    *, seed: int, block: int, chunk: int, vocab: int, alpha: float, support: Support
) -> None:
    """Whatever the block, the chunk and the vocabulary, value and gradients are the reference's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "BLOCK", block)
        batch = hidden_batch(replace(SHAPE, vocab=vocab), seed=seed, dtype=torch.float32)
        assert_equal_to_reference(FUSED, batch, chunk_bytes=chunk * 8 * vocab, alpha=alpha, support=support)


@each_support
def test_the_number_of_counted_tokens_may_be_known(support: Support) -> None:
    """With the exact count, or more, the answers are the same; only the work is less."""
    batch = hidden_batch(SMALL, dtype=torch.float32)
    count = int(batch.loss_mask.sum())
    expected = answers(fused.sdpo_loss, batch, alpha=1.0, support=support)
    for bound in (count, count + 1, 10**6):
        found = answers(fused.sdpo_loss, batch, alpha=1.0, support=support, counted_tokens=bound)
        assert max(errors(found, expected).values()) < 1e-6


@each_support
def test_a_count_too_small_is_never_a_partial_sum(support: Support) -> None:
    """Where more tokens count than the caller's bound, loss, token losses and gradients are NaN."""
    batch = hidden_batch(SMALL, dtype=torch.float32)
    bound = int(batch.loss_mask.sum()) - 1
    found = answers(fused.sdpo_loss, batch, alpha=1.0, support=support, counted_tokens=bound)
    assert all(bool(each.isnan().all()) for each in found.values())
    tokens = fused.sdpo_token_losses(batch, alpha=1.0, support=support, counted_tokens=bound)
    assert torch.equal(tokens.isnan(), batch.loss_mask)


@each_support
def test_what_does_not_count_is_not_read(support: Support) -> None:
    """NaN where nothing counts: the losses there are exactly zero, and so is the gradient."""
    batch, inputs = with_gradients(logit_batch(SMALL, dtype=torch.float32))
    losses = fused.sdpo_token_losses(batch, alpha=1.0, support=support)
    (gradient,) = torch.autograd.grad(losses.sum(), list(inputs.values()))
    for found in (losses, gradient):
        assert bool((found[~batch.loss_mask] == 0.0).all())
        assert bool(found[batch.loss_mask].isfinite().all())


class NothingWaits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuse what would have to know a number from the device: its value, or a shape that depends on it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run everything else."""
        del types
        name = func._schema.name
        assert name not in {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal"}, name
        if name.startswith("aten::index"):
            indices = [each for each in args[1] if isinstance(each, Tensor)] if isinstance(args[1], list) else []
            assert not any(each.dtype is torch.bool for each in indices), name
        return func(*args, **(kwargs or {}))


@each_support
@pytest.mark.parametrize("origin", ["hidden states", "logits"])
def test_nothing_waits_for_the_device(support: Support, origin: str) -> None:
    """No operation of a pass reads a number back, so no stream is ever waited for."""
    hidden = hidden_batch(SHAPE, dtype=torch.bfloat16)
    batch = hidden.project()
    head = hidden.student_head
    inputs = Inputs(hidden.student_hidden, head.weight, head.bias, hidden.teacher_hidden, None, None)
    if origin == "logits":
        inputs = Inputs(batch.student_logits, None, None, batch.teacher_logits, None, None)
    tokens = Tokens(batch.completions, batch.loss_mask, batch.behaviour_log_probs)
    head_learns = origin == "hidden states"
    weights, needs = batch.loss_mask.float(), Needs(student=True, weight=head_learns, bias=head_learns)
    options = LossOptions(1.0, support, ratio_cap=2.0)
    with pytest.raises(AssertionError, match="_local_scalar_dense"), NothingWaits():  # type: ignore[no-untyped-call]
        bool(weights.sum())
    with NothingWaits():  # type: ignore[no-untyped-call]
        found = evaluate(inputs, tokens, weights, options, needs, chunk_bytes=4 * 8 * 37, room=15)
    assert bool(found.losses.isfinite().all())


def test_a_graph_may_be_differentiated_again_but_not_twice_over() -> None:
    """A second backward gives the same bits, three times the loss three times that; a second derivative is refused."""
    batch, inputs = with_gradients(hidden_batch(SMALL, dtype=torch.float32))
    for loss in (fused.sdpo_loss(batch, alpha=1.0), fused.sdpo_token_losses(batch, alpha=1.0).sum()):
        first = torch.autograd.grad(loss, list(inputs.values()), retain_graph=True)
        again = torch.autograd.grad(loss, list(inputs.values()), retain_graph=True)
        assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
        thrice = torch.autograd.grad(3.0 * loss, list(inputs.values()), retain_graph=True)
        for one, other in zip(first, thrice, strict=True):
            assert float((3.0 * one - other).norm()) < 1e-6 * float(other.norm())
        with pytest.raises(UnsupportedError, match=r"create_graph=True.*reference"):
            torch.autograd.grad(loss, list(inputs.values()), create_graph=True)


@each_support
@each_dtype
def test_any_upstream_factor_of_each_token(dtype: torch.dtype, support: Support) -> None:
    """The losses of tokens have the gradient of the reference's, whatever each is multiplied by afterwards."""
    batch = hidden_batch(SHAPE, dtype=dtype)
    upstream = torch.linspace(-2.0, 3.0, 15).reshape(3, 5)

    def weighted(losses: Tensor) -> Tensor:
        return (losses * upstream.to(losses)).sum()

    truth = answers(
        lambda each: weighted(reference.sdpo_token_losses(_clean(each).project(), alpha=1.0, support=support)),
        in_float64(batch),
    )
    found = answers(lambda each: weighted(fused.sdpo_token_losses(each, alpha=1.0, support=support)), batch)
    # The factors have both signs, so that the sum is a tenth of its terms.
    slack = {torch.float32: 1e-5, torch.bfloat16: 2.0**-7, torch.float16: 2.0**-10}[dtype]
    assert max(errors(found, truth).values()) < slack


def _clean(batch: Batch) -> HiddenBatch:
    """Zeros instead of NaN where nothing counts: the reference's matrix products would carry NaN into the head."""
    assert isinstance(batch, HiddenBatch)
    counts = batch.loss_mask[..., None]
    student, teacher = torch.where(counts, batch.student_hidden, 0.0), torch.where(counts, batch.teacher_hidden, 0.0)
    return replace(batch, student_hidden=student, teacher_hidden=teacher)


@each_support
def test_only_wanted_gradients_are_made(support: Support) -> None:
    """A frozen head has no gradient of the head's size anywhere, and what is wanted is what it is with all of them."""
    batch, inputs = with_gradients(hidden_batch(SMALL, dtype=torch.float32))
    expected = torch.autograd.grad(fused.sdpo_loss(batch, alpha=1.0, support=support), list(inputs.values()))
    for wanted in ((True, False, False), (False, True, False), (False, False, True), (True, True, True)):
        for tensor, is_wanted in zip(inputs.values(), wanted, strict=True):
            tensor.requires_grad_(is_wanted)
            tensor.grad = None
        loss = fused.sdpo_loss(batch, alpha=1.0, support=support)
        assert loss.grad_fn is not None
        sizes = [0 if tensor is None else tensor.numel() for tensor in loss.grad_fn.saved_tensors]  # type: ignore[attr-defined]
        assert sizes[:3] == [t.numel() if w else 0 for t, w in zip(inputs.values(), wanted, strict=True)]
        torch.autograd.backward(loss)
        for tensor, gradient, is_wanted in zip(inputs.values(), expected, wanted, strict=True):
            assert (tensor.grad is not None) == is_wanted
            assert tensor.grad is None or torch.equal(tensor.grad, gradient)


def test_no_gradient_is_made_where_none_is_wanted() -> None:
    """Under no_grad, or from inputs that want none, the loss is a number without a graph."""
    batch = hidden_batch(SMALL, dtype=torch.float32)
    expected = fused.sdpo_loss(with_gradients(batch)[0], alpha=1.0)
    assert expected.requires_grad
    with torch.no_grad():
        assert not fused.sdpo_loss(with_gradients(batch)[0], alpha=1.0).requires_grad
    assert torch.equal(fused.sdpo_loss(batch, alpha=1.0), expected.detach())


def test_autocast_changes_nothing() -> None:
    """The loss chooses the dtype of its products itself: under autocast the bits are the same."""
    for dtype in FUSED.dtypes:
        batch = hidden_batch(SMALL, dtype=dtype)
        expected = answers(fused.sdpo_loss, batch, alpha=1.0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = answers(fused.sdpo_loss, batch, alpha=1.0)
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_teacher_gets_nothing() -> None:
    """Also where its own head and hidden states ask for a gradient, no graph leads there (LOSS-060)."""
    batch = hidden_batch(replace(SMALL, teacher_hidden=9), dtype=torch.float32)
    batch.teacher_hidden.requires_grad_()
    batch.teacher_head.weight.requires_grad_()
    assert not fused.sdpo_loss(batch, alpha=0.5).requires_grad


def test_small_weights_in_float16_leave_a_gradient() -> None:
    """A weight far below float16's range, and an upstream factor that undoes it, cost no digits."""
    batch = hidden_batch(SMALL, dtype=torch.float16)
    tiny = torch.full(batch.completions.shape, 2.0**-40)
    expected = answers(fused.sdpo_loss, batch, alpha=1.0)
    found = answers(fused.sdpo_loss, batch, alpha=1.0, token_weights=tiny, upstream=2.0**40)
    assert all(torch.equal(found[name], expected[name]) for name in expected if name != "value")


@pytest.mark.parametrize("gap", [1.0, 0.1, 0.01, 0.001])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_the_gradient_keeps_its_digits_as_the_student_nears_its_teacher(alpha: float, gap: float) -> None:
    """In bfloat16 its error is that of two roundings, flat as the divergence falls a million times (goal A1)."""
    batch = hidden_batch(Shape(time=4, vocab=101, hidden=16), gap=gap, dtype=torch.bfloat16)
    truth = answers(plain, in_float64(batch), alpha=alpha)
    found = answers(fused.sdpo_loss, batch, alpha=alpha)
    assert errors(found, truth)["student_head.weight"] < 2.0**-7
    assert errors(found, truth)["value"] < 1e-4


@pytest.mark.parametrize("tail", [1e-1, 1e-4, 1e-8, 1e-12])
def test_the_tail_has_its_digits(tail: float) -> None:
    """The log-mass of a tail is exact to 1e-5 down to a mass of 1e-12 (goal A3, LOSS-025)."""
    logits = torch.randn(4, 300, generator=torch.Generator().manual_seed(1))
    logits[:, 7] = logits.logsumexp(1) - torch.tensor(tail).log()
    ids = torch.full((4, 1), 7)
    weights = torch.ones(4, 1)
    packed = packed_tokens(Tokens(ids, weights.bool(), None), weights)
    cells, origins = launch.tail_cells(logits.clone(), logits.clone(), ids, packed, temperature=1.0)
    found = origins[:, 0].double() + cells.student[:, 1]
    expected = logits.double().index_fill(1, torch.tensor([7]), -torch.inf).logsumexp(1)
    assert torch.allclose(found, expected, rtol=0.0, atol=1e-5)


def test_a_support_without_mass_gives_nan() -> None:
    """Where the reference raises, the loss is NaN: to raise it would have to wait for the device."""
    batch = logit_batch(Shape(rollout=1, time=1, vocab=4), dtype=torch.float32)
    student, teacher = torch.tensor([[[5.0, 4.0, 0.0, 0.0]]]), torch.tensor([[[-torch.inf, -torch.inf, 0.0, 0.0]]])
    mask = torch.ones(1, 1, dtype=torch.bool)
    batch = replace(batch, student_logits=student, teacher_logits=teacher, completion_mask=mask)
    batch = replace(batch, completions=torch.zeros(1, 1, dtype=torch.long))
    assert bool(fused.sdpo_loss(batch, alpha=1.0, support=Support("top_k_renormalized", 2)).isnan())


@each_dtype
def test_products_are_summed_in_float32(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block by block or at once, wide or tall, written or added: float32's error, whatever the factors."""
    monkeypatch.setattr(sources, "_BLOCK", 5)
    stream = torch.Generator().manual_seed(0)
    for rows, columns in ((3, 23), (23, 3)):
        left, right = (torch.randn(*size, generator=stream).to(dtype) for size in ((rows, 40), (40, columns)))
        expected = left.double() @ right.double()
        out = torch.empty(rows, columns)
        sources.multiply(left, right, out)
        assert torch.allclose(out.double(), expected, rtol=1e-5, atol=1e-5)
        sources.multiply_and_add(left, right, out)
        assert torch.allclose(out.double(), 2.0 * expected, rtol=1e-5, atol=1e-5)


OPERATORS = {"loss": autograd.fused_loss, "losses of tokens": autograd.fused_token_losses}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("origin", ["hidden states", "logits"])
def test_operators_keep_the_rules_of_torch(name: str, origin: str) -> None:
    """Schema, fake kernel, autograd and ahead-of-time tracing agree with what is computed."""
    hidden = hidden_batch(Shape(rollout=2, time=2, vocab=6), dtype=torch.float32)
    batch, inputs = with_gradients(_clean(hidden).project() if origin == "logits" else hidden)
    student, *head = inputs.values()
    weight = head[0] if head else None
    teacher = batch.teacher_hidden if isinstance(batch, HiddenBatch) else batch.teacher_logits
    weights = torch.full((2, 2), 0.25) if name == "loss" else None
    tensors = (student, weight, None, teacher, None, None, batch.completions, batch.loss_mask, None, weights)
    options = (1.0, "full", None, 1.0, None, "student", 10**6, 4, [True, weight is not None, False])
    torch.library.opcheck(OPERATORS[name], (*tensors, *options))


COMPILED = """
import torch
from sdpo_ref import Head, HiddenBatch, sdpo_loss, sdpo_token_losses

def batch():
    stream = torch.Generator().manual_seed(0)
    normal = lambda *size: torch.randn(*size, generator=stream)
    head = Head(normal(11, 4).requires_grad_(), normal(11).requires_grad_())
    mask = torch.ones(2, 3, dtype=torch.bool)
    hidden = normal(2, 3, 4).requires_grad_()
    return HiddenBatch(hidden, head, normal(2, 3, 4), head, torch.zeros(2, 3, dtype=torch.long), mask, mask[:, 0])

def loss(batch):
    return sdpo_loss(batch, alpha=1.0, token_weights=torch.ones(2, 3), impl="fused")

def tokens(batch):
    return sdpo_token_losses(batch, alpha=0.5, impl="fused").square().sum()

for name in ("eager", "aot_eager"):
    for function in (loss, tokens):
        graphs = []
        def backend(graph, examples):
            graphs.append(graph)
            return torch._dynamo.lookup_backend(name)(graph, examples)
        torch._dynamo.reset()
        compiled, plain = batch(), batch()
        found = torch.compile(function, fullgraph=True, backend=backend)(compiled)
        expected = function(plain)
        found.backward()
        expected.backward()
        assert torch.equal(found, expected)
        assert torch.equal(compiled.student_head.weight.grad, plain.student_head.weight.grad)
        nodes = [node for graph in graphs for node in graph.graph.nodes if "sdpo_ref" in str(node.target)]
        assert len(graphs) == len(nodes) == 1, nodes
"""


@pytest.mark.slow
def test_compiled_it_is_one_node() -> None:
    """torch.compile without a graph break keeps one operator, with the same bits in value and gradient."""
    done = _python(COMPILED, TRITON_INTERPRET="1")
    assert done.returncode == 0, done.stderr


def test_triton_is_imported_when_it_is_needed() -> None:
    """Importing the loss imports no Triton; on the CPU without the interpreter the error names the chunked loss."""
    done = _python(
        "import sys, torch\n"
        "import sdpo_ref.losses.fused\n"
        "from sdpo_ref import DistillationBatch, sdpo_loss\n"
        "assert 'triton' not in sys.modules\n"
        "even, mask = torch.zeros(1, 1, 2), torch.ones(1, 1, dtype=torch.bool)\n"
        "batch = DistillationBatch(even, even, torch.zeros(1, 1, dtype=torch.long), mask, mask[0])\n"
        "sdpo_loss(batch, alpha=1.0, impl='fused')\n",
        TRITON_INTERPRET="0",
    )
    assert "UnsupportedError" in done.stderr
    assert "use impl='reference' or impl='chunked'" in done.stderr


def test_a_missing_triton_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Triton is not installed, the message says what to install and what to use instead."""
    monkeypatch.setattr(importlib.util, "find_spec", {}.get)
    with pytest.raises(UnsupportedError, match=r"sdpo-ref\[gpu\].*impl='chunked'"):
        require_kernels(torch.device("cuda"), FULL)


def test_other_devices_are_refused() -> None:
    """A device without kernels is named."""
    with pytest.raises(UnsupportedError, match=r"received tensors on meta.*impl='chunked'"):
        require_kernels(torch.device("meta"), FULL)


REFUSED: dict[str, tuple[type[Exception], str, dict[str, Any]]] = {
    "a budget too small": (InvalidInputError, "take 296 bytes; pass at least that", {"chunk_bytes": 295}),
    "a negative count": (InvalidInputError, "counted_tokens=-1", {"counted_tokens": -1}),
    "weights of another shape": (InvalidInputError, "token_weights has shape", {"token_weights": torch.ones(3, 4)}),
    "too many cells": (UnsupportedError, "k < 8192", {"support": Support("top_k_tail", 8192)}),
    "an alpha out of range": (InvalidInputError, "alpha", {"alpha": 1.5}),
    "a temperature of zero": (InvalidInputError, "temperature", {"temperature": 0.0}),
    "a negative cap": (InvalidInputError, "ratio_cap", {"ratio_cap": -1.0}),
    "alpha 0 on the sampled token": (InvalidInputError, "alpha must be 1", {"alpha": 0.0, "support": SAMPLED_TOKEN}),
}


@pytest.mark.parametrize(("error", "message", "options"), REFUSED.values(), ids=REFUSED)
def test_options_that_are_refused(error: type[Exception], message: str, options: dict[str, Any]) -> None:
    """Each with its own error, before anything is computed."""
    with pytest.raises(error, match=message):
        fused.sdpo_loss(hidden_batch(SHAPE, dtype=torch.float32), **{"alpha": 1.0, **options})


def test_float64_is_refused() -> None:
    """The kernels compute in float32; the message names what computes in float64."""
    with pytest.raises(UnsupportedError, match=r"torch\.float64.*impl='reference' or impl='chunked'"):
        fused.sdpo_loss(hidden_batch(SHAPE), alpha=1.0)


def test_a_ratio_needs_behaviour() -> None:
    """As in the reference (LOSS-043)."""
    batch = replace(hidden_batch(SHAPE, dtype=torch.float32), behaviour_log_probs=None)
    with pytest.raises(InvalidInputError, match=r"ratio_cap=2\.0 needs behaviour_log_probs"):
        fused.sdpo_loss(batch, alpha=1.0, ratio_cap=2.0)


@pytest.mark.slow
def test_kernels_compile_for_a_gpu_that_is_not_here(tmp_path: Path) -> None:
    """Every kernel compiles for Hopper, reads 16 bytes at a time, and keeps what it has in registers."""
    done = _python(
        "from tests.losses.compiled_kernels import check; check()",
        TRITON_INTERPRET="0",
        TRITON_CACHE_DIR=str(tmp_path),
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_cuda
@each_support
def test_replayed_from_a_graph_on_cuda(support: Support) -> None:
    """Captured in a CUDA graph with its backward, a replay gives the same bits; nothing waits on the way (goal L13)."""
    batch = _on_cuda(hidden_batch(SHAPE, dtype=torch.bfloat16))
    ready, inputs = with_gradients(batch)

    def step() -> tuple[Tensor, ...]:
        loss = fused.sdpo_loss(ready, alpha=1.0, support=support)
        return loss.detach(), *torch.autograd.grad(loss, list(inputs.values()))

    expected = [each.clone() for each in step()]
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    for each in captured:
        each.fill_(torch.nan)
    graph.replay()
    torch.cuda.synchronize()
    assert all(torch.equal(one, other) for one, other in zip(captured, expected, strict=True))


def _on_cuda(batch: HiddenBatch) -> HiddenBatch:
    head = replace(batch.student_head, weight=batch.student_head.weight.cuda(), bias=None)
    behaviour = None if batch.behaviour_log_probs is None else batch.behaviour_log_probs.cuda()
    return HiddenBatch(
        batch.student_hidden.cuda(),
        head,
        batch.teacher_hidden.cuda(),
        head,
        batch.completions.cuda(),
        batch.completion_mask.cuda(),
        batch.self_distillation_mask.cuda(),
        behaviour,
    )


def _python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, without this session's hooks."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent.parent.parent,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
