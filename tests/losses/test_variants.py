"""Each variant against the reference: a fixed grid of every option, awkward sizes and strides, and random problems."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sdpo_ref.losses import reference
from sdpo_ref.types import FULL, SAMPLED_TOKEN, Aggregation, DistillationBatch, Head, Support, TopKFrom
from sdpo_ref.vectors.store import Vector, load
from tests.losses.equality import (
    EACH,
    VARIANTS,
    Variant,
    answers,
    assert_equal_to_reference,
    in_float64,
    marks,
    materialized,
    with_gradients,
)
from tests.losses.pairs import Case, covering
from tests.losses.problems import Shape, hidden_batch, logit_batch, token_weights

CHUNKED = VARIANTS[0]
each_variant = pytest.mark.parametrize("variant", EACH, ids=str)

TAIL, RENORMALIZED = Support("top_k_tail", 3), Support("top_k_renormalized", 4)
DIVERGENCES = [
    *((alpha, support) for support in (FULL, TAIL, RENORMALIZED) for alpha in (0.0, 0.3, 0.8, 1.0)),
    (1.0, SAMPLED_TOKEN),
]
EVERYTHING: dict[str, Any] = {"temperature": 0.7, "ratio_cap": 1.5}
each_dtype_of_chunked = pytest.mark.parametrize("dtype", CHUNKED.dtypes, ids=lambda dtype: str(dtype).split(".")[1])


# The full product of options, of the variant that is quick; the fused one has every pair of them in test_fused.


@each_dtype_of_chunked
@pytest.mark.parametrize(("alpha", "support"), DIVERGENCES, ids=lambda value: getattr(value, "kind", str(value)))
def test_every_divergence_on_every_support(dtype: torch.dtype, alpha: float, support: Support) -> None:
    """From hidden states of a shared head with bias, with temperature, importance weights and token weights in play."""
    batch = hidden_batch(Shape(bias=True), dtype=dtype)
    assert_equal_to_reference(
        CHUNKED, batch, alpha=alpha, support=support, token_weights=token_weights(batch).to(dtype), **EVERYTHING
    )


@each_dtype_of_chunked
@pytest.mark.parametrize(("alpha", "support"), DIVERGENCES, ids=lambda value: getattr(value, "kind", str(value)))
def test_every_divergence_from_logits(dtype: torch.dtype, alpha: float, support: Support) -> None:
    """The same from logits."""
    batch = logit_batch(Shape(), dtype=dtype)
    assert_equal_to_reference(CHUNKED, batch, alpha=alpha, support=support, **EVERYTHING)


@pytest.mark.parametrize("aggregation", get_args(Aggregation))
@pytest.mark.parametrize("top_k_from", get_args(TopKFrom))
def test_every_aggregation(aggregation: Aggregation, top_k_from: TopKFrom) -> None:
    """In the best dtype that the variant takes, with either side's top-k, each on a ragged batch."""
    batch = hidden_batch(Shape(rollout=4), dtype=CHUNKED.dtypes[0])
    for support in (TAIL, RENORMALIZED):
        assert_equal_to_reference(
            CHUNKED, batch, alpha=0.5, support=support, aggregation=aggregation, top_k_from=top_k_from
        )


SHAPES = {
    "257 tokens by 123": Shape(rollout=1, time=257, vocab=123, hidden=7),
    "one token": Shape(rollout=1, time=1, vocab=5),
    "vocabulary of one": Shape(vocab=1, time=3),
    "vocabulary of two": Shape(vocab=2, time=3, hidden=1),
    "no columns": Shape(time=0),
    "no rows": Shape(rollout=0),
    "own teacher head": Shape(teacher_hidden=4, time=3),
    "wider teacher with bias": Shape(teacher_hidden=9, time=3, bias=True),
}
FORMULAS = {"forward": (0.0, TAIL), "mixture": (0.3, FULL), "reverse": (1.0, FULL)}


