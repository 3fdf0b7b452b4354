"""The items of the queue in their order, and how they are run: each in a process of its own, until time runs out."""

import multiprocessing
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.gpu import correctness, full_vocabulary, graphs, kernels, partial_work, simulator
from benchmarks.gpu.work import Sizes, Work
from benchmarks.machine import machine
from benchmarks.record import Results, load

_SHORTEST = 5.0
"""Seconds without which an item is not begun."""

_GRACE = 10.0
"""Seconds that an item gets beyond its budget before it is stopped: it looks at the clock between samples only."""

_PRELOADED = ("torch", "benchmarks.gpu.queue")


@dataclass(frozen=True)
class Item:
    """A piece of the queue.

    Attributes:
        name: to ask for it.
        work: what is done.
        seconds: its budget.
    """

    name: str
    work: Callable[[Work], None]
    seconds: float


ITEMS = (
    Item("truth", correctness.against_the_truth, 60),
    Item("ceilings", kernels.ceilings, 15),
    Item("reverse-kl", full_vocabulary.reverse_kl, 80),
    Item("jsd", full_vocabulary.jsd, 80),
    Item("half-precision", correctness.half_precision, 30),
    Item("graph", graphs.capture, 20),
    Item("row-kernels", kernels.row_kernels, 25),
    Item("frozen-head", partial_work.frozen_head, 25),
    Item("masked", partial_work.masked, 25),
    Item("top-k", partial_work.top_k, 40),
    Item("vocabularies", full_vocabulary.vocabularies, 40),
    Item("simulator", simulator.run_steps, 20),
    Item("captured-step", simulator.captured_step, 15),
)
"""What is most worth knowing first: the total is above eight minutes, and what does not fit is skipped by name."""


def run_all(items: Iterable[Item], sizes: Sizes, *, total_seconds: float, size: str) -> Results:
    """Run items one after another; one that fails, hangs or finds no time left is named, and the next one begins.

    Args:
        items: in order.
        sizes: of their problems.
        total_seconds: for all of them.
        size: ``full``, or ``tiny`` for a dry run.

    Returns:
        What all of them found.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    ends = time.monotonic() + total_seconds
    merged: Results | None = None
    failures: dict[str, str] = {}
    with TemporaryDirectory() as folder:
        for item in items:
            left = ends - time.monotonic()
            if left < _SHORTEST:
                failures[item.name] = "no time was left"
                continue
            path, budget = Path(folder) / f"{item.name}.json", min(item.seconds, left)
            process = context.Process(target=run_one, args=(item, sizes, path, budget, size))
            start = time.monotonic()
            process.start()
            process.join(min(budget + _GRACE, left))
            if process.is_alive():
                process.kill()
                process.join()
                failures[item.name] = f"stopped after {time.monotonic() - start:.0f} s"
            elif process.exitcode:
                failures[item.name] = f"its process ended with {process.exitcode}"
            print(f"{item.name}: {time.monotonic() - start:.1f} s", flush=True)
            if path.exists():
                merged = _merged(merged, load(path))
    results = merged or Results(size=size, machine=machine())
    results.skipped |= failures
    return results


def run_one(item: Item, sizes: Sizes, path: Path, seconds: float, size: str) -> None:
    """One item, in the process that is its own; its error becomes part of what it found."""
    import torch

    torch.manual_seed(0)
    work = Work(sizes, Results(size=size, machine=machine()), path, time.monotonic() + seconds)
    work.keep()
    start = time.monotonic()
    try:
        item.work(work)
    except Exception as error:  # noqa: BLE001  # whatever it is, the other items go on
        work.skip(item.name, described(error))
    work.check(f"seconds of item {item.name}", round(time.monotonic() - start, 1))


def described(error: BaseException) -> str:
    """An error in a line: what, and where in the code, without a path of this machine.

    Args:
        error: with its traceback.

    Returns:
        One line.
    """
    frames: Iterator[traceback.FrameSummary] = reversed(traceback.extract_tb(error.__traceback__))
    where = next((f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames), "nowhere")
    return " ".join(f"{type(error).__name__} at {where}: {error}".split())[:600]


def _merged(one: Results | None, other: Results) -> Results:
    if one is None:
        return other
    one.measurements += other.measurements
    one.races += other.races
    one.skipped |= other.skipped
    one.checks |= other.checks
    return one
