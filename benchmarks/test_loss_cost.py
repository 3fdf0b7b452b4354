"""What the loss from hidden states costs on a CPU: chunked, beside what people use."""

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.accuracy import answer, errors
from benchmarks.conftest import Record
from benchmarks.contestants import (
    FOUR_PRODUCTS,
    PLAIN_TORCH,
    Contestant,
    chunked,
    compiled_plain_torch,
    four_products,
    of_loss,
    plain_torch,
    reference,
)
from benchmarks.inputs import hidden_batch
from benchmarks.peers import Absent, liger_chunked, peers, trl_top_k
from benchmarks.race import Race
from benchmarks.record import Cost, Results
from benchmarks.record import Race as Table
from benchmarks.sizes import Sizes
from sdpo_ref.types import Support

REVERSE_KL = 1.0
CHUNKED = "chunked"


@pytest.mark.goal("C1", "C2")
def test_time_and_memory(benchmark: BenchmarkFixture, sizes: Sizes, results: Results, record: Record) -> None:
    """Reverse KL in fp32, head trained: CPU time and peak memory of every contestant; their losses agree."""
    batch = hidden_batch(sizes.cost, dtype=torch.float32)
    others, absent = _peers(sizes)
    results.skipped.update({one.name: one.why for one in absent})
    race = Race(batch, [*_contestants(sizes), four_products(batch), *others], sizes.rounds)

    costs = race.run(benchmark)

    right = answer(reference(alpha=REVERSE_KL), batch)
    off = errors(answer(chunked(alpha=REVERSE_KL), batch), right)
    assert max(off.loss, off.worst_gradient) < 1e-4, off
    for contestant in race.contestants:
        if contestant.exact:
            loss = race.first_losses[contestant.name]
            assert loss == pytest.approx(float(right.loss), rel=1e-4), contestant.name
    results.races.append(Table(f"Reverse KL from hidden states, fp32, {sizes.cost}, one thread", costs))
    _record_ratios(record, {cost.name: cost for cost in costs})


def _contestants(sizes: Sizes) -> list[Contestant]:
    top_k = Support("top_k_tail", k=sizes.top_k)
    return [
        of_loss(CHUNKED, chunked(alpha=REVERSE_KL)),
        of_loss(PLAIN_TORCH, plain_torch(alpha=REVERSE_KL)),
        of_loss("torch.compile of plain torch", compiled_plain_torch(alpha=REVERSE_KL)),
        of_loss("reference", reference(alpha=REVERSE_KL)),
        of_loss(
            f"chunked, top-{top_k.k} with tail",
            chunked(alpha=REVERSE_KL, support=top_k),
            note="another loss",
            exact=False,
        ),
    ]


def _peers(sizes: Sizes) -> tuple[list[Contestant], list[Absent]]:
    chunked_jsd, top_k = "Liger 0.8.5 chunked JSD", f"TRL 1.16 top-{sizes.top_k} with tail"
    found, absent = peers(
        {
            chunked_jsd: lambda: liger_chunked(alpha=REVERSE_KL, compiled=False, name=chunked_jsd),
            top_k: lambda: trl_top_k(alpha=REVERSE_KL, k=sizes.top_k, tail=True, name=top_k),
        }
    )
    no_gpu = Absent("Liger 0.8.5 fused JSD", "its Triton kernel needs a GPU; on a CPU the interpreter would be timed")
    return found, [*absent, no_gpu]


def _record_ratios(record: Record, costs: dict[str, Cost]) -> None:
    ours, plain, products = costs[CHUNKED], costs[PLAIN_TORCH], costs[FOUR_PRODUCTS]
    assert ours.peak_bytes is not None
    assert plain.peak_bytes is not None
    record("C1", "peak / plain torch", ours.peak_bytes / max(plain.peak_bytes, 1))
    for measure, other in (("time / plain torch", plain), ("time / G4", products)):
        assert ours.seconds is not None
        assert other.seconds is not None
        assert ours.median_seconds is not None
        assert other.median_seconds is not None
        medians = ours.median_seconds / other.median_seconds
        record("C2", measure, ours.seconds / other.seconds, of_medians=medians)
