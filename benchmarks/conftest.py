"""Options, fixtures, and the table of goals at the end."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.machine import machine
from benchmarks.record import Results
from benchmarks.sizes import SIZES, Sizes
from benchmarks.table import detail_lines, measured_table, race_tables

_RESULTS = pytest.StashKey[Results]()

Record = Callable[..., None]
"""Keeps a number: ``record(goal, measure, value, **details)``."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """How large, and where to."""
    group = parser.getgroup("sdpo-ref benchmarks")
    group.addoption("--size", choices=sorted(SIZES), default="full", help="'tiny' tries the benchmarks out in seconds")
    group.addoption("--results", type=Path, default=Path(".benchmarks/results.json"), help="file to write, JSON")


def pytest_configure(config: pytest.Config) -> None:
    """One thread; the machine is described before it is busy."""
    torch.set_num_threads(1)
    config.stash[_RESULTS] = Results(size=config.getoption("--size"), machine=machine())


def pytest_benchmark_update_machine_info(machine_info: dict[str, object]) -> None:
    """Pytest-benchmark's own file, if it is asked for, names no host either."""
    machine_info.pop("node", None)


@pytest.fixture
def sizes(pytestconfig: pytest.Config) -> Sizes:
    """How large the problems are."""
    return SIZES[pytestconfig.getoption("--size")]


@pytest.fixture
def results(pytestconfig: pytest.Config) -> Results:
    """What this session has found so far."""
    return pytestconfig.stash[_RESULTS]


@pytest.fixture
def record(request: pytest.FixtureRequest, results: Results) -> Record:
    """Keeps a number of one of the goals that the benchmark names."""
    marker = request.node.get_closest_marker("goal")
    named = marker.args if marker else ()

    def keep(goal: str, measure: str, value: float, **details: float) -> None:
        assert goal in named, f"the benchmark names {named} and records {goal}"
        results.add(goal, measure, value, **details)

    return keep


@pytest.fixture(autouse=True)
def _quiet_peers() -> Iterator[None]:
    """A peer's deprecation is no news about us."""
    with warnings.catch_warnings(action="ignore"):
        yield


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print must, stretch and measured for each goal, then every contestant; save it all."""
    results = config.stash[_RESULTS]
    if not (results.measurements or results.races):
        return
    path: Path = config.getoption("--results")
    results.save(path)
    terminalreporter.section("goals")
    if results.size != "full":
        terminalreporter.write_line(f"size {results.size!r}: the numbers mean nothing")
    terminalreporter.write_line(measured_table(results))
    for table in race_tables(results):
        terminalreporter.write_line("\n" + table)
    terminalreporter.write_line("\n" + detail_lines(results))
    for name, why in results.skipped.items():
        terminalreporter.write_line(f"\nskipped: {name}: {why}")
    terminalreporter.write_line(f"\nwritten to {path}")
