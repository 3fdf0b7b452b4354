"""Means of masks, and how micro-batches share a step."""

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.functional.aggregation import aggregate, micro_batch_weights
from sdpo_ref.types import Aggregation

ONE, THREE, NONE = (torch.tensor([row]).bool() for row in ([1, 0, 0], [1, 1, 1], [0, 0, 0]))
FACTORS: dict[Aggregation, tuple[float, ...]] = {
    "token_mean": (1 / 7, 6 / 7),
    "row_mean": (1 / 3, 2 / 3),
    "row_mean_all": (1 / 4, 3 / 4),
    "row_sum": (1 / 3, 2 / 3),
    "time_normalized_sum": (1.0, 1.0),
}


@pytest.mark.parametrize("aggregation", FACTORS)
def test_factors_by_hand(aggregation: Aggregation) -> None:
    """One row beside three, of which the last does not count."""
    found = micro_batch_weights([ONE, torch.cat([THREE, THREE, NONE])], aggregation=aggregation)
    assert found == pytest.approx(FACTORS[aggregation])


@pytest.mark.parametrize("aggregation", get_args(Aggregation))
def test_a_lone_token_weighs_one(aggregation: Aggregation) -> None:
    """It has the whole step, beside a micro-batch in which nothing counts."""
    rows = {"row_mean_all": 0.5}.get(aggregation, 1.0)
    assert micro_batch_weights([ONE, NONE], aggregation=aggregation)[0] == rows


@given(
    masks=st.lists(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=3), min_size=1),
    aggregation=st.sampled_from(get_args(Aggregation)),
)
def test_factors_add_up_to_the_whole(masks: list[list[list[bool]]], aggregation: Aggregation) -> None:
    """The weighted losses of micro-batches are the loss of the batch that they make together (TRAIN-002)."""
    parts = [torch.tensor(mask) for mask in masks]
    losses = [torch.arange(float(part.numel())).reshape(part.shape).double() + 1 for part in parts]
    whole = aggregate(torch.cat(losses), torch.cat(parts), aggregation=aggregation)
    found = sum(
        factor * float(aggregate(loss, part, aggregation=aggregation))
        for factor, loss, part in zip(micro_batch_weights(parts, aggregation=aggregation), losses, parts, strict=True)
    )
    assert found == pytest.approx(float(whole))
