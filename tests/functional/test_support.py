"""The tail, in both precisions, and supports without one."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.log_probs import log_probs
from sdpo_ref.functional.support import on_support, renormalized, tail_log_mass, top_k_ids, with_tail
from sdpo_ref.types import SAMPLED_TOKEN


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("exponent", range(1, 13))
def test_tail_log_mass_is_exact(dtype: torch.dtype, limit: float, exponent: int) -> None:
    """Down to a mass of 1e-12 the log-mass is within 1e-10 nats in float64 and 1e-5 in float32 (LOSS-025)."""
    logits = torch.tensor([0.3, -0.2, *(math.log(10.0**-exponent / 3) + shift for shift in (0.1, 0.0, -0.1))])
    tail = torch.logsumexp(logits.double()[2:], -1) - torch.logsumexp(logits.double(), -1)
    found = tail_log_mass(log_probs(logits.to(dtype)), torch.tensor([0, 1]))
    assert abs(float(found) - float(tail)) <= limit


@given(logits=st.lists(st.floats(-20, 20), min_size=3, max_size=8), k=st.integers(1, 8))
def test_cells_sum_to_one(logits: list[float], k: int) -> None:
    """Head and tail together have all the mass, for every k."""
    row = log_probs(torch.tensor(logits, dtype=torch.float64))
    assert abs(float(with_tail(row, top_k_ids(row, k=k)).exp().sum()) - 1) < 1e-12


def test_tail_without_mass_has_a_finite_gradient() -> None:
    """A tail of nothing but minus infinity is minus infinity, and pulls on nothing."""
    logits = torch.tensor([0.0, 1.0, -torch.inf], requires_grad=True)
    tail = tail_log_mass(log_probs(logits), torch.tensor([0, 1]))
    assert tail == -torch.inf
    (gradient,) = torch.autograd.grad(torch.where(torch.isfinite(tail), tail, 0.0), logits)
    assert torch.equal(gradient, torch.zeros(3))


def test_full_head_has_no_tail_cell() -> None:
    """With k at the size of the vocabulary nothing is left to lump."""
    row = log_probs(torch.tensor([0.0, 1.0, 2.0]))
    assert with_tail(row, top_k_ids(row, k=9)).shape == (3,)


def test_nothing_to_renormalise_raises() -> None:
    """A teacher without mass on the student's head cannot be rescaled."""
    with pytest.raises(InvalidInputError, match="top_k_tail"):
        renormalized(torch.tensor([0.0, -torch.inf]), torch.tensor([1]))


def test_sampled_token_has_no_cells() -> None:
    """The surrogate is not a divergence on cells."""
    row = log_probs(torch.zeros(3))
    with pytest.raises(InvalidInputError, match="sampled_token"):
        on_support(row, row, support=SAMPLED_TOKEN, top_k_from="student")
