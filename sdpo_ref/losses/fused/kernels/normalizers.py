"""The log-normaliser of each row, where no other kernel takes it on its way."""

from typing import no_type_check

import triton
import triton.language as tl

from sdpo_ref.losses.fused.kernels.sweep import LOWEST, close, load_logits, push


@triton.jit(do_not_specialize=["first"])
@no_type_check
def normalizers_kernel(logits, sums, count, first, vocab, logits_stride, inverse_temperature, BLOCK: tl.constexpr):
    """Log of the sum of exponentials of each row of logits at a temperature.

    Args:
        logits: [row, vocab], unit stride in a row.
        sums: [row], out, float32; zero in rows that do not count.
        count: [], how many packed rows count.
        first: packed position of the first row.
        vocab: columns.
        logits_stride: elements from one row to the next.
        inverse_temperature: multiplies the logits.
        BLOCK: columns at a time, a power of two.
    """
    row = tl.program_id(0).to(tl.int64)
    if first + row >= tl.load(count):
        tl.store(sums + row, 0.0)
        return
    logits += row * logits_stride
    peak = tl.full([BLOCK], LOWEST, tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, vocab, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        peak, total, _, _ = push(peak, total, load_logits(logits, columns, vocab, inverse_temperature))
    top, log_sum = close(peak, total)
    tl.store(sums + row, top + log_sum)