def shapes(variant: Variant) -> Mapping[str, Sequence[str | torch.dtype]]:
    """Sizes, dtypes and formulas of a variant; the interpreter takes a second for 20 rows, so it has no long one."""
    names = list(SHAPES) if variant is CHUNKED else list(SHAPES)[1:]
    return {"shape": names, "dtype": variant.dtypes, "formula": list(FORMULAS)}


@pytest.mark.parametrize(
    ("variant", "case"),
    [
        pytest.param(variant, case, marks=marks(variant), id="-".join([str(variant), *map(str, case.values())]))
        for variant in VARIANTS
        for case in covering(shapes(variant))
    ],
)
def test_awkward_shapes(variant: Variant, case: Case) -> None:
    """Sizes that divide nothing, the smallest of every axis, and a teacher with a head of its own."""
    batch = hidden_batch(SHAPES[case["shape"]], dtype=case["dtype"])
    alpha, support = FORMULAS[case["formula"]]
    assert_equal_to_reference(variant, batch, alpha=alpha, support=support)


@each_variant
@pytest.mark.parametrize("k", [1, 12, 13, 14])
def test_k_near_the_vocabulary(variant: Variant, k: int) -> None:
    """A head of one token, a tail of one token, no tail, and a k beyond the vocabulary."""
    batch = hidden_batch(Shape(vocab=13), dtype=variant.dtypes[0])
    for kind in ("top_k_tail", "top_k_renormalized"):
        assert_equal_to_reference(variant, batch, alpha=0.4, support=Support(kind, k))


STRIDES = {
    "transposed": lambda tensor: tensor.transpose(0, 1).contiguous().transpose(0, 1),
    "every second": lambda tensor: torch.stack([tensor, tensor + 1], -1).flatten(-2)[..., ::2],
    "behind an offset": lambda tensor: torch.cat([tensor[:1], tensor])[1:],
    "columns first": lambda tensor: tensor.transpose(-1, -2).contiguous().transpose(-1, -2),
}


@each_variant
@pytest.mark.parametrize("strides", STRIDES.values(), ids=STRIDES)
@pytest.mark.parametrize("teacher_hidden", [None, 4])
def test_strides(variant: Variant, strides: "type[torch.Tensor]", teacher_hidden: int | None) -> None:
    """Memory in another order than the axes gives the same answers."""
    batch = hidden_batch(Shape(teacher_hidden=teacher_hidden), dtype=variant.dtypes[0])
    head = Head(strides(batch.student_head.weight))
    strided = replace(
        batch,
        student_hidden=strides(batch.student_hidden),
        teacher_hidden=strides(batch.teacher_hidden),
        student_head=head,
        teacher_head=head if teacher_hidden is None else batch.teacher_head,
    )
    assert_equal_to_reference(variant, strided, alpha=0.5)
    logits = logit_batch(Shape(), dtype=variant.dtypes[0])
    assert_equal_to_reference(
        variant,
        replace(logits, student_logits=strides(logits.student_logits), teacher_logits=strides(logits.teacher_logits)),
        alpha=0.5,
    )


@each_variant
def test_one_hidden_state_for_all(variant: Variant) -> None:
    """Stride zero: expanded inputs, and an expanded upstream gradient of the tokens' losses."""
    batch = hidden_batch(Shape(rollout=1), dtype=variant.dtypes[0])
    one = batch.student_hidden[:1, :1]
    batch = replace(batch, student_hidden=one.expand(1, 5, 4), teacher_hidden=(one + 1).expand(1, 5, 4))
    assert_equal_to_reference(variant, batch, alpha=0.5)
    found, expected = (_token_gradients(loss, batch) for loss in (variant.sdpo_token_losses, _plain_tokens))
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, rtol=1e-5, atol=1e-6), name


def _plain_tokens(batch: "object", **options: "object") -> Tensor:
    return reference.sdpo_token_losses(materialized(batch), **options)  # type: ignore[arg-type]


