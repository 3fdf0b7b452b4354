"""The batches that are timed, and how their memory is measured."""

import warnings

import pytest
import torch

from benchmarks.accuracy import answer, errors, truth
from benchmarks.contestants import PLAIN_TORCH, compiled_plain_torch, four_products, of_loss, plain_torch, reference
from benchmarks.inputs import ROW, Shape, clear, hidden_batch, in_float64, leaves
from benchmarks.memory import method, peak_beyond, profiled_peak
from benchmarks.peers import peers

SHAPE = Shape(tokens=8, hidden=64, vocab=500)


def test_logits_are_spread_as_promised() -> None:
    """Their standard deviation is about 3, on both sides."""
    batch = hidden_batch(Shape(tokens=64, hidden=64, vocab=500), dtype=torch.float32)
    logits = batch.project()
    assert logits.student_logits.detach().std() == pytest.approx(3.0, rel=0.1)
    assert logits.teacher_logits.std() == pytest.approx(3.0, rel=0.1)


def test_the_divergence_grows_with_the_gap() -> None:
    """Nearer teachers give smaller losses, down to below a hundredth."""
    losses = [
        float(answer(reference(alpha=1.0), hidden_batch(SHAPE, dtype=torch.float64, gap=gap)).loss)
        for gap in (0.03, 0.1, 0.3, 1.0, 1.5)
    ]
    assert losses == sorted(losses)
    assert losses[0] < 0.01
    assert losses[-1] > 2.0


def test_tokens_fall_into_rows() -> None:
    """A multiple of the row's length makes rows; any other number makes one."""
    assert hidden_batch(Shape(2 * ROW, 2, 3), dtype=torch.float32).completions.shape == (2, ROW)
    assert hidden_batch(Shape(7, 2, 3), dtype=torch.float32).completions.shape == (1, 7)


def test_a_masked_share_is_masked() -> None:
    """About as many tokens as asked for do not count, and none by default."""
    shape = Shape(tokens=4 * ROW, hidden=2, vocab=3)
    assert bool(hidden_batch(shape, dtype=torch.float32).loss_mask.all())
    share = hidden_batch(shape, dtype=torch.float32, masked=0.5).loss_mask.double().mean()
    assert share == pytest.approx(0.5, abs=0.05)


def test_a_frozen_head_gets_no_gradient() -> None:
    """It is not among the leaves, and plain torch leaves it alone."""
    batch = hidden_batch(SHAPE, dtype=torch.float32, head_trained=False)
    of_loss(PLAIN_TORCH, plain_torch(alpha=1.0)).step(batch)
    assert list(leaves(batch)) == ["student_hidden"]
    assert batch.student_head.weight.grad is None


def test_each_step_starts_without_gradients() -> None:
    """Two steps leave the gradient of one."""
    batch, contestant = hidden_batch(SHAPE, dtype=torch.float64), of_loss(PLAIN_TORCH, plain_torch(alpha=1.0))
    once = answer(plain_torch(alpha=1.0), batch).gradients
    contestant.step(batch)
    contestant.step(batch)
    for name, leaf in leaves(batch).items():
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad, once[name])


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_plain_torch_computes_the_reference(alpha: float) -> None:
    """Eager and as it is compiled (here without the compiler), value and gradients, to 1e-12 in float64."""
    batch = hidden_batch(SHAPE, dtype=torch.float64)
    right = answer(reference(alpha=alpha), batch)
    with torch.compiler.set_stance("force_eager"), warnings.catch_warnings(action="ignore"):  # its imports warn
        for loss in (plain_torch(alpha=alpha), compiled_plain_torch(alpha=alpha)):
            off = errors(answer(loss, batch), right)
            assert max(off.loss, off.worst_gradient) < 1e-12


def test_the_truth_has_the_same_numbers() -> None:
    """In float64, bit for bit those of the batch, with gradients of its own."""
    batch = hidden_batch(SHAPE, dtype=torch.bfloat16)
    precise = in_float64(batch)
    assert precise.student_hidden.dtype == torch.float64
    assert torch.equal(precise.student_head.weight.bfloat16(), batch.student_head.weight)
    assert precise.student_head is precise.teacher_head
    assert truth(reference(alpha=1.0), batch).gradients.keys() == {"student_hidden", "student_head.weight"}
    assert batch.student_hidden.grad is None


def test_errors_are_relative_and_a_missing_gradient_is_infinite() -> None:
    """Twice the truth is off by one."""
    batch = hidden_batch(SHAPE, dtype=torch.float64)
    right = answer(reference(alpha=1.0), batch)
    twice = answer(lambda batch: 2 * reference(alpha=1.0)(batch), batch)
    off = errors(twice, right)
    assert off.loss == pytest.approx(1.0)
    assert off.worst_gradient == pytest.approx(1.0)
    del twice.gradients["student_hidden"]
    assert errors(twice, right).worst_gradient == float("inf")


def test_four_products_leave_no_gradients() -> None:
    """They write into memory of their own."""
    batch = hidden_batch(SHAPE, dtype=torch.float32)
    four_products(batch).step(batch)
    assert all(leaf.grad is None for leaf in leaves(batch).values())
    clear(batch)


@pytest.mark.slow
def test_a_peak_is_what_was_alive_at_once() -> None:
    """Three tensors of 40 MB, of which two at a time: 80 MB, by each method to a few MB.

    Resident memory is the whole process's: another thread may need some meanwhile, so the smallest of five counts.
    """

    def work() -> None:
        first = torch.ones(5_000_000, dtype=torch.float64)
        second = first.exp()
        del first
        second.log()

    work()
    assert min(peak_beyond(work) for _ in range(5)) == pytest.approx(80e6, rel=0.1), method()
    assert profiled_peak(work) == pytest.approx(80e6, rel=0.01)


@pytest.mark.slow
def test_an_earlier_peak_is_forgotten() -> None:
    """What was needed before the work began does not count."""
    torch.ones(20_000_000, dtype=torch.float64).exp_()
    peaks = [peak_beyond(lambda: torch.ones(5_000_000, dtype=torch.float64)) for _ in range(5)]
    assert min(peaks) == pytest.approx(40e6, rel=0.1)


def test_a_peer_that_is_missing_is_named() -> None:
    """An import error is a reason; any other error is not swallowed."""

    def missing() -> None:
        raise ModuleNotFoundError("No module named 'liger_kernel'")

    def broken() -> None:
        raise ValueError("a fault")

    found, absent = peers({"Liger": missing})  # type: ignore[dict-item]
    assert found == []
    assert [(one.name, one.why) for one in absent] == [("Liger", "No module named 'liger_kernel'")]
    with pytest.raises(ValueError, match="a fault"):
        peers({"Liger": broken})  # type: ignore[dict-item]
