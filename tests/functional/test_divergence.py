"""The divergence cell by cell: one formula for near cells, another for far ones, and no seam between them."""

import math

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sdpo_ref.functional.divergence import generalized_jsd, kl_divergence, mixture_log_probs
from sdpo_ref.functional.support import tail_log_mass


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


def distributions(seed: int, cells: int = 7) -> tuple[Tensor, Tensor]:
    """Log-probabilities of two distributions in float64, some nats apart."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, 3, cells, generator=generator, dtype=torch.float64).log_softmax(-1)
    return student, teacher


@given(st.integers(0, 2**31))
def test_the_kl_divergence_is_the_equation(seed: int) -> None:
    """Where nothing cancels, the computed form is the plain sum of p (log p - log q) to nearly every digit."""
    log_p, log_q = distributions(seed)
    plain = (log_p.exp() * (log_p - log_q)).sum(-1)
    torch.testing.assert_close(kl_divergence(log_p, log_q), plain, rtol=1e-12, atol=1e-13)


def test_the_plain_sum_has_no_digits_where_the_computed_form_has_ten() -> None:
    """Between nearly equal distributions: the reason for computing another form than the equation."""
    log_p = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64).log()
    log_q = (log_p + torch.tensor([3e-7, -1e-7, 2e-7, -2e-7], dtype=torch.float64)).log_softmax(-1)
    truth = float(exact(log_p, log_q))
    plain = float((log_p.exp() * (log_p - log_q)).sum(-1))
    assert truth < 1e-13
    assert abs(plain - truth) > 1e-5 * truth
    assert float(kl_divergence(log_p, log_q)) == pytest.approx(truth, rel=1e-9)


@given(st.integers(0, 2**31), st.floats(0.001, 0.999))
def test_the_mixture_is_that_of_probabilities(seed: int, alpha: float) -> None:
    """And the divergence in the interior is the sum of two plain KL divergences to it."""
    log_p, log_q = distributions(seed)
    mixture = (1 - alpha) * log_p.exp() + alpha * log_q.exp()
    torch.testing.assert_close(mixture_log_probs(log_p, log_q, alpha=alpha).exp(), mixture, rtol=1e-12, atol=0.0)
    of_student, of_teacher = ((side.exp() * (side - mixture.log())).sum(-1) for side in (log_p, log_q))
    expected = (1 - alpha) * of_student + alpha * of_teacher
    torch.testing.assert_close(generalized_jsd(log_p, log_q, alpha=alpha), expected, rtol=1e-9, atol=1e-14)


@given(st.integers(0, 2**31))
def test_the_tail_is_what_the_head_leaves(seed: int) -> None:
    """Where the tail is not small its log-mass is that of one minus the head."""
    log_p, _ = distributions(seed)
    head_ids = torch.tensor([[0, 3]]).expand(3, -1)
    plain = (1 - log_p.gather(-1, head_ids).exp().sum(-1)).log()
    torch.testing.assert_close(tail_log_mass(log_p, head_ids), plain, rtol=1e-10, atol=1e-12)
