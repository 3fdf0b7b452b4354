"""What many runs of the simulator cost as one program, and that they are the same runs."""

import statistics
from collections.abc import Sequence
from dataclasses import astuple
from functools import partial

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Record
from benchmarks.floor import copy_rate, floor_of, product_rate
from benchmarks.record import Cost, Race, Results
from benchmarks.runs import DEFAULT, TABULAR, Training, timed_batch
from benchmarks.sizes import Sizes
from benchmarks.tabular import seconds, tilts, train_one, train_together
from sdpo_ref.errors import DivergedError
from sdpo_ref.simulation.measure import Measurement

SWEEP_RUN_STEPS = 2000 * 1000
CORES = 2


@pytest.mark.goal("S1", "S2", "S7")
def test_tables(benchmark: BenchmarkFixture, sizes: Sizes, results: Results, record: Record) -> None:
    """A training step by itself: tables of logits, closed-form gradients and Adam, as one program and one by one."""
    fewest = sizes.runs[0]
    tilt = tilts(max(sizes.runs))

    def measure() -> tuple[list[float], dict[int, list[float]]]:
        alone: list[float] = []
        together: dict[int, list[float]] = {runs: [] for runs in sizes.runs}
        for _ in range(sizes.rounds):
            alone.append(seconds(lambda: train_one(tilt[0], sizes.loop_steps)) / sizes.loop_steps)
            for runs, times in together.items():
                steps = max(2, sizes.run_steps // runs)
                part = tilt[:runs]
                times.append(seconds(partial(train_together, part, steps)) / steps / runs)
        return alone, together

    alone, together = benchmark.pedantic(measure, rounds=1)
    one, both = train_one(tilt[0], sizes.loop_steps), train_together(tilt[:2], sizes.loop_steps)
    assert torch.allclose(one.softmax(-1), both[0].softmax(-1), atol=1e-4)
    record("S1", "speed-up", min(alone) / min(together[fewest]))
    dearest = max(min(times) for times in together.values())
    found = {f"{runs} runs": 1e6 * min(times) for runs, times in together.items()}
    record("S2", "a run-step at its dearest", 1e6 * dearest, **found)
    record("S2", "dearest / cheapest over the numbers of runs", dearest / min(min(each) for each in together.values()))
    record("S7", "the sweep", min(together[sizes.runs[1]]) * SWEEP_RUN_STEPS / CORES)
    costs = [Cost("one after another", seconds=min(alone), median_seconds=statistics.median(alone))]
    costs += [
        Cost(f"{runs} as one program", seconds=min(times), median_seconds=statistics.median(times))
        for runs, times in together.items()
    ]
    results.races.append(Race("A run-step of tables of logits, 16 contexts x 32 actions, one thread", costs))


def test_a_run_step_of_the_study(benchmark: BenchmarkFixture, sizes: Sizes, results: Results) -> None:
    """SDPO with sampling, oracle, reader and Adam, as one program and one by one; against its floor where that counts.

    The floor is what :mod:`benchmarks.floor` counts, at the rates of bare products and copies in this process.
    """
    number = sizes.runs[0]
    for name, world in (("default world, 16 x 8 x 32", DEFAULT), ("tabular world, 16 x 1 x 32", TABULAR)):
        training = Training(world, sizes.loop_steps)
        together = training.together(number)
        times = [
            (
                statistics.mean(training.alone(seed)[0] for seed in range(sizes.loop_runs)),
                timed_batch(together)[0] / number,
            )
            for _ in range(sizes.rounds)
        ]
        one_by_one, as_one = zip(*times, strict=True)
        results.races.append(
            Race(
                f"A run-step of SDPO in the {name}, 8 rollouts, Bayesian reader, one thread",
                [
                    _cost("one after another", one_by_one, sizes.loop_steps),
                    _cost(f"{number} as one program", as_one, sizes.loop_steps),
                ],
            )
        )
        rates = {"operations_a_second": product_rate(training.settings, runs=number), "bytes_a_second": copy_rate()}
        floor = floor_of(training.settings).seconds(**rates)
        microseconds = 1e6 * min(as_one) / sizes.loop_steps
        results.checks |= {
            f"run-step, {name}, microseconds": microseconds,
            f"run-step, {name}, floor in microseconds": 1e6 * floor,
            f"run-step, {name}, cost / floor": microseconds / (1e6 * floor),
            f"run-step, {name}, one after another / as one program": min(one_by_one) / min(as_one),
        }
    benchmark.pedantic(lambda: timed_batch(together), rounds=1)


@pytest.mark.goal("S4")
def test_company(benchmark: BenchmarkFixture, sizes: Sizes, record: Record) -> None:
    """A run in a batch is the run alone, and the run of the clear simulator, in every measurement and weight."""
    training = Training(DEFAULT, sizes.loop_steps)
    runs = training.together(4)
    _, many = benchmark.pedantic(lambda: timed_batch(runs), rounds=1)
    _, one = timed_batch(runs[:1])
    _, clear = training.alone(seed=0)
    with_company = _largest_difference(_curve(many.curves[0]), _curve(one.curves[0]))
    with_reference = _largest_difference(_curve(many.curves[0]), clear)
    assert with_reference < 1e-9, with_reference
    record("S4", "largest difference", with_company, from_the_clear_simulator=with_reference)


def _cost(name: str, seconds_a_run: Sequence[float], steps: int) -> Cost:
    return Cost(name, seconds=min(seconds_a_run) / steps, median_seconds=statistics.median(seconds_a_run) / steps)


def _curve(found: list[Measurement] | DivergedError) -> list[Measurement]:
    assert not isinstance(found, DivergedError), found
    return found


def _largest_difference(left: list[Measurement], right: list[Measurement]) -> float:
    tables = [torch.tensor([astuple(at) for at in curve], dtype=torch.float64) for curve in (left, right)]
    return float((tables[0] - tables[1]).abs().max())