def _token_gradients(loss: "object", batch: "object") -> dict[str, Tensor]:
    ready, inputs = with_gradients(batch)  # type: ignore[arg-type]
    losses = loss(ready, alpha=0.5)  # type: ignore[operator]
    gradients = torch.autograd.grad(losses, list(inputs.values()), losses.new_ones(1, 1).expand_as(losses))
    return dict(zip(inputs, gradients, strict=True))


HOLES = {
    "student's": ([0.3, -torch.inf, 1.0, 0.0], [0.1, 0.2, 0.3, -1.0]),
    "teacher's": ([0.3, 0.1, 1.0, 0.0], [0.1, -torch.inf, 0.3, 0.2]),
    "of both": ([0.3, -torch.inf, 1.0, 0.0], [0.1, -torch.inf, 0.3, 0.2]),
    "one of each": ([0.3, -torch.inf, 1.0, 0.0], [0.1, 0.2, -torch.inf, 0.2]),
    "student's, hardly missed": ([0.3, -torch.inf, 1.0, 0.0], [0.3, -3.0, 1.0, 0.0]),
    "teacher's, hardly missed": ([0.3, -3.0, 1.0, 0.0], [0.3, -torch.inf, 1.0, 0.0]),
    "two of the student's": ([1.0, 0.5, -torch.inf, -torch.inf], [0.5, 1.0, -1.0, -torch.inf]),
    "almost": ([0.0, -2000.0, 3.0, 1.0], [0.0, 2000.0, 1.0, 1.0]),
    "both tiny": ([0.0, -110.0, 3.0, 1.0], [0.0, -120.0, 3.0, 1.0]),
}


@pytest.mark.parametrize(
    ("variant", "dtype"),
    [
        pytest.param(variant, dtype, marks=marks(variant))
        for variant in VARIANTS
        for dtype in variant.dtypes
        if dtype.itemsize >= 4
    ],
    ids=lambda value: str(value).removeprefix("torch."),
)
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("support", [FULL, Support("top_k_tail", 2), Support("top_k_renormalized", 3)], ids=str)
def test_logits_of_minus_infinity(variant: Variant, dtype: torch.dtype, alpha: float, support: Support) -> None:
    """Tokens without mass on one side or both, and nearly so: as the reference, infinite divergences included.

    All holes are in one batch, with a token without a hole on either side of it. Where the divergence of a token is
    infinite its gradient is nothing that one could train on, but it stays where it is.
    """
    others = logit_batch(Shape(rollout=1, time=2 * len(HOLES) + 1, vocab=4), dtype=dtype)
    batch = replace(
        others,
        student_logits=others.student_logits.nan_to_num(0.0),
        teacher_logits=others.teacher_logits.nan_to_num(0.0),
        completion_mask=torch.ones_like(others.completion_mask),
        completions=torch.zeros_like(others.completions),
    )
    for place, hole in enumerate(HOLES.values()):
        batch.student_logits[0, 2 * place + 1], batch.teacher_logits[0, 2 * place + 1] = map(torch.tensor, hole)
    losses = variant.sdpo_token_losses(batch, alpha=alpha, support=support)
    expected_losses = reference.sdpo_token_losses(materialized(in_float64(batch)), alpha=alpha, support=support)
    error = 1e-12 if dtype is torch.float64 else 1e-5
    # Three times as much as for a mean over three tokens: float32 has no digits below 1e-4 at a logit of 2000.
    torch.testing.assert_close(losses.double(), expected_losses, rtol=error, atol=3.0 * error)
    found = answers(variant.sdpo_loss, batch, alpha=alpha, support=support, aggregation="row_sum")
    expected = answers(reference.sdpo_loss, in_float64(batch), alpha=alpha, support=support, aggregation="row_sum")
    torch.testing.assert_close(found["value"].double(), expected["value"], rtol=error, atol=error)
    finite = expected_losses.isfinite()
    torch.testing.assert_close(
        found["student_logits"][finite].double(), expected["student_logits"][finite], rtol=error, atol=error
    )


