"""Check, time and profile everything that needs a GPU, in under eight minutes: ``gpu_queue.py --out DIR``.

Truth in float64 comes first, then the goals, with peers on the same shapes. A short table is printed last, and
``DIR/gpu.json`` has everything, in the format of the other results. ``--dry-run`` goes the same way on a CPU, on tiny
shapes and in Triton's interpreter.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

TOTAL_SECONDS = 440.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the queue.

    Args:
        arguments: of the command line.

    Returns:
        0 if every item found something, 1 if one of them failed; what the others found is written either way.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write gpu.json into")
    parser.add_argument("--dry-run", action="store_true", help="tiny shapes on the CPU")
    parser.add_argument("--only", nargs="+", metavar="ITEM", help="some of the items")
    parser.add_argument("--seconds", type=float, default=TOTAL_SECONDS, help="for all items together")
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    if options.dry_run:  # before Triton is imported
        os.environ |= {"TRITON_INTERPRET": "1", "TORCHDYNAMO_DISABLE": "1", "CUDA_VISIBLE_DEVICES": ""}

    from benchmarks.gpu.queue import ITEMS, run_all
    from benchmarks.gpu.work import DRY, ON_DEVICE
    from benchmarks.table import measured_table

    wanted = [item for item in ITEMS if options.only is None or item.name in options.only]
    if len(wanted) < len(options.only or ()):
        parser.error(f"the items are {', '.join(item.name for item in ITEMS)}; received {' '.join(options.only)}")
    sizes, size = (DRY, "tiny") if options.dry_run else (ON_DEVICE, "full")
    results = run_all(wanted, sizes, total_seconds=options.seconds, size=size)
    results.save(options.out / "gpu.json")
    for name, value in results.checks.items():
        print(f"{name}: {value:.4g}")
    for name, why in results.skipped.items():
        print(f"skipped: {name}: {why}")
    print(measured_table(results))
    return int(any(item.name in results.skipped for item in wanted))


if __name__ == "__main__":
    sys.exit(main())
