"""Packed rows against the same rows padded: value, gradient, boundaries, and no tensor as large as the padded batch."""

from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.losses import sdpo_loss
from sdpo_ref.losses.packed import PackedBatch, PackedHiddenBatch
from sdpo_ref.types import FULL, SAMPLED_TOKEN, Aggregation, DistillationBatch, HiddenBatch, Support
from tests.losses.equality import VARIANTS, marks
from tests.losses.problems import Shape, hidden_batch, logit_batch, token_weights

LENGTHS = (1, 5, 1, 3, 0, 2)
"""Rows of one token at the start and between others, and one of none."""
ROW_AGGREGATIONS = tuple(it for it in get_args(Aggregation) if it != "time_normalized_sum")
IMPLEMENTATIONS = ["reference", *(pytest.param(it.name, marks=marks(it)) for it in VARIANTS)]
EVERYTHING: dict[str, Any] = {"temperature": 0.7, "ratio_cap": 1.5}


def _kept(lengths: tuple[int, ...] = LENGTHS) -> tuple[Tensor, Tensor]:
    """Where the padded batch has a token, and the boundaries of the packed one."""
    sizes = torch.tensor(lengths)
    return torch.arange(max(lengths)) < sizes[:, None], torch.cat([torch.zeros(1).long(), sizes.cumsum(0)])


def _masks(kept: Tensor) -> tuple[Tensor, Tensor]:
    """A hole in a row, a row that ends in a masked token, and a row without a teacher."""
    mask = kept.clone()
    mask[1, 2] = mask[3, 2] = False
    usable = torch.ones(kept.shape[0], dtype=torch.bool)
    usable[5] = False
    return mask, usable


def padded(kind: Any, dtype: torch.dtype) -> DistillationBatch | HiddenBatch:
    """Six rows, padded."""
    kept, _ = _kept()
    mask, usable = _masks(kept)
    batch: DistillationBatch | HiddenBatch = kind(Shape(rollout=6, time=5, bias=True), dtype=dtype)
    if isinstance(batch, HiddenBatch):
        sides = {name: getattr(batch, name).nan_to_num(0.3) for name in ("student_hidden", "teacher_hidden")}
    else:
        sides = {name: getattr(batch, name).nan_to_num(0.3) for name in ("student_logits", "teacher_logits")}
    assert batch.behaviour_log_probs is not None
    return replace(
        batch,
        **sides,
        completions=batch.completions.clamp(min=0),
        completion_mask=mask,
        self_distillation_mask=usable,
        behaviour_log_probs=batch.behaviour_log_probs.nan_to_num(-2.0),
    )


def packed(batch: DistillationBatch | HiddenBatch) -> PackedBatch | PackedHiddenBatch:
    """The same rows end to end."""
    kept, boundaries = _kept()
    mask = batch.completion_mask[kept]
    assert batch.behaviour_log_probs is not None
    rest = (batch.completions[kept], mask, batch.self_distillation_mask, boundaries, batch.behaviour_log_probs[kept])
    if isinstance(batch, DistillationBatch):
        return PackedBatch(batch.student_logits[kept], batch.teacher_logits[kept], *rest)
    heads = batch.student_head, batch.teacher_head
    return PackedHiddenBatch(batch.student_hidden[kept], heads[0], batch.teacher_hidden[kept], heads[1], *rest)


def _of_student(batch: Any) -> str:
    return "student_logits" if hasattr(batch, "student_logits") else "student_hidden"


