"""The loss on a server's lists: to 1e-12 of the second derivation, exact for the teacher's head, or refused."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from jaxtyping import config
from torch import Tensor

from sdpo_ref.errors import InvalidInputError, UnsupportedError
from sdpo_ref.losses import sdpo_loss
from sdpo_ref.losses.server_top_k import spread_rest, top_k_loss
from sdpo_ref.protocols.top_k import ListSupport, ServerTopK, TopKBatch
from sdpo_ref.types import Aggregation, Head, HiddenBatch, Support
from sdpo_ref.vectors.store import Vector, load
from sdpo_ref.verification.checks.inputs import lists_of, on_policy, random_batch

AGGREGATIONS: tuple[Aggregation, ...] = ("token_mean", "row_mean", "row_mean_all", "row_sum", "time_normalized_sum")
FULL_TEACHER = on_policy(random_batch(1))
BATCH = TopKBatch.of(lists_of(FULL_TEACHER))
FIRST = BATCH.loss_mask.nonzero()[0].tolist()


@pytest.fixture
def types_not_checked() -> Iterator[None]:
    """As for a user: annotations refuse nothing."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


def _close(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).abs().max() <= 1e-12 * max(1.0, float(expected.abs().max())))


@pytest.mark.parametrize("vector", [pytest.param(it, id=it.id) for it in load("top_k_loss")])
def test_second_derivation(vector: Vector) -> None:
    """Value and gradient, under every aggregation, at both ends of alpha and between."""
    options: dict[str, Any] = {**vector.options}
    tensors: dict[str, Any] = {**vector.inputs, "temperature": options["temperature"]}
    for aggregation in AGGREGATIONS:
        student = vector.inputs["student_logits"].clone().requires_grad_()
        value = top_k_loss(TopKBatch(**{**tensors, "student_logits": student}), **options, aggregation=aggregation)
        assert _close(value, vector.expected[f"value/{aggregation}"])
        (gradient,) = torch.autograd.grad(value, student)
        assert _close(gradient, vector.expected[f"gradient/{aggregation}"])


@pytest.mark.parametrize("vector", [pytest.param(it, id=it.id) for it in load("hidden_loss")])
@pytest.mark.parametrize("impl", ["reference", "chunked"])
def test_second_derivation_from_hidden_states(vector: Vector, impl: Any) -> None:
    """Value, and the gradients of hidden states, weight and bias."""
    given, options = vector.inputs, vector.options
    leaves = [given[f"student_{it}"].clone().requires_grad_() for it in ("hidden", "weight", "bias")]
    hidden, weight, bias = leaves
    teacher = Head(given["teacher_weight"], given["teacher_bias"])
    masks = given["completions"], given["completion_mask"], given["self_distillation_mask"]
    batch = HiddenBatch(hidden, Head(weight, bias), given["teacher_hidden"], teacher, *masks)
    support: Any = Support(options["support"], options["k"])  # type: ignore[arg-type]
    for aggregation in AGGREGATIONS:
        alpha: Any = options["alpha"]
        value = sdpo_loss(batch, alpha=alpha, support=support, aggregation=aggregation, impl=impl)
        if support.kind != "sampled_token":
            assert _close(value, vector.expected[f"value/{aggregation}"])
        for name, gradient in zip(("hidden", "weight", "bias"), torch.autograd.grad(value, leaves), strict=True):
            assert _close(gradient, vector.expected[f"gradient_{name}/{aggregation}"])


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("kind", ["top_k_tail", "top_k_renormalized"])
def test_exact_for_the_teachers_head(kind: ListSupport, alpha: float) -> None:
    """On the list, spread over the vocabulary, and with the whole teacher: one number, chunked as well."""
    support = Support(kind, 4)  # type: ignore[arg-type]
    expected = sdpo_loss(FULL_TEACHER, alpha=alpha, support=support, top_k_from="teacher")
    spread = sdpo_loss(spread_rest(BATCH), alpha=alpha, support=support, top_k_from="teacher")
    for found in (spread, *(top_k_loss(BATCH, alpha=alpha, support=kind, impl=it) for it in ("auto", "chunked"))):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0.0)


def test_what_chunked_does_not_compute() -> None:
    """It is said which implementation does."""
    with pytest.raises(UnsupportedError, match=r"cross_entropy.*impl='reference'"):
        top_k_loss(BATCH, alpha=0.0, support="cross_entropy", impl="chunked")


