"""What an implementation adds to the counts by which it divides: the same token is shown alone, and many times.

An epsilon makes a token that is alone weigh less than its share. The comparison needs no truth but the implementation's
own answers, so that it tells an epsilon from every other fault.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from sdpo_ref.types import DistillationBatch
from sdpo_ref.verification.checks.closed_form import token_weights
from sdpo_ref.verification.checks.exactness import two_sides

NOTICED, TOLERATED = 1e-12, 1e-6
"""Relative errors of a token that is alone: below the first it is rounding, above the second a wrong mean."""

ALLOWED = 4.0
"""An answer may be off by this many times what was found: two that are compared, of rows with several epsilons."""

_SHAPES = ((1, 64), (16, 1))
"""Rollouts and tokens; times those of the smallest batch."""

_LIMIT = 5.0
"""Seconds for all questions, as for those about precision."""


def of_one_token(rollouts: int, tokens: int) -> DistillationBatch:
    """A batch in which one token stands everywhere, and counts everywhere.

    Args:
        rollouts: rows.
        tokens: of each row.
    """
    student, teacher = (side.expand(rollouts, tokens, 3).clone() for side in two_sides(0.0, 0.0))
    true = torch.ones(rollouts, tokens, dtype=torch.bool)
    return DistillationBatch(student, teacher, torch.zeros_like(true).long(), true, true[:, 0])


def bias(gradient: Callable[[DistillationBatch], Tensor], aggregation: str, *, rollouts: int = 1) -> float:
    """By how much less a token weighs where it is alone.

    Args:
        gradient: of the implementation, with respect to the student's logits.
        aggregation: that it declares.
        rollouts: of the smallest batch.

    Returns:
        The relative error; zero if it is that of rounding, or so large that it is no epsilon.
    """
    until = time.monotonic() + _LIMIT

    def share(rows: int, tokens: int) -> float:
        batch = of_one_token(rows, tokens)
        return float(gradient(batch).double().abs().sum() / token_weights(batch.loss_mask, aggregation).sum())

    alone, again = share(rollouts, 1), share(rollouts, 1)
    found = 0.0
    for rows, tokens in _SHAPES:
        if alone != again or not alone or time.monotonic() > until:
            return 0.0
        found = max(found, abs(share(rollouts * rows, tokens) / alone - 1))
    return found if NOTICED < found <= TOLERATED * (1 + 1e-3) else 0.0
