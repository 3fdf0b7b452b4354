"""The options of the loss: one place where they are valid, with the refusals and messages of the equations."""

from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpo_ref import FULL, SAMPLED_TOKEN, Support, sdpo_loss
from sdpo_ref.errors import InvalidInputError
from sdpo_ref.losses import reference
from sdpo_ref.losses.options import LossOptions, require_one_weight_per_token
from sdpo_ref.types import Aggregation, TopKFrom
from tests.losses.problems import Shape, logit_batch

NUMBERS = st.one_of(
    st.floats(-3.0, 3.0), st.sampled_from([0.0, 1.0, -0.0, float("inf"), float("-inf"), float("nan"), 1e-300])
)
BATCH = logit_batch(Shape(rollout=1, time=2, vocab=5))


def refusal(call: Any) -> str | None:
    """The message of an InvalidInputError; ``None`` if there is none."""
    try:
        call()
    except InvalidInputError as refused:
        return str(refused)
    return None


@settings(max_examples=200)
@given(
    alpha=NUMBERS,
    temperature=NUMBERS,
    ratio_cap=st.none() | NUMBERS,
    support=st.sampled_from([FULL, SAMPLED_TOKEN, Support("top_k_tail", 2), Support("top_k_renormalized", 7)]),
)
def test_valid_options_are_those_that_the_reference_computes(
    alpha: float, temperature: float, ratio_cap: float | None, support: Support
) -> None:
    """What is refused is what the equations refuse, with their message."""
    options: dict[str, Any] = {
        "alpha": alpha,
        "temperature": temperature,
        "ratio_cap": ratio_cap,
        "support": support,
    }
    expected = refusal(lambda: reference.sdpo_token_losses(BATCH, **options))
    assert refusal(lambda: LossOptions(**options)) == expected
    assert refusal(lambda: sdpo_loss(BATCH, **options)) == expected


@pytest.mark.parametrize(
    ("option", "allowed"), [("top_k_from", get_args(TopKFrom)), ("aggregation", get_args(Aggregation))]
)
def test_words_that_are_no_option(option: str, allowed: tuple[str, ...]) -> None:
    """A typing error is not taken for the last of the alternatives in silence; the message lists them."""
    options = LossOptions(alpha=1.0)
    for word in allowed:
        object.__setattr__(options, option, word)
        options.__post_init__()
    object.__setattr__(options, option, "studnet")
    with pytest.raises(InvalidInputError, match=rf"{option} is 'studnet'; allowed are '{allowed[0]}', "):
        options.__post_init__()


def test_a_cap_needs_behaviour() -> None:
    """The same message from the options and from the reference (LOSS-043)."""
    batch = replace(BATCH, behaviour_log_probs=None)
    options = LossOptions(alpha=1.0, ratio_cap=2.0)
    expected = refusal(lambda: reference.sdpo_loss(batch, alpha=1.0, ratio_cap=2.0))
    assert expected is not None
    assert "ratio_cap=None" in expected
    assert refusal(lambda: options.require_fit(batch)) == expected
    assert refusal(lambda: LossOptions(alpha=1.0).require_fit(batch)) is None


def test_weights_of_another_shape() -> None:
    """One weight for each row would be broadcast."""
    with pytest.raises(InvalidInputError, match=r"token_weights has shape \(1, 1\), allowed .* \(1, 2\); expand it"):
        require_one_weight_per_token(torch.ones(1, 1), BATCH)


@pytest.mark.parametrize(
    "name", ["teacher_logits", "completions", "completion_mask", "self_distillation_mask", "behaviour_log_probs"]
)
def test_tensors_on_two_devices(name: str) -> None:
    """Named before anything is computed; ``meta`` is another device that every machine has."""
    batch = replace(BATCH)
    object.__setattr__(batch, name, getattr(BATCH, name).to("meta"))
    shown = "the teacher's side" if name == "teacher_logits" else name
    with pytest.raises(InvalidInputError, match=f"{shown} is on meta and the student's side on cpu"):
        sdpo_loss(batch, alpha=1.0)
    with pytest.raises(InvalidInputError, match="token_weights is on meta"):
        sdpo_loss(BATCH, alpha=1.0, token_weights=torch.ones(1, 2, device="meta"))
