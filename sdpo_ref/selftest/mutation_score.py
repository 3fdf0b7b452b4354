"""How many small changes of the reference the suite notices: ``python -m sdpo_ref.selftest.mutation_score FILE...``.

Each change is loaded as an implementation of its own and given to the checks, until one fails. Which of the rest the
unit tests notice is asked with ``--tests``: they run once for each, against the altered file.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sdpo_ref.mutants.mutant import Mutant
from sdpo_ref.mutants.plant import Planted
from sdpo_ref.selftest import worker
from sdpo_ref.selftest.findings import Finding
from sdpo_ref.selftest.mutations import Variant, variants
from sdpo_ref.selftest.targets import Target

PROFILES = ("paper", "trl-sdpo")
"""Between them they reach every option of the losses that some published variant has."""


def score(file: str, *, tests: Sequence[str] = (), share: tuple[int, int] = (0, 1)) -> tuple[int, list[Variant]]:
    """Run every change of a file.

    Args:
        file: below ``sdpo_ref``.
        tests: test files that are asked about what the suite does not notice.
        share: every ``share[1]``-th change, starting at ``share[0]``.

    Returns:
        How many changes were made, and those that nothing noticed.
    """
    numbers = list(range(len(variants(file))))[share[0] :: share[1]]
    left = numbers
    for profile in PROFILES:
        left = _unseen(file, left, profile)
    left = [number for number in left if not (tests and _noticed(file, number, tests))]
    return len(numbers), [variants(file)[number] for number in left]


def _unseen(file: str, numbers: Sequence[int], profile: str) -> list[int]:
    """Changes that no check of the suite notices under a profile."""
    parts = Planted(file, "", "").parts
    mutant = Mutant("", "", "", "", "", "", (), lambda: None, parts)
    address = f"sdpo_ref.selftest.mutations:make,file={file},profile={profile}"
    unseen: list[int] = []

    def report(finding: Finding) -> None:
        if not finding.failed and not finding.broken:
            unseen.append(int(finding.name))

    targets = [Target(str(number), f"{address},number={number}", mutant) for number in numbers]
    worker.run(targets, report, first_only=True)
    return unseen


def _noticed(file: str, number: int, tests: Sequence[str]) -> bool:
    """Whether unit tests fail with one change planted into the loaded package."""
    # jaxtyping's checks want to be there before the package is; without them the tests still decide
    own = ["-o", "addopts=--import-mode=importlib", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    options = ["-q", "-x", "-p", "no:cacheprovider", "--no-header", *own, *tests]
    planted = f"from sdpo_ref.selftest.mutation_score import plant; plant({file!r}, {number})"
    ended = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", f"{planted}; import pytest; raise SystemExit(pytest.main({options!r}))"],
        capture_output=True,
        check=False,
    )
    return ended.returncode != 0


def plant(file: str, number: int) -> None:
    """Exchange the source of a file for this process, before it is imported by tests.

    Args:
        file: below ``sdpo_ref``.
        number: which change.
    """
    from sdpo_ref.mutants import plant as planting

    planting.alter_for_good(file, variants(file)[number].source)


def main() -> None:
    """Print the score of each file and what was not noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", help="below sdpo_ref, such as functional/divergence.py")
    parser.add_argument("--tests", nargs="*", default=[], help="test files to ask about what the suite does not notice")
    parser.add_argument("--share", default="0/1", help="every n-th change: 0/2 in one process, 1/2 in another")
    arguments = parser.parse_args()
    first, step = map(int, arguments.share.split("/"))
    for file in arguments.files:
        made, left = score(file, tests=arguments.tests, share=(first, step))
        sys.stdout.write(f"{file}: {made - len(left)} of {made} noticed\n")
        for it in left:
            sys.stdout.write(f"  {Path(file).name}:{it.line}: {it.before}  ->  {it.after}\n")


if __name__ == "__main__":
    main()