@each_variant
def test_an_underflow_is_no_hole(variant: Variant) -> None:
    """A token that the student can sample, however rarely, and the teacher excludes is infinitely far (LOSS-008)."""
    student, teacher = torch.tensor([[[0.0, -2000.0]]]), torch.tensor([[[0.0, -torch.inf]]])
    mask = torch.tensor([[True]])
    batch = DistillationBatch(student, teacher, torch.tensor([[0]]), mask, mask[0])
    assert float(variant.sdpo_loss(batch, alpha=1.0)) == torch.inf


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    alpha=st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.001, 0.999)),
    support=st.sampled_from([FULL, TAIL, RENORMALIZED]),
    shape=st.builds(
        Shape,
        rollout=st.integers(1, 3),
        time=st.integers(1, 4),
        vocab=st.integers(1, 9),
        hidden=st.integers(1, 5),
        teacher_hidden=st.none() | st.integers(1, 5),
        bias=st.booleans(),
    ),
    temperature=st.floats(0.3, 3.0),
    ratio_cap=st.none() | st.floats(0.1, 5.0),
    aggregation=st.sampled_from(get_args(Aggregation)),
    top_k_from=st.sampled_from(get_args(TopKFrom)),
    chunk_tokens=st.integers(1, 5),
)
def test_random_problems(  # noqa: PLR0917 -- hypothesis passes by name
    seed: int,
    alpha: float,
    support: Support,
    shape: Shape,
    temperature: float,
    ratio_cap: float | None,
    aggregation: Aggregation,
    top_k_from: TopKFrom,
    chunk_tokens: int,
) -> None:
    """Whatever the options, sizes and chunks, value and gradients are the reference's; ``test_fused`` has its own."""
    assert_equal_to_reference(
        CHUNKED,
        hidden_batch(shape, seed=seed, dtype=torch.float64),
        chunk_bytes=2 * 8 * shape.vocab * chunk_tokens,
        alpha=alpha,
        support=support,
        temperature=temperature,
        ratio_cap=ratio_cap,
        aggregation=aggregation,
        top_k_from=top_k_from,
    )


@pytest.mark.parametrize("aggregation", get_args(Aggregation))
@pytest.mark.parametrize(
    ("variant", "vector"),
    [
        pytest.param(variant, vector, marks=marks(variant), id=f"{variant}-{vector.id}")
        for variant in VARIANTS
        for vector in load("loss")
        if vector.inputs["student_logits"].dtype in variant.dtypes
    ],
)
def test_vectors(variant: Variant, vector: Vector, aggregation: Aggregation) -> None:
    """Value and gradient of every golden vector that is in a dtype of the variant, two tokens at a time."""
    inputs, options = vector.inputs, vector.options
    batch = DistillationBatch(
        inputs["student_logits"],
        inputs["teacher_logits"],
        inputs["completions"],
        inputs["completion_mask"],
        inputs["self_distillation_mask"],
        inputs.get("behaviour_log_probs"),
    )
    found = answers(
        variant.sdpo_loss,
        batch,
        alpha=options["alpha"],
        support=Support(options["support"], options["k"]),  # type: ignore[arg-type]
        temperature=options["temperature"],
        ratio_cap=options["ratio_cap"],
        aggregation=aggregation,
        top_k_from=options["top_k_from"],
        chunk_bytes=2 * 2 * 8 * batch.student_logits.shape[-1],
    )
    for name, key in (("value", "value"), ("student_logits", "gradient")):
        expected = vector.expected[f"{key}/{aggregation}"]
        within = vector.tolerance.absolute + vector.tolerance.relative * expected.abs()
        assert bool(((found[name].double() - expected).abs() <= within).all()), name
