"""Batches: what they refuse, and that hidden states with heads are the batch of logits that the heads make."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.types import DistillationBatch, Head, HiddenBatch, Support
from tests.losses.problems import Shape, hidden_batch, logit_batch

WRONG_HEADS = {
    "weight of one axis": (torch.zeros(3), None, "shape"),
    "bias of another length": (torch.zeros(3, 2), torch.zeros(2), r"\(3, 2\).*\(2,\)"),
    "bias of another dtype": (torch.zeros(3, 2), torch.zeros(3).double(), "float64"),
    "integers": (torch.zeros(3, 2).long(), None, "int64"),
}


@pytest.mark.parametrize("case", WRONG_HEADS)
@pytest.mark.filterwarnings("ignore")
def test_heads_that_cannot_be_applied(case: str) -> None:
    """Shapes and dtypes that disagree are refused when the head is made."""
    weight, bias, message = WRONG_HEADS[case]
    with pytest.raises(Exception, match=rf"{message}|[Tt]ype-check|violates"):
        Head(weight, bias)


@pytest.mark.parametrize("case", WRONG_HEADS)
def test_message_of_a_head(case: str) -> None:
    """The head's own message, where no run-time type check comes before it."""
    weight, bias, message = WRONG_HEADS[case]
    head = object.__new__(Head)
    object.__setattr__(head, "weight", weight)
    object.__setattr__(head, "bias", bias)
    with pytest.raises(InvalidInputError, match=message):
        head.__post_init__()


def test_logits_of_a_head() -> None:
    """Weight times hidden state, plus bias, with gradient to all three."""
    hidden = torch.tensor([[1.0, 2.0]], requires_grad=True)
    head = Head(
        torch.tensor([[1.0, 0.0], [3.0, 1.0]], requires_grad=True), torch.tensor([0.5, -1.0], requires_grad=True)
    )
    logits = head.logits(hidden)
    assert logits.tolist() == [[1.5, 4.0]]
    assert head.bias is not None
    of_hidden, of_weight, of_bias = torch.autograd.grad(logits.sum(), [hidden, head.weight, head.bias])
    assert of_hidden.tolist() == [[4.0, 1.0]]
    assert of_weight.tolist() == [[1.0, 2.0], [1.0, 2.0]]
    assert of_bias.tolist() == [1.0, 1.0]


