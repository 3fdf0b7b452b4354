"""S5 and S6: tables of very many runs on the device, and a step that is captured against one that is launched."""

from collections.abc import Callable

import torch

from benchmarks.gpu.device import elapsed, synchronize
from benchmarks.gpu.work import Work
from benchmarks.tabular import RATE, step_of, tilts
from sdpo_ref.errors import UnsupportedError
from sdpo_ref.simulation.batched.student import Adam


def run_steps(work: Work) -> None:
    """S5: what a step costs one of very many tabular runs."""
    step = _step(work, work.sizes.runs)
    step()
    synchronize(work)
    value = elapsed(lambda: _again(step, work.sizes.steps), work) / work.sizes.steps / work.sizes.runs
    work.add("S5", "a run-step", value * 1e9, of_all_runs_ms=value * work.sizes.runs * 1e3)


def captured_step(work: Work) -> None:
    """S6: the same step of few runs, captured once and replayed, against launching it again and again."""
    if work.sizes.device == "cpu":
        raise UnsupportedError("a step is captured in a CUDA graph, received the device cpu; run this item on CUDA")
    step = _step(work, 64)
    for _ in range(3):
        step()
    synchronize(work)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def seconds(launch: Callable[[], None]) -> float:
        launch()
        synchronize(work)
        return elapsed(lambda: _again(launch, work.sizes.steps), work) / work.sizes.steps

    eager, replayed = seconds(step), seconds(graph.replay)
    work.add("S6", "speed-up", eager / replayed, eager_us=1e6 * eager, replayed_us=1e6 * replayed)


def _step(work: Work, runs: int) -> Callable[[], None]:
    tilt = tilts(runs, device=work.sizes.device)
    table = torch.zeros_like(tilt)
    return step_of(table, tilt, Adam([table], torch.full_like(tilt[:, 0, 0], RATE)))


def _again(step: Callable[[], None], times: int) -> None:
    for _ in range(times):
        step()
