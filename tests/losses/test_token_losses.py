"""The reference's losses of single tokens and its token weights, against the scalar loss and by hand."""

from dataclasses import replace
from typing import Any, get_args

import pytest
import torch

from sdpo_ref.functional.aggregation import aggregate
from sdpo_ref.losses.reference import sdpo_loss, sdpo_token_losses
from sdpo_ref.types import FULL, SAMPLED_TOKEN, Aggregation, DistillationBatch, Support
from tests.losses.equality import answers
from tests.losses.problems import Shape, logit_batch, token_weights

SUPPORTS = [FULL, Support("top_k_tail", 3), Support("top_k_renormalized", 3), SAMPLED_TOKEN]


@pytest.mark.parametrize("support", SUPPORTS, ids=lambda support: support.kind)
@pytest.mark.parametrize("aggregation", get_args(Aggregation))
def test_aggregated_they_are_the_loss(support: Support, aggregation: Aggregation) -> None:
    """Value and gradient, with every option in play."""
    batch = logit_batch(Shape())
    options: dict[str, Any] = {"alpha": 1.0, "support": support, "temperature": 0.5, "ratio_cap": 1.3}

    def by_hand(ready: DistillationBatch, **rest: object) -> torch.Tensor:
        return aggregate(sdpo_token_losses(ready, **rest), ready.loss_mask, aggregation=aggregation)  # type: ignore[arg-type]

    expected = answers(sdpo_loss, batch, aggregation=aggregation, **options)
    found = answers(by_hand, batch, **options)
    for name, answer in expected.items():
        torch.testing.assert_close(found[name], answer, rtol=1e-13, atol=1e-13)


def test_zero_and_without_gradient_where_nothing_counts() -> None:
    """Exactly, although the logits there are NaN and the upstream gradient is not zero."""
    batch = logit_batch(Shape())
    student = batch.student_logits.requires_grad_()
    losses = sdpo_token_losses(replace(batch, student_logits=student), alpha=0.5)
    assert not losses[~batch.loss_mask].any()
    assert bool((losses[batch.loss_mask] > 0.0).all())
    (gradient,) = torch.autograd.grad(losses.sum(), student)
    assert not gradient[~batch.loss_mask].any()
    assert bool(gradient[batch.loss_mask].any(-1).all())


@pytest.mark.parametrize("aggregation", get_args(Aggregation))
def test_weights_multiply_and_leave_the_denominator(aggregation: Aggregation) -> None:
    """A weight of two everywhere doubles every aggregation; a weight of zero leaves its token out of the numerator."""
    batch = logit_batch(Shape())
    plain = answers(sdpo_loss, batch, alpha=0.5, aggregation=aggregation)
    doubled = answers(sdpo_loss, batch, alpha=0.5, aggregation=aggregation, token_weights=torch.full((3, 5), 2.0))
    for name, answer in plain.items():
        torch.testing.assert_close(doubled[name], 2.0 * answer)
    weights = torch.ones(3, 5)
    weights[2, 0] = 0.0
    without = answers(sdpo_loss, batch, alpha=0.5, aggregation=aggregation, token_weights=weights)
    assert not without["student_logits"][2, 0].any()
    torch.testing.assert_close(without["student_logits"][2, 1:], plain["student_logits"][2, 1:])


def test_weights_of_random_size() -> None:
    """The token mean of weighted losses, by hand; NaN weights where nothing counts are inert."""
    batch = logit_batch(Shape())
    weights = token_weights(batch)
    counts = batch.loss_mask
    losses = sdpo_token_losses(batch, alpha=1.0)
    expected = (losses[counts] * weights[counts]).sum() / counts.sum()
    torch.testing.assert_close(sdpo_loss(batch, alpha=1.0, token_weights=weights), expected)


def test_weights_are_constants() -> None:
    """Nothing flows into weights that ask for a gradient."""
    batch = logit_batch(Shape())
    weights = torch.ones(3, 5, dtype=torch.float64, requires_grad=True)
    loss = sdpo_loss(
        replace(batch, student_logits=batch.student_logits.requires_grad_()), alpha=1.0, token_weights=weights
    )
    (gradient,) = torch.autograd.grad(loss, [weights], allow_unused=True)
    assert gradient is None
