"""One call, several implementations: which one computes a batch, that all agree, and what is refused and why."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from sdpo_ref import FULL, HiddenBatch, Support, hybrid_loss, sdft_loss, sdpo_loss, sdpo_token_losses
from sdpo_ref.errors import InvalidInputError, UnsupportedError
from sdpo_ref.losses import dispatch, reference, sdft
from sdpo_ref.losses.dispatch import IMPLEMENTATIONS, Impl, choose
from sdpo_ref.losses.options import LossOptions
from tests.losses.equality import VARIANTS, Batch, answers, errors, in_float64
from tests.losses.problems import Shape, hidden_batch, logit_batch, token_weights

RUNNING = ("reference", *(variant.name for variant in VARIANTS))
"""The implementations that run here."""

REVERSE = LossOptions(alpha=1.0)
BATCHES = {"hidden states": hidden_batch, "logits": logit_batch}

each_implementation = pytest.mark.parametrize("impl", RUNNING)
each_kind = pytest.mark.parametrize("make", BATCHES.values(), ids=BATCHES)


def test_every_implementation_has_a_name() -> None:
    """The names that a caller may write are those of the implementations, and ``auto``."""
    assert set(get_args(Impl)) == {"auto", *IMPLEMENTATIONS}


@each_implementation
@each_kind
@pytest.mark.parametrize("support", [FULL, Support("top_k_tail", 3)], ids=str)
def test_every_implementation_takes_both_kinds_of_batch(impl: Impl, make: Any, support: Support) -> None:
    """Loss and gradients by name are those of the reference in float64, up to the rounding of float32."""
    batch: Batch = make(Shape(bias=True), dtype=torch.float32)
    options: dict[str, Any] = {"alpha": 0.3, "support": support, "temperature": 0.7, "ratio_cap": 1.5}
    weights = token_weights(batch)
    truth = answers(reference.sdpo_loss, in_float64(batch), token_weights=weights, **options)
    found = answers(sdpo_loss, batch, token_weights=weights.float(), impl=impl, **options)
    assert max(errors(found, truth).values()) < 1e-5


@each_implementation
@each_kind
def test_losses_of_tokens_by_every_implementation(impl: Impl, make: Any) -> None:
    """The same for the losses of single tokens, each with an upstream factor of its own."""
    batch: Batch = make(Shape(), dtype=torch.float32)
    upstream = torch.linspace(-1.0, 2.0, batch.completions.numel()).reshape(batch.completions.shape)

    def weighted(losses: Tensor) -> Tensor:
        return (losses * upstream.to(losses)).sum()

    truth = answers(lambda each: weighted(reference.sdpo_token_losses(each, alpha=0.5)), in_float64(batch))
    found = answers(lambda each: weighted(sdpo_token_losses(each, alpha=0.5, impl=impl)), batch)
    assert max(errors(found, truth).values()) < 1e-5


@each_implementation
@each_kind
def test_sdft_by_every_implementation(impl: Impl, make: Any) -> None:
    """What is left out at the start is left out by each of them."""
    batch: Batch = make(Shape(), dtype=torch.float32)
    batch = replace(
        batch,
        self_distillation_mask=torch.ones_like(batch.self_distillation_mask),
        completion_mask=batch.loss_mask,
    )
    truth = answers(sdft.sdft_loss, in_float64(batch), skip_tokens=1)
    found = answers(sdft_loss, batch, skip_tokens=1, impl=impl)
    assert max(errors(found, truth).values()) < 1e-5


@each_implementation
@each_kind
def test_a_hybrid_of_losses_by_every_implementation(impl: Impl, make: Any) -> None:
    """The self-distillation loss is computed by the one that is named, the policy gradient from logits."""
    batch: Batch = make(Shape(), dtype=torch.float32)
    batch = replace(batch, completion_mask=batch.loss_mask)
    rewards, groups = torch.tensor([1.0, 0.0, 0.5]), torch.tensor([0, 0, 0])
    options: dict[str, Any] = {"reward_weight": 0.3, "mixing": "loss", "support": FULL}
    truth = answers(lambda each: reference.hybrid_loss(each, rewards, groups, **options), in_float64(batch))
    found = answers(lambda each: hybrid_loss(each, rewards, groups, impl=impl, **options), batch)
    assert max(errors(found, truth).values()) < 1e-5


# -- the rule of ``auto`` ----------------------------------------------------------------------------------------------


def test_auto_takes_the_reference_for_logits_that_fit() -> None:
    """The same bits as the reference, in float64 too."""
    batch = logit_batch(Shape(), dtype=torch.float64)
    assert choose("auto", batch, REVERSE, {}) == "reference"
    assert torch.equal(sdpo_loss(batch, alpha=1.0), reference.sdpo_loss(batch, alpha=1.0))


def test_auto_takes_chunks_for_hidden_states() -> None:
    """Whatever their size and dtype."""
    for dtype in (torch.float64, torch.bfloat16):
        assert choose("auto", hidden_batch(Shape(), dtype=dtype), REVERSE, {}) == "chunked"


@pytest.mark.parametrize(("dtype", "bytes_each"), [(torch.bfloat16, 4), (torch.float32, 4), (torch.float64, 8)])
def test_auto_takes_chunks_for_large_logits(
    dtype: torch.dtype, bytes_each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is on both sides in the dtype of the arithmetic: half precision is computed in float32."""
    batch = logit_batch(Shape(), dtype=dtype)
    size = 2 * bytes_each * batch.student_logits.numel()
    monkeypatch.setattr(dispatch, "LARGE_LOGITS", size)
    assert choose("auto", batch, REVERSE, {}) == "reference"
    monkeypatch.setattr(dispatch, "LARGE_LOGITS", size - 1)
    assert choose("auto", batch, REVERSE, {}) == "chunked"


