"""The divergence cell by cell: one formula for near cells, another for far ones, and no seam between them."""

import math

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sdpo_ref.functional.divergence import kl_divergence


def exact(p_log_probs: Tensor, q_log_probs: Tensor) -> mpmath.mpf:
    """The sum of q - p - p log(q / p) with fifty digits."""
    with mpmath.workdps(50):
        pairs = zip(p_log_probs.tolist(), q_log_probs.tolist(), strict=True)
        return mpmath.fsum(
            mpmath.exp(q) - mpmath.exp(p) - mpmath.exp(p) * (mpmath.mpf(q) - mpmath.mpf(p)) for p, q in pairs
        )


@settings(deadline=None)
@given(st.floats(-2000, -0.01), st.floats(-40, 2000))
def test_no_log_ratio_costs_digits(log_p: float, log_ratio: float) -> None:
    """The terms of one cell are within 1e-12 of fifty digits, or 1e-15 over the ratio where that is below 1e-3."""
    cell = torch.tensor([log_p], dtype=torch.float64)
    other = (cell + log_ratio).clamp(max=-1e-9)
    expected, ratio = exact(cell, other), abs(float(other - cell))
    allowed = max(1e-12, 1e-15 / max(ratio, 1e-300))
    assert float(kl_divergence(cell, other)) == pytest.approx(float(expected), rel=allowed, abs=1e-300)


@given(st.integers(0, 2**31), st.sampled_from([9.0, 50.0, math.inf]))
def test_rows_do_not_notice_their_neighbours(seed: int, far: float) -> None:
    """Value and gradient of a row are the same to the last bit whether or not another row has far cells."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    q_log_probs = torch.randn(2, 5, generator=generator, dtype=torch.float64).log_softmax(-1)
    logits[1, 2] = -far
    found = []
    for rows in (slice(0, 1), slice(0, 2)):
        p_logits = logits[rows].clone().requires_grad_()
        divergence = kl_divergence(p_logits.log_softmax(-1), q_log_probs[rows])[0]
        torch.autograd.backward(divergence)
        assert p_logits.grad is not None
        found.append((divergence.detach(), p_logits.grad[0]))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mass_too_small_for_its_exponential_is_mass(dtype: torch.dtype) -> None:
    """Where the other side excludes such a cell the divergence is infinite and not NaN; where neither does, 0."""
    rare, excluded = torch.tensor([0.0, -1000.0], dtype=dtype), torch.tensor([0.0, -torch.inf], dtype=dtype)
    assert kl_divergence(rare, excluded) == torch.inf
    assert kl_divergence(excluded, rare) == 0.0
    assert kl_divergence(rare, rare) == 0.0
