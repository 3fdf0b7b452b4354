"""``python -m benchmarks compare OLD NEW`` and ``python -m benchmarks render``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.compare import comparison
from benchmarks.page import README, page, saved
from benchmarks.record import load
from sdpo_ref.errors import SdpoRefError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the two commands.

    Args:
        arguments: of the command line.

    Returns:
        Exit status: 0, or 2 for a file that cannot be used.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    compare = commands.add_parser("compare", help="print what changed between two saved results")
    compare.add_argument("old", type=Path)
    compare.add_argument("new", type=Path)
    commands.add_parser("render", help="write the tables of benchmarks/README.md from benchmarks/results/*.json")
    options = parser.parse_args(arguments)
    try:
        if options.command == "compare":
            print(comparison(load(options.old), load(options.new)))
        else:
            README.write_text(page(README.read_text(encoding="utf-8"), saved()), encoding="utf-8")
    except SdpoRefError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
