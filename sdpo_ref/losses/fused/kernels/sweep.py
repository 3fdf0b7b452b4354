"""Parts of a pass over a row: normalisers that are taken online, each lane its own until the row has ended.

A lane is one of the ``BLOCK`` columns that a program reads at a time. Lanes do not wait for each other inside the row.
"""

from typing import no_type_check

import triton
import triton.language as tl

LOWEST = tl.constexpr(-3.4028234663852886e38)
"""Where a maximum starts: finite, so that a row may begin with -inf."""


@triton.jit
@no_type_check
def load_logits(row, columns, vocab, inverse_temperature):
    """Logits at the temperature of the loss; -inf behind the end of the vocabulary."""
    return tl.load(row + columns, mask=columns < vocab, other=-float("inf")).to(tl.float32) * inverse_temperature


@triton.jit
@no_type_check
def push(peak, total, logits):
    """One more logit in each lane, with one exponential: returns maximum, sum, and by how much each was scaled.

    Returns:
        peak: the new maximum.
        total: sum of exp(logit - peak).
        kept: factor that what was summed before is multiplied by.
        added: factor of what is added now.
    """
    step = logits - peak
    decay = tl.exp(-tl.abs(step))
    kept = tl.where(step > 0.0, decay, 1.0)
    added = tl.where(step > 0.0, 1.0, decay)
    return tl.maximum(peak, logits), total * kept + added, kept, added


@triton.jit
@no_type_check
def close(peak, total):
    """The row's maximum, and the logarithm of its sum relative to that maximum."""
    top = tl.max(peak, 0)
    return top, tl.log(tl.sum(total * tl.exp(peak - top), 0))


@triton.jit
@no_type_check
def store_zeros(row, vocab, BLOCK: tl.constexpr):
    """A row that does not count has no gradient."""
    for start in range(0, vocab, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        tl.store(row + columns, tl.zeros([BLOCK], tl.float32).to(row.dtype.element_ty), mask=columns < vocab)
