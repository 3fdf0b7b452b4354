"""A batch as a piece of a step: the given denominator, in every implementation, aggregation and kind of batch."""

from dataclasses import fields, replace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.aggregation import aggregation_weights
from sdpo_ref.losses import sdpo_loss
from sdpo_ref.losses.denominator import global_denominator, own_denominator, weights_over
from sdpo_ref.types import FULL, Aggregation, DistillationBatch, Head, HiddenBatch
from tests.losses.equality import EACH, VARIANTS, Variant, marks, with_gradients
from tests.losses.problems import Shape, hidden_batch, logit_batch, token_weights

each_variant = pytest.mark.parametrize("variant", EACH, ids=str)
each_aggregation = pytest.mark.parametrize("aggregation", get_args(Aggregation))
SHAPE = Shape(rollout=4, time=5, bias=True)
OPTIONS: dict[str, Any] = {"alpha": 0.3, "support": FULL, "temperature": 0.7, "ratio_cap": 1.5}


def rows_of(batch: DistillationBatch | HiddenBatch, rows: list[int]) -> DistillationBatch | HiddenBatch:
    """Some rows; heads stay as they are."""
    chosen: dict[str, Any] = {
        it.name: value[rows]
        for it in fields(batch)
        if isinstance(value := getattr(batch, it.name), Tensor) and not isinstance(value, Head)
    }
    return replace(batch, **chosen)


@pytest.mark.parametrize(
    ("variant", "kind", "aggregation"),
    [
        *(
            pytest.param(VARIANTS[0], kind, aggregation, id=f"{kind.__name__}-{aggregation}")
            for kind in (hidden_batch, logit_batch)
            for aggregation in get_args(Aggregation)
        ),
        *(
            pytest.param(variant, kind, aggregation, id=f"{variant}-{aggregation}", marks=marks(variant))
            for variant in VARIANTS[1:]
            for kind, aggregation in ((hidden_batch, "row_mean"), (logit_batch, "token_mean"))
        ),
    ],
)
def test_pieces_of_a_step_add_up(variant: Variant, kind: Any, aggregation: Aggregation) -> None:
    """Losses and gradients of unequal pieces over the count of all are those of the reference on the whole."""
    dtype = variant.dtypes[0]
    batch = kind(SHAPE, dtype=dtype)
    denominator = own_denominator(batch.loss_mask, aggregation=aggregation)
    weights = token_weights(batch).to(dtype)
    options = {**OPTIONS, "aggregation": aggregation}
    whole, inputs = with_gradients(batch)
    expected = sdpo_loss(whole, impl="reference", token_weights=weights, **options)
    wanted = torch.autograd.grad(expected, list(inputs.values()))
    pieces, inputs = with_gradients(batch)
    found = torch.stack(
        [
            variant.sdpo_loss(rows_of(pieces, rows), token_weights=weights[rows], denominator=denominator, **options)
            for rows in ([2], [0, 1], [3])
        ]
    ).sum()
    got = torch.autograd.grad(found, list(inputs.values()))
    slack = 1e-12 if dtype is torch.float64 else 2e-6
    for one, other in zip((found, *got), (expected, *wanted), strict=True):
        assert float((one - other).detach().norm()) <= slack * (1 + float(other.detach().norm()))


@each_aggregation
def test_the_reference_over_its_own_count(aggregation: Aggregation) -> None:
    """The batch's own count as denominator changes nothing, also where a row has no counted token."""
    mask = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    own = own_denominator(mask, aggregation=aggregation)
    expected = aggregation_weights(mask, aggregation=aggregation)
    torch.testing.assert_close(weights_over(mask, own, aggregation=aggregation), expected, rtol=1e-15, atol=0.0)


@each_variant
def test_a_denominator_may_stay_on_its_device(variant: Variant) -> None:
    """A number, and the same as a tensor that is not looked at."""
    batch = logit_batch(SHAPE, dtype=variant.dtypes[0])
    number, tensor = (variant.sdpo_loss(batch, alpha=1.0, denominator=it) for it in (0.75, torch.tensor(0.75)))
    assert torch.equal(number, tensor)


@each_variant
def test_zero_is_right_where_nothing_counts_only(variant: Variant) -> None:
    """Zero over zero is zero; where something counts the loss is NaN, as zero tells nobody."""
    batch = logit_batch(SHAPE, dtype=variant.dtypes[0])
    none = replace(batch, self_distillation_mask=torch.zeros(4, dtype=torch.bool))
    assert float(variant.sdpo_loss(none, alpha=1.0, denominator=0)) == 0.0
    assert variant.sdpo_loss(batch, alpha=1.0, denominator=torch.tensor(0)).isnan()
    assert variant.sdpo_loss(batch, alpha=1.0, denominator=torch.tensor(-2.0)).isnan()


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf"), torch.ones(2)])
@each_variant
def test_what_is_no_denominator_is_refused(variant: Variant, wrong: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"denominator is .*; allowed is one finite number"):
        variant.sdpo_loss(logit_batch(SHAPE, dtype=variant.dtypes[0]), alpha=1.0, denominator=wrong)


def test_no_gradient_flows_into_the_denominator() -> None:
    denominator = torch.tensor(3.0, requires_grad=True)
    batch = logit_batch(SHAPE)
    assert not sdpo_loss(batch, alpha=1.0, denominator=denominator).requires_grad


def test_the_count_over_micro_batches_of_one_process() -> None:
    """Sums, the longest time, one where nothing counts, and a process without micro-batches."""
    short, long = torch.ones(1, 2, dtype=torch.bool), torch.tensor([[True] * 3, [False] * 3])
    found = {it: float(global_denominator([short, long], aggregation=it)) for it in get_args(Aggregation)}
    assert found == {"token_mean": 5, "row_mean": 2, "row_mean_all": 3, "row_sum": 2, "time_normalized_sum": 3}
    assert float(global_denominator([short & False])) == 1.0
    assert float(global_denominator([])) == 1.0