class OnCuda:
    """Completions that seem to be on a GPU."""

    is_cuda = True


def test_auto_takes_no_experimental_implementation(monkeypatch: pytest.MonkeyPatch) -> None:
    """On CUDA it would be the fused one; while that is experimental it has to be named."""
    batch = hidden_batch(Shape(), dtype=torch.float32)
    object.__setattr__(batch, "completions", OnCuda())
    monkeypatch.setattr(dispatch, "obstacle", lambda *_: None)
    assert choose("auto", batch, REVERSE, {}) == "chunked"
    assert choose("fused", batch, REVERSE, {}) == "fused"
    monkeypatch.setattr(dispatch, "EXPERIMENTAL", frozenset())
    assert choose("auto", batch, REVERSE, {}) == "fused"


def test_auto_never_interprets_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under Triton's interpreter the fused loss runs on a CPU, for tests; it is never the default."""
    monkeypatch.setattr(dispatch, "EXPERIMENTAL", frozenset())
    assert choose("auto", hidden_batch(Shape(), dtype=torch.float32), REVERSE, {}) == "chunked"


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_float64_by_the_fused_implementation() -> None:
    """The message names what was asked for, why it cannot be done, and the two that can."""
    message = (
        r"impl='fused' cannot compute .* student's side is torch\.float64, .*; use impl='reference' or impl='chunked'"
    )
    with pytest.raises(UnsupportedError, match=message):
        sdpo_loss(hidden_batch(Shape(), dtype=torch.float64), alpha=1.0, impl="fused")


def test_too_many_cells_for_the_fused_implementation() -> None:
    """A support of 8192 tokens."""
    with pytest.raises(UnsupportedError, match=r"k=8192, .* k < 8192; use impl='reference' or impl='chunked'"):
        sdpo_loss(
            hidden_batch(Shape(), dtype=torch.float32), alpha=1.0, support=Support("top_k_tail", 8192), impl="fused"
        )


@pytest.mark.parametrize("impl", get_args(Impl))
def test_a_dtype_that_none_computes(impl: Impl) -> None:
    """Eight-bit floats: each implementation is named with its reason."""
    batch = logit_batch(Shape(), dtype=torch.float32)
    batch = replace(batch, teacher_logits=batch.teacher_logits.to(torch.float8_e4m3fn))
    with pytest.raises(UnsupportedError) as refused:
        sdpo_loss(batch, alpha=1.0, impl=impl)
    for name in IMPLEMENTATIONS:
        assert f"impl={name!r}" in str(refused.value)
    assert "teacher's side is torch.float8_e4m3fn" in str(refused.value)
    assert "; use impl" not in str(refused.value)


@pytest.mark.parametrize("impl", ["auto", "reference", "chunked"])
@pytest.mark.parametrize("knob", ["chunk_bytes", "counted_tokens"])
def test_an_argument_of_another_implementation(impl: Impl, knob: str) -> None:
    """It is never ignored in silence; the message names the implementations that take it."""
    if (impl, knob) == ("chunked", "chunk_bytes"):
        return
    arguments: dict[str, Any] = {"alpha": 1.0, "impl": impl, knob: 4096}
    for loss in (sdpo_loss, sdpo_token_losses):
        with pytest.raises(InvalidInputError, match=rf"{knob}=4096 with impl='{impl}'.*impl='fused'"):
            loss(logit_batch(Shape()), **arguments)


def test_a_name_that_is_no_implementation() -> None:
    """The allowed names are listed; in a process of its own, where no run-time type check comes before it."""
    code = (
        "import torch\n"
        "from sdpo_ref import DistillationBatch, sdpo_loss\n"
        "even, mask = torch.zeros(1, 1, 2), torch.ones(1, 1, dtype=torch.bool)\n"
        "batch = DistillationBatch(even, even, torch.zeros(1, 1).long(), mask, mask[0])\n"
        "sdpo_loss(batch, alpha=1.0, impl='naive')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "impl is 'naive'; allowed are 'auto', 'reference', 'chunked' and 'fused'" in done.stderr


@pytest.mark.parametrize("impl", ["chunked", "fused"])
def test_advantages_are_mixed_by_the_reference_only(impl: Impl) -> None:
    """Where another one is asked for it is refused: it would have nothing to compute."""
    batch = logit_batch(Shape(), dtype=torch.float32)
    with pytest.raises(UnsupportedError, match=rf"impl='{impl}' does not mix advantages.*mixing='loss'"):
        hybrid_loss(batch, torch.ones(3), torch.zeros(3).long(), reward_weight=0.5, impl=impl)


def test_the_reference_takes_hidden_states_itself() -> None:
    """Where a trainer calls it directly, too: all its functions project, with gradient to the student's head."""
    batch = hidden_batch(Shape(bias=True), dtype=torch.float64)
    assert isinstance(batch, HiddenBatch)
    batch = replace(batch, completion_mask=batch.loss_mask)
    rewards, groups = torch.tensor([1.0, 0.0, 0.5]), torch.tensor([0, 0, 0])
    losses: tuple[Callable[[Batch], Tensor], ...] = (
        lambda each: reference.sdpo_loss(each, alpha=0.5),
        lambda each: reference.policy_gradient_loss(each, torch.ones(3, 5, dtype=torch.float64)),
        lambda each: reference.hybrid_loss(each, rewards, groups, reward_weight=0.4),
    )
    for loss in losses:
        found = answers(loss, batch)
        assert set(found) == {"value", "student_hidden", "student_head.weight", "student_head.bias"}
        torch.testing.assert_close(found["value"], loss(batch.project()).detach(), rtol=1e-14, atol=0.0)
        assert bool(found["student_head.weight"].any())
