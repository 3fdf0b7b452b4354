"""Compile every kernel for a Hopper GPU on a machine that has none, and look at what became of it."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas
from triton.compiler import ASTSource

from sdpo_ref.losses.fused import launch
from sdpo_ref.losses.fused.kernels.cells import cells_kernel, tail_cells_kernel, tail_gradient_kernel
from sdpo_ref.losses.fused.kernels.gathered import gathered_logits_kernel, weighted_rows_kernel
from sdpo_ref.losses.fused.kernels.rows import rows_kernel, token_log_probs_kernel

HOPPER = GPUTarget("cuda", 90, 32)

POINTERS_TO_INTEGERS = {"ids", "token_ids", "count", "entries", "starts"}
SCALARS = {"inverse_temperature": "fp32", "alpha": "fp32", "student_share": "fp32", "ratio_cap": "fp32"}
INTEGERS = {"first", "vocab", "k", "cells", "width"} | {
    f"{name}_stride" for name in ("logits", "gradient", "weight", "matrix")
}
ALIGNED = INTEGERS - {"first", "k", "cells"}
"""Integers that are multiples of 16 at the vocabularies and widths of language models."""

ROWS = {"BLOCK": launch.BLOCK, "HAS_RATIO": True, "WRITES": True}
ENDS = {
    "forward": {"FORWARD": True, "REVERSE": False},
    "reverse": {"FORWARD": False, "REVERSE": True},
    "between": {"FORWARD": False, "REVERSE": False},
}
KERNELS: list[tuple[Any, dict[str, Any], int]] = [
    *((rows_kernel, {**ROWS, **end, "SAMPLED": False}, 8) for end in ENDS.values()),
    (rows_kernel, {**ROWS, **ENDS["reverse"], "SAMPLED": True}, 8),
    (rows_kernel, {**ROWS, **ENDS["between"], "SAMPLED": False, "WRITES": False}, 8),
    *((cells_kernel, {**end, "BLOCK": 128}, 1) for end in ENDS.values()),
    (tail_cells_kernel, {"BLOCK": launch.BLOCK, "HEAD_BLOCK": 128}, 8),
    (tail_gradient_kernel, {"BLOCK": launch.BLOCK, "HEAD_BLOCK": 128}, 8),
    (token_log_probs_kernel, {"BLOCK": launch.BLOCK}, 8),
    (gathered_logits_kernel, {"HAS_BIAS": True, "CELLS": 16, "BLOCK": 256}, 4),
    (weighted_rows_kernel, {"ENTRIES": 8, "BLOCK": 1024}, 8),
]
"""Kernel, its compile-time arguments, and warps, as ``launch`` chooses them for a large vocabulary in bfloat16."""


def check() -> None:
    """Compile all of them.

    Raises:
        AssertionError: if one spills registers, or one that streams rows does not read 16 bytes at a time.
    """
    for kernel, constants, warps in KERNELS:
        ptx = compiled(kernel, constants, warps)
        registers, spilled = resources(ptx)
        wide = len(re.findall(r"ld\.global\S*\.v4", ptx))
        report = f"{kernel.fn.__name__} {constants}: {registers} registers, {spilled} bytes spilled, {wide} wide reads"
        sys.stdout.write(f"{report}\n")
        assert spilled == 0, report
        assert wide > 0 or kernel is cells_kernel, report


def compiled(kernel: Any, constants: dict[str, Any], warps: int) -> str:
    """The kernel in PTX.

    Args:
        kernel: made by ``triton.jit``.
        constants: its compile-time arguments.
        warps: a program.
    """
    types = {name: "constexpr" if name in constants else _type(name) for name in kernel.arg_names}
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, name in enumerate(kernel.arg_names)
        if types[name].startswith("*") or name in ALIGNED
    }
    source = ASTSource(kernel, types, constants, aligned)
    options = {"num_warps": warps, "enable_fp_fusion": True}
    return str(triton.compile(source, target=HOPPER, options=options).asm["ptx"])


def resources(ptx: str) -> tuple[int, int]:
    """Registers of a thread, and bytes that did not fit into them.

    Args:
        ptx: of one kernel.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.ptx"
        file.write_text(ptx, encoding="utf-8")
        command = [get_ptxas(90).path, "-v", "--gpu-name=sm_90a", str(file), "-o", str(file.with_suffix(".cubin"))]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    registers, spilled = re.search(r"Used (\d+) registers", report), re.search(r"(\d+) bytes spill stores", report)
    assert registers is not None
    assert spilled is not None
    return int(registers[1]), int(spilled[1])


def _type(name: str) -> str:
    if name in SCALARS:
        return SCALARS[name]
    if name in INTEGERS:
        return "i32"
    if name in POINTERS_TO_INTEGERS:
        return "*i64"
    return "*bf16" if name in {"gradient", "weight", "matrix", "hidden", "bias"} else "*fp32"
