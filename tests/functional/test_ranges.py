"""A range ends where its documentation says: the ends are accepted, the next number is not."""

import math
from collections.abc import Callable

import pytest
import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.advantages import convex_combination
from sdpo_ref.functional.averaging import exponential_moving_average_, trust_region_log_probs
from sdpo_ref.functional.divergence import generalized_jsd
from sdpo_ref.functional.policy_gradient import clipped_surrogate, generalized_advantages
from sdpo_ref.functional.preference import preference_losses

ROW = torch.tensor([0.25, 0.75]).log()
PAIR = ROW[None]


def _moved(rate: float) -> None:
    exponential_moving_average_({"w": ROW.clone()}, {"w": ROW}, update_rate=rate)


SHARES: dict[str, Callable[[float], object]] = {
    "alpha": lambda it: generalized_jsd(ROW, ROW.flip(-1), alpha=it),
    "weight": lambda it: convex_combination(ROW, ROW, weight=it),
    "mix": lambda it: trust_region_log_probs(ROW, ROW, mix=it),
    "update_rate": _moved,
    "trace": lambda it: generalized_advantages(torch.ones(1), PAIR, PAIR < 0, trace=it),
}

POSITIVE: dict[str, Callable[[float], object]] = {
    "clip": lambda it: clipped_surrogate(PAIR, PAIR, PAIR, clip=it),
    "beta": lambda it: preference_losses(ROW, ROW, beta=it),
}


@pytest.mark.parametrize("name", SHARES)
def test_share(name: str) -> None:
    """From 0 to 1, both included."""
    for inside in (0.0, 1e-9, 0.5, 1.0):
        SHARES[name](inside)
    for outside in (-1e-9, 1 + 1e-9, 1.5, math.nan):
        with pytest.raises(InvalidInputError, match=r"\[0, 1\]"):
            SHARES[name](outside)


@pytest.mark.parametrize("name", POSITIVE)
def test_positive(name: str) -> None:
    """Above 0, however little."""
    for inside in (1e-9, 1.0, 3.0):
        POSITIVE[name](inside)
    for outside in (0.0, -1.0, math.nan):
        with pytest.raises(InvalidInputError, match="positive"):
            POSITIVE[name](outside)


@pytest.mark.parametrize("beta", [math.inf, -math.inf])
def test_beta_is_finite(beta: float) -> None:
    """An infinite one has no loss."""
    with pytest.raises(InvalidInputError, match="finite"):
        preference_losses(ROW, ROW, beta=beta)