def _with(place: int, *, token: int | None = None, score: float | None = None) -> dict[str, Any]:
    """The lists with one entry changed at the first position that counts."""
    ids, scores = BATCH.teacher_ids.clone(), BATCH.teacher_log_probs.clone()
    row, time = FIRST
    if token is not None:
        ids[row, time, place] = token
    if score is not None:
        scores[row, time, place] = score
    return {"teacher_ids": ids, "teacher_log_probs": scores}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (_with(3, score=torch.nan), "misses scores"),
        (_with(3, score=-torch.inf), "misses scores"),
        (_with(3, token=-1), "ids outside 0 to 10"),
        (_with(3, token=11), "ids outside 0 to 10"),
        (_with(1, token=int(BATCH.teacher_ids[*FIRST, 0])), "an id twice"),
        (_with(0, score=0.5), "above zero"),
        (_with(3, score=-0.001), "not in order"),
        (_with(0, score=-1e-3), "more mass than one"),
        (_with(3, score=-9999.0), "constant stands for a missing score"),
        ({name: getattr(BATCH, name)[..., :0] for name in ("teacher_ids", "teacher_log_probs")}, "k from 1"),
        ({"teacher_log_probs": BATCH.teacher_log_probs[..., :3]}, "teacher_log_probs has shape"),
        ({"teacher_log_probs": BATCH.teacher_log_probs.half()}, "half precision"),
        ({"teacher_ids": BATCH.teacher_ids.double()}, "allowed is an integer"),
        ({"completion_mask": BATCH.completion_mask.long()}, "allowed is bool"),
        ({"student_logits": BATCH.student_logits[0]}, "rollout, time, vocab"),
        ({"completions": BATCH.completions + 11}, "one tokenizer"),
        ({"least_rest": 1.0}, "least_rest"),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
@pytest.mark.usefixtures("types_not_checked")
def test_refused_lists(changes: dict[str, Any], says: str) -> None:
    """Each message says what was received and what to do; nothing is made up."""
    with pytest.raises(InvalidInputError, match=says):
        replace(BATCH, **changes)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"alpha": 1.0, "temperature": 2.0}, "lists were made at temperature 1.0"),
        ({"alpha": 0.5, "support": "cross_entropy"}, "alpha must be 0"),
        ({"alpha": 1.0, "ratio_cap": 2.0}, "behaviour_log_probs"),
        ({"alpha": 1.0, "support": "full"}, "allowed are 'top_k_tail'"),
        ({"alpha": 1.5}, "alpha"),
    ],
)
@pytest.mark.usefixtures("types_not_checked")
def test_refused_options(options: dict[str, Any], says: str) -> None:
    """What means nothing on a list."""
    with pytest.raises(InvalidInputError, match=says):
        top_k_loss(BATCH, **options)


def test_a_rest_that_is_lost() -> None:
    """A list with all the mass: the reverse KL is refused, or its rest is declared; the others need none."""
    scores = torch.tensor([[[1.0 - 1e-13, 1e-13]]], dtype=torch.float64).log()
    true = torch.ones(1, 1, dtype=torch.bool)
    student = torch.zeros(1, 1, 5, dtype=torch.float64)
    answer = ServerTopK(student, torch.tensor([[[2, 4]]]), scores, torch.zeros(1, 1).long(), true, true[0])
    batch = TopKBatch.of(answer)
    for wants_rest in (lambda: top_k_loss(batch, alpha=1.0), lambda: spread_rest(batch)):
        with pytest.raises(InvalidInputError, match="least_rest"):
            wants_rest()
    assert float(top_k_loss(batch, alpha=0.0)) == pytest.approx(torch.tensor(5.0).log().item())
    assert float(top_k_loss(batch, alpha=0.5)) < 0.7
    declared = TopKBatch.of(answer, least_rest=1e-6)
    teacher, even = torch.tensor([1.0, 1e-13, 1e-6]).double(), torch.tensor([0.2, 0.2, 0.6]).double()
    expected = (even * (even / teacher).log()).sum()
    torch.testing.assert_close(top_k_loss(declared, alpha=1.0), expected, rtol=1e-5, atol=0.0)


def test_dtypes() -> None:
    """Student in bfloat16, lists in float32: computed in float32, the gradient in the student's dtype."""
    student = BATCH.student_logits.bfloat16().requires_grad_()
    batch = replace(BATCH, student_logits=student, teacher_log_probs=BATCH.teacher_log_probs.float())
    value = top_k_loss(batch, alpha=0.5)
    assert value.dtype is torch.float32
    (gradient,) = torch.autograd.grad(value, student)
    assert gradient.dtype is torch.bfloat16
    torch.testing.assert_close(value.double(), top_k_loss(BATCH, alpha=0.5), rtol=2e-2, atol=0.0)