WRONG = {
    "width of another head": (
        {"student_hidden": torch.zeros(3, 5, 9)},
        r"student_hidden has shape \(3, 5, 9\).*\(13, 4\)",
    ),
    "hidden states without rows": ({"teacher_hidden": torch.zeros(5, 4)}, r"teacher_hidden has shape \(5, 4\)"),
    "dtype of another head": ({"student_hidden": torch.zeros(3, 5, 4)}, "torch.float32 on cpu.*torch.float64 on cpu"),
    "device of another head": (
        {"teacher_hidden": torch.zeros(3, 5, 4, dtype=torch.float64, device="meta")},
        "teacher_hidden is torch.float64 on meta.* on cpu",
    ),
    "teacher of another length": (
        {"teacher_hidden": torch.zeros(3, 6, 4, dtype=torch.float64)},
        "teacher_logits has shape",
    ),
    "teacher of another vocabulary": (
        {"teacher_head": Head(torch.zeros(12, 4, dtype=torch.float64))},
        r"teacher_logits has shape \(3, 5, 12\)",
    ),
    "ids out of range": ({"completions": torch.full((3, 5), 13)}, "0 to 12"),
    "mask of floats": ({"completion_mask": torch.ones(3, 5)}, "completion_mask has dtype"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.filterwarnings("ignore")
def test_batches_that_do_not_fit(case: str) -> None:
    """Refused when the batch is made, by name."""
    changes, message = WRONG[case]
    with pytest.raises(Exception, match=rf"{message}|[Tt]ype-check|violates"):
        replace(hidden_batch(Shape()), **changes)  # type: ignore[arg-type]


def test_message_of_a_head_that_does_not_fit() -> None:
    """Without run-time type checks the batch's own message is what is read."""
    batch = hidden_batch(Shape())
    with pytest.raises(InvalidInputError, match="convert one of them"):
        replace(batch, student_head=Head(batch.student_head.weight.float()))


def test_projection() -> None:
    """The same batch as logits; gradient to the student's hidden states and head, none to the teacher's side."""
    batch = hidden_batch(Shape(rollout=1, time=2, teacher_hidden=3, bias=True))
    every: list[Tensor] = [
        batch.student_hidden,
        batch.student_head.weight,
        batch.teacher_hidden,
        batch.teacher_head.weight,
    ]
    for tensor in every:
        tensor.requires_grad_()
    logits = batch.project()
    assert batch.teacher_head.bias is not None
    expected = batch.teacher_hidden @ batch.teacher_head.weight.T + batch.teacher_head.bias
    counts = batch.loss_mask
    torch.testing.assert_close(logits.teacher_logits[counts], expected.detach()[counts])
    assert not logits.teacher_logits.requires_grad
    assert torch.equal(logits.loss_mask, batch.loss_mask)
    gradients = torch.autograd.grad(logits.student_logits[counts].sum(), every, allow_unused=True)
    assert [gradient is None for gradient in gradients] == [False, False, True, True]


def test_projection_of_what_does_not_count() -> None:
    """NaN in hidden states that are masked reaches neither logits nor the gradient of the head."""
    batch = hidden_batch(Shape(rollout=2, time=4))
    hidden = torch.where(batch.loss_mask[..., None], batch.student_hidden, torch.nan)
    assert bool(hidden.isnan().any())
    weight = batch.student_head.weight.requires_grad_()
    logits = replace(batch, student_hidden=hidden).project().student_logits
    (gradient,) = torch.autograd.grad(logits.square().sum(), weight)
    assert bool(logits.isfinite().all())
    assert bool(gradient.isfinite().all())


def test_validation_makes_no_logits() -> None:
    """A batch whose logits would take a terabyte exists."""
    rows, vocab = 2**18, 2**20
    hidden, head = torch.zeros(1, 1, 1).expand(1, rows, 1), Head(torch.zeros(1, 1).expand(vocab, 1))
    mask = torch.ones(1, rows, dtype=torch.bool)
    batch = HiddenBatch(hidden, head, hidden, head, torch.zeros(1, rows).long(), mask, mask[:, 0])
    assert int(batch.loss_mask.sum()) == rows


@pytest.mark.parametrize("make", [hidden_batch, logit_batch])
@pytest.mark.parametrize("dtype", [torch.int8, torch.int16])
def test_ids_of_a_small_integer_type(make: Callable[..., DistillationBatch | HiddenBatch], dtype: torch.dtype) -> None:
    """An id is compared with the vocabulary as a number: 120 lies in a vocabulary of 300, and outside one of 100."""
    batch = make(Shape(rollout=1, time=2, vocab=300))
    batch = replace(batch, completions=torch.tensor([[120, 7]]).to(dtype), completion_mask=torch.ones(1, 2).bool())
    assert int(batch.completions[0, 0]) == 120
    small = make(Shape(rollout=1, time=2, vocab=100))
    with pytest.raises(InvalidInputError, match=r"ids from 7 to 120 .* 0 to 99"):
        replace(small, completions=batch.completions, completion_mask=batch.completion_mask)


class Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts how often a number is read from a tensor, for which a GPU would have to be waited for."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count, and run everything."""
        del types
        self.count += func._schema.name in {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select"}
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("make", [hidden_batch, logit_batch])
def test_a_batch_waits_for_the_device_once(make: Callable[..., DistillationBatch | HiddenBatch]) -> None:
    """To look at the token ids; every other check is on shapes and types."""
    batch = make(Shape())
    with Reads() as reads:  # type: ignore[no-untyped-call]
        replace(batch, behaviour_log_probs=None)
    assert reads.count == 1


def test_a_support_of_an_unknown_kind() -> None:
    """It would be taken for another support in silence."""
    support = object.__new__(Support)
    object.__setattr__(support, "kind", "top_p")
    object.__setattr__(support, "k", None)
    with pytest.raises(InvalidInputError, match="'top_p' is unknown; allowed are 'full', "):
        support.__post_init__()
