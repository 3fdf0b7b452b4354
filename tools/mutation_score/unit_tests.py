"""Which small changes of a file its unit tests notice: pytest in a process of its own, around the altered file."""

import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from sdpo_ref.mutants.plant import alter_for_good
from tools.mutation_score.mutations import source_of

LIMIT = 120
"""Seconds of computing after which a change has hung a test."""

_OPTIONS = (
    "--quiet",
    "--exitfirst",
    "--no-header",
    "-pno:cacheprovider",
    # jaxtyping's checks want to be there before the package is; without them the tests still decide
    "--override-ini=addopts=--import-mode=importlib",
    "-Wignore::pytest.PytestAssertRewriteWarning",
)


def noticed_by_tests(file: str, number: int, tests: Sequence[str]) -> bool:
    """Whether a unit test fails with one change planted.

    Args:
        file: below ``sdpo_ref``.
        number: which change; or that of the file as it stands, at which tests must pass.
        tests: files and folders of tests; those of the folder that mirrors the file run first.

    Returns:
        Whether pytest ended with anything but success.
    """
    source = source_of(file, number)
    folder = Path(file).parts[0]
    nearest = sorted(tests, key=lambda it: folder not in Path(it).parts)
    child = os.fork()
    if child == 0:
        _end_with_tests(file, source, nearest)
    _, status = os.waitpid(child, 0)
    sys.stderr.write(f"{file} {number}: {'a' if status else 'no'} unit test notices\n")
    return status != 0


def _end_with_tests(file: str, source: str, tests: Sequence[str]) -> None:
    """Run tests in silence, and end the process with their outcome."""
    outcome = 1
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        alter_for_good(file, source)
        for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
            del sys.modules[name]  # a test that was imported before holds what it imported
        outcome = int(pytest.main([*_OPTIONS, *tests]))
    finally:
        os._exit(outcome)