@pytest.mark.parametrize("aggregation", ROW_AGGREGATIONS)
@pytest.mark.parametrize("kind", [hidden_batch, logit_batch], ids=["hidden", "logits"])
@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_packed_rows_are_the_padded_ones(impl: Any, kind: Any, aggregation: Aggregation) -> None:
    """Value and gradient, with weights of tokens, with and without a denominator, on every kind of support."""
    dtype = torch.float32 if impl == "fused" else torch.float64
    rows = padded(kind, dtype)
    kept, _ = _kept()
    weights = token_weights(rows).nan_to_num(1.0).to(dtype)
    name = _of_student(rows)
    for support, alpha in ((FULL, 0.3), (Support("top_k_tail", 3), 0.0), (SAMPLED_TOKEN, 1.0)):
        for denominator in (None, 3.5):
            options: dict[str, Any] = {"alpha": alpha, "support": support, "denominator": denominator, **EVERYTHING}
            leaf = getattr(rows, name).clone().requires_grad_()
            whole = replace(rows, **{name: leaf})
            expected = sdpo_loss(whole, impl="reference", token_weights=weights, aggregation=aggregation, **options)
            (slope,) = torch.autograd.grad(expected, leaf)
            pack = packed(rows)
            flat = getattr(pack, name).clone().requires_grad_()
            pack = replace(pack, **{name: flat})
            found = sdpo_loss(pack, impl=impl, token_weights=weights[kept], aggregation=aggregation, **options)
            (got,) = torch.autograd.grad(found, flat)
            slack = 1e-12 if dtype is torch.float64 else 1e-5
            torch.testing.assert_close(found, expected, rtol=slack, atol=slack)
            torch.testing.assert_close(got, slope[kept], rtol=slack, atol=slack)


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The most numbers that one tensor holds that is made meanwhile, views left aside."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run it, and look at what it returns."""
        made = func(*args, **(kwargs or {}))
        for it in made if isinstance(made, tuple | list) else [made]:
            if isinstance(it, Tensor):
                self.numbers = max(self.numbers, it.untyped_storage().nbytes() // max(it.element_size(), 1))
        return made


@pytest.mark.parametrize("impl", ["reference", "chunked"])
def test_nothing_as_large_as_the_padded_batch_is_made(impl: Any) -> None:
    """One row of 300 tokens and 99 of one: 399 rows of logits, where padded ones would be 30,000."""
    lengths, vocab = (300, *([1] * 99)), 11
    _, boundaries = _kept(lengths)
    student, teacher = torch.randn(2, 399, vocab, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    student.requires_grad_()
    true = torch.ones(399, dtype=torch.bool)
    batch = PackedBatch(student, teacher, torch.zeros(399).long(), true, true[:100], boundaries)
    options: dict[str, Any] = {} if impl == "reference" else {"chunk_bytes": 399 * vocab * 16}
    with Largest() as seen:  # type: ignore[no-untyped-call]
        torch.autograd.grad(sdpo_loss(batch, alpha=0.3, aggregation="row_mean", impl=impl, **options), student)
    assert 399 * vocab <= seen.numbers <= 2 * 399 * vocab


def test_an_empty_pack_and_one_in_which_nothing_counts() -> None:
    logits, true = torch.zeros(3, 2, requires_grad=True), torch.ones(3, dtype=torch.bool)
    batch = PackedBatch(logits, logits, torch.zeros(3).long(), true, ~true[:2], torch.tensor([0, 1, 3]))
    for aggregation in ROW_AGGREGATIONS:
        loss = sdpo_loss(batch, alpha=1.0, aggregation=aggregation)
        assert float(loss.detach()) == 0.0
        assert not torch.autograd.grad(loss, logits)[0].any()


@pytest.mark.parametrize("wrong", [[0, 2], [0, 2, 1, 3], [1, 2, 3], [0, 1, 2]])
def test_boundaries_that_do_not_fit_are_refused(wrong: list[int]) -> None:
    logits, true = torch.zeros(3, 2), torch.ones(3, dtype=torch.bool)
    with pytest.raises(InvalidInputError, match=r"cu_seqlens is .*allowed are"):
        PackedBatch(logits, logits, torch.zeros(3).long(), true, true[:2], torch.tensor(wrong))


def test_a_pack_has_no_padded_length() -> None:
    rows = packed(padded(logit_batch, torch.float64))
    with pytest.raises(InvalidInputError, match="packed rows, which have none"):
        sdpo_loss(rows, alpha=1.0, aggregation="time_normalized_sum")
