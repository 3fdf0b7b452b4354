"""What the optimised losses refuse, each with the name of what is wrong and what to do instead."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from sdpo_ref.errors import InvalidInputError, UnsupportedError
from sdpo_ref.losses import reference
from sdpo_ref.types import DistillationBatch, HiddenBatch, Support
from tests.losses.equality import EACH, VARIANTS, Variant
from tests.losses.problems import Shape, hidden_batch, logit_batch

each_variant = pytest.mark.parametrize("variant", EACH, ids=str)

OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "alpha above one": ({"alpha": 1.5}, r"\[0, 1\].*1\.5"),
    "alpha not a number": ({"alpha": float("nan")}, "nan"),
    "temperature zero": ({"temperature": 0.0}, "positive"),
    "ratio cap negative": ({"ratio_cap": -1.0}, "None turns"),
    "sampled token with another alpha": ({"support": Support("sampled_token"), "alpha": 0.5}, "reverse KL"),
}


@each_variant
@pytest.mark.parametrize("case", OPTIONS)
@pytest.mark.parametrize("counted", [True, False])
def test_options(variant: Variant, case: str, *, counted: bool) -> None:
    """Refused as the reference refuses them, by both functions, also where nothing counts."""
    options, message = OPTIONS[case]
    batch = logit_batch(Shape(), dtype=variant.dtypes[0])
    batch = replace(batch, completion_mask=batch.completion_mask & counted)
    for module in (variant, reference):
        for loss in (module.sdpo_loss, module.sdpo_token_losses):
            with pytest.raises(InvalidInputError, match=message):
                loss(batch, **{"alpha": 1.0, **options})


@each_variant
def test_cap_without_behaviour(variant: Variant) -> None:
    """Who is on-policy says so."""
    batch = replace(hidden_batch(Shape(), dtype=variant.dtypes[0]), behaviour_log_probs=None)
    with pytest.raises(InvalidInputError, match="ratio_cap=None"):
        variant.sdpo_loss(batch, alpha=1.0, ratio_cap=2.0)


@each_variant
@pytest.mark.parametrize("make", [hidden_batch, logit_batch])
@pytest.mark.parametrize("chunk_bytes", [0, -1, 103])
def test_budget_that_holds_no_token(
    variant: Variant, make: Callable[..., DistillationBatch | HiddenBatch], chunk_bytes: int
) -> None:
    """The message names the budget that would do, and that budget does."""
    batch = make(Shape(vocab=13), dtype=torch.float32)
    for loss in (variant.sdpo_loss, variant.sdpo_token_losses):
        with pytest.raises(InvalidInputError, match=rf"chunk_bytes={chunk_bytes} .* 104 bytes"):
            loss(batch, alpha=1.0, chunk_bytes=chunk_bytes)
        assert loss(batch, alpha=1.0, chunk_bytes=104).isfinite().all()


@each_variant
def test_weights_of_another_shape(variant: Variant) -> None:
    """One weight a row would broadcast in silence."""
    batch = hidden_batch(Shape(), dtype=variant.dtypes[0])
    with pytest.raises(Exception, match=r"token_weights has shape \(3, 1\).*\(3, 5\)|Type-check"):
        variant.sdpo_loss(batch, alpha=1.0, token_weights=torch.ones(3, 1))


@each_variant
def test_dtype_that_is_not_taken(variant: Variant) -> None:
    """Eight-bit floats have no arithmetic on a CPU; the message says what is taken."""
    batch = logit_batch(Shape(), dtype=torch.float32)
    batch = replace(batch, teacher_logits=batch.teacher_logits.to(torch.float8_e4m3fn))
    with pytest.raises(UnsupportedError, match=r"teacher's side is torch.float8_e4m3fn.*bfloat16"):
        variant.sdpo_loss(batch, alpha=1.0)


def test_sides_on_two_devices() -> None:
    """Named before anything is computed; ``meta`` is the second device."""
    batch = logit_batch(Shape(), dtype=torch.float32)
    batch = replace(batch, teacher_logits=batch.teacher_logits.to("meta"))
    with pytest.raises(InvalidInputError, match="the teacher's side is on meta and the student's side on cpu"):
        VARIANTS[0].sdpo_loss(batch, alpha=1.0)


@each_variant
def test_row_without_mass_on_the_others_head(variant: Variant) -> None:
    """It cannot be renormalised: the message is the reference's, or NaN from the loss that never waits to look."""
    student, teacher = torch.tensor([[[2.0, 1.0, 0.0]]]), torch.tensor([[[-torch.inf, -torch.inf, 0.0]]])
    mask = torch.tensor([[True]])
    batch = DistillationBatch(student, teacher, mask.long(), mask, mask[0])
    support = Support("top_k_renormalized", 2)
    if variant.name == "fused":
        assert bool(variant.sdpo_loss(batch, alpha=1.0, support=support).isnan())
        return
    with pytest.raises(InvalidInputError, match="top_k_tail"):
        variant.sdpo_loss(batch, alpha=1.0, support=support)
