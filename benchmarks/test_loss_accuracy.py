"""How exact the chunked loss is: against the reference in float64, on the same numbers."""

from dataclasses import dataclass
from functools import partial

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.accuracy import Answer, Errors, answer, errors, truth
from benchmarks.conftest import Record
from benchmarks.contestants import Loss, chunked, plain_torch, reference
from benchmarks.inputs import Shape, hidden_batch
from benchmarks.peers import liger_chunked_loss, trl_top_k_losses
from benchmarks.record import Results
from benchmarks.sizes import Sizes
from benchmarks.tail import PEAKED, tail_error
from sdpo_ref import sdpo_loss, sdpo_token_losses
from sdpo_ref.types import HiddenBatch, Support

REVERSE_KL = 1.0


@dataclass(frozen=True)
class Problem:
    """A student at some distance from its teacher, with the truth about it."""

    batch: HiddenBatch
    right: Answer

    @staticmethod
    def of(shape: Shape, dtype: torch.dtype, gap: float) -> "Problem":
        """At a distance of the hidden states."""
        batch = hidden_batch(shape, dtype=dtype, gap=gap)
        return Problem(batch, truth(reference(alpha=REVERSE_KL), batch))

    @property
    def kl(self) -> str:
        """The distance in words."""
        return f"KL {float(self.right.loss):.2g}"

    def errors(self, loss: Loss) -> Errors:
        """How far a loss is off."""
        return errors(answer(loss, self.batch), self.right)


@pytest.mark.goal("A1")
def test_half_precision(benchmark: BenchmarkFixture, sizes: Sizes, results: Results, record: Record) -> None:
    """The gradient's error in bf16 does not grow as the student approaches its teacher; that of others does."""
    problems = [Problem.of(sizes.accuracy, torch.bfloat16, gap) for gap in sizes.gaps]
    ours = chunked(alpha=REVERSE_KL)
    found = benchmark.pedantic(lambda: {one.kl: one.errors(ours).worst_gradient for one in problems}, rounds=1)

    nearest = problems[-1]
    others = {"plain torch": plain_torch(alpha=REVERSE_KL)}
    try:
        others["Liger 0.8.5 chunked"] = liger_chunked_loss(alpha=REVERSE_KL, compiled=False)
    except ImportError as error:
        results.skipped["accuracy of Liger 0.8.5 chunked JSD"] = str(error)
    beside = {f"{name}, {nearest.kl}": nearest.errors(loss).worst_gradient for name, loss in others.items()}
    record("A1", "largest relative error", max(found.values()), **found, **beside)
    record("A1", "largest / smallest over the KLs (flat)", max(found.values()) / min(found.values()))


@pytest.mark.goal("A2")
def test_single_precision(benchmark: BenchmarkFixture, sizes: Sizes, record: Record) -> None:
    """In fp32 the loss and its gradients are right to fp32's digits, and near the teacher as far as its logits are."""
    problem, near = (Problem.of(sizes.accuracy, torch.float32, gap) for gap in (sizes.gap, sizes.gaps[-1]))
    ours, plain = chunked(alpha=REVERSE_KL), plain_torch(alpha=REVERSE_KL)
    found = benchmark.pedantic(lambda: problem.errors(ours), rounds=1)
    beside = {
        f"{name}, {one.kl}": one.errors(loss)
        for name, loss, one in (("plain torch", plain, problem), ("chunked", ours, near), ("plain torch", plain, near))
    }
    gradients = {name: off.worst_gradient for name, off in beside.items()}
    record("A2", "gradients, relative", found.worst_gradient, **gradients)
    record("A2", "loss, relative", found.loss, **{name: off.loss for name, off in beside.items()})


@pytest.mark.goal("A3")
def test_tail(benchmark: BenchmarkFixture, sizes: Sizes, results: Results, record: Record) -> None:
    """The tail's log mass is right in fp32 down to a mass of 1e-12, on the student's side and on the teacher's."""
    support, vocab = Support("top_k_tail", k=sizes.top_k), sizes.tail_vocab

    def measure() -> dict[str, float]:
        return {
            f"{peaked.side} peaked": tail_error(
                partial(
                    sdpo_token_losses,
                    alpha=peaked.alpha,
                    support=support,
                    top_k_from=peaked.top_k_from,
                    impl="chunked",
                ),
                peaked,
                vocab=vocab,
                support=support,
            )
            for peaked in PEAKED
        }

    found = benchmark.pedantic(measure, rounds=1)
    others = {}
    try:
        theirs = trl_top_k_losses(alpha=PEAKED[0].alpha, k=sizes.top_k, tail=True)
        losses = lambda batch: theirs(batch.student_logits, batch.teacher_logits)
        others["TRL 1.16, teacher peaked"] = tail_error(losses, PEAKED[0], vocab=vocab, support=support)
    except ImportError as error:
        results.skipped["accuracy of TRL 1.16's tail"] = str(error)
    record("A3", "largest error", max(found.values()), **found, **others)


@pytest.mark.goal("A4")
def test_chunks(benchmark: BenchmarkFixture, sizes: Sizes, record: Record) -> None:
    """Chunks of one token, of some and of all give the same loss and the same gradients in float64."""
    shape = Shape(min(sizes.accuracy.tokens, 24), sizes.accuracy.hidden, sizes.accuracy.vocab)
    batch = hidden_batch(shape, dtype=torch.float64)
    token_bytes = 2 * shape.vocab * torch.float64.itemsize

    def of_chunks(tokens: int) -> Loss:
        return lambda batch: sdpo_loss(batch, alpha=REVERSE_KL, chunk_bytes=tokens * token_bytes, impl="chunked")

    whole = answer(of_chunks(shape.tokens), batch)

    def measure() -> dict[str, float]:
        found = {}
        for tokens in (1, 5, shape.tokens - 1):
            off = errors(answer(of_chunks(tokens), batch), whole)
            found[f"{tokens} tokens"] = max(off.loss, off.worst_gradient)
        return found

    found = benchmark.pedantic(measure, rounds=1)
    record("A4", "loss and gradients, relative", max(found.values()), **found)
