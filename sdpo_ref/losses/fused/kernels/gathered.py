"""Products with few rows of a large matrix: the renormalised top-k support touches k tokens of the vocabulary."""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def gathered_logits_kernel(
    hidden,
    weight,
    bias,
    ids,
    logits,
    k,
    width,
    weight_stride,
    HAS_BIAS: tl.constexpr,
    CELLS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Logits of k tokens for each hidden state, summed in float32.

    Args:
        hidden: [row, width], contiguous.
        weight: [vocab, width], unit stride in a row.
        bias: [vocab]; read if HAS_BIAS.
        ids: [row, k], contiguous.
        logits: [row, k], out, float32, contiguous.
        k: tokens of each row.
        width: of a hidden state.
        weight_stride: elements from one row of the head to the next.
        HAS_BIAS: the head has a bias.
        CELLS: tokens a program computes, a power of two.
        BLOCK: columns at a time, a power of two.
    """
    row = tl.program_id(0).to(tl.int64)
    cells = tl.program_id(1) * CELLS + tl.arange(0, CELLS)
    inside = cells < k
    tokens = tl.load(ids + row * k + cells, mask=inside, other=0)
    sums = tl.zeros([CELLS, BLOCK], tl.float32)
    for start in range(0, width, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        there = columns < width
        state = tl.load(hidden + row * width + columns, mask=there, other=0.0).to(tl.float32)
        places = tokens[:, None] * weight_stride + columns[None, :]
        rows = tl.load(weight + places, mask=inside[:, None] & there[None, :], other=0.0).to(tl.float32)
        sums += rows * state[None, :]
    found = tl.sum(sums, 1)
    if HAS_BIAS:
        found += tl.load(bias + tokens, mask=inside, other=0.0).to(tl.float32)
    tl.store(logits + row * k + cells, found, mask=inside)


@triton.jit
@no_type_check
def weighted_rows_kernel(
    matrix,
    entries,
    values,
    starts,
    out,
    width,
    matrix_stride,
    ENTRIES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Each segment's weighted sum of rows of a matrix: out[s] = sum of values[e] matrix[entries[e]] over its entries.

    One program owns a segment's columns, so the sum has one order and needs no atomic addition.

    Args:
        matrix: [any, width], unit stride in a row.
        entries: [entry], rows of the matrix.
        values: [entry], float32.
        starts: [segment + 1], where the entries of each segment begin.
        out: [segment, width], contiguous; rounded once.
        width: columns.
        matrix_stride: elements from one row of the matrix to the next.
        ENTRIES: entries at a time, a power of two.
        BLOCK: columns of a program, a power of two.
    """
    segment = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    there = columns < width
    first, last = tl.load(starts + segment), tl.load(starts + segment + 1)
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(first, last, ENTRIES):
        chosen = start + tl.arange(0, ENTRIES)
        inside = chosen < last
        rows = tl.load(entries + chosen, mask=inside, other=0)
        factors = tl.load(values + chosen, mask=inside, other=0.0)
        places = rows[:, None] * matrix_stride + columns[None, :]
        block = tl.load(matrix + places, mask=inside[:, None] & there[None, :], other=0.0).to(tl.float32)
        total += tl.sum(block * factors[:, None], 0)
    tl.store(out + segment * width + columns, total.to(out.dtype.element_ty), mask=there)
