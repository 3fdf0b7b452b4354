"""Words of published code: each has a name of ours that exists, the specification shows them, and errors say them."""

import re
from inspect import signature, unwrap
from pathlib import Path
from typing import get_args

import pytest
import torch

from sdpo_ref import sdpo_loss
from sdpo_ref.errors import InvalidInputError, UsageError
from sdpo_ref.protocols.profile import ContextRules, Profile, resolve_profile
from sdpo_ref.protocols.words import WORDS, nearest, table
from sdpo_ref.types import Aggregation, DistillationBatch, SupportKind
from sdpo_ref.verification.suite.capabilities import declared_capabilities

NOTATION = Path(__file__).parents[2] / "spec" / "00-notation.md"


def test_the_specification_shows_the_table() -> None:
    """Words are written down once; the chapter holds what the code renders."""
    assert table() in NOTATION.read_text(encoding="utf-8")


def test_each_of_our_words_exists() -> None:
    """It is a field, an option, a value of one, or a symbol of the specification."""
    symbols = re.findall(r"`(\w+)`", NOTATION.read_text(encoding="utf-8").partition("## Words")[0])
    options = {"frozen", "skip_tokens", "group_ids", *signature(sdpo_loss).parameters}
    fields = {*Profile.model_fields, *ContextRules.model_fields}
    ours = {*symbols, *options, *fields, *get_args(Aggregation), *get_args(SupportKind)}
    assert {word.ours for word in WORDS if word.ours} <= ours


def test_no_word_is_there_twice_and_none_is_ours() -> None:
    """A word means one thing, and a word of ours needs no translation."""
    theirs = [word.theirs for word in WORDS]
    assert len(theirs) == len(set(theirs))
    assert not {word.theirs for word in WORDS} & {word.ours for word in WORDS}


def test_a_word_without_a_counterpart_says_why() -> None:
    """The share of sampled batches is no coefficient of the divergence."""
    assert "has no counterpart here: the share of batches" in nearest("lmbda", ["alpha"])


def test_what_is_no_word_has_no_hint() -> None:
    """A number is refused without one."""
    assert nearest(3, ["alpha"]) == ""


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ({"aggregation": "seq-mean-token-sum"}, r"'seq-mean-token-sum' \(verl, lasgroup\) is 'row_sum' here"),
        ({"loss_agg_mode": "token-mean"}, r"'loss_agg_mode' \(verl, lasgroup\) is 'aggregation' here"),
        ({"agregation": "token_mean"}, "the nearest is 'aggregation'"),
        ("trl_sdpo", "the nearest is 'trl-sdpo'"),
        ({"alphas": "every"}, "allowed are 'all'"),
    ],
)
def test_a_profile_says_what_it_is_called_here(profile: str | dict[str, object], said: str) -> None:
    """Fields, values and names."""
    with pytest.raises(UsageError, match=said):
        resolve_profile(profile)


def test_a_capability_says_the_nearest() -> None:
    """The part is right and the option is not."""
    implementation = type("Theirs", (), {"loss": print, "capabilities": ["loss.top_k"]})()
    with pytest.raises(UsageError, match=r"the nearest is 'loss\.top_k_tail'"):
        declared_capabilities(implementation)


def test_the_loss_says_what_it_is_called_here() -> None:
    """The word of verl's configuration leads to ours."""
    logits, mask = torch.zeros(1, 1, 2), torch.tensor([[True]])
    batch = DistillationBatch(logits, logits, torch.tensor([[0]]), mask, mask[0])
    words = {"aggregation": "seq-mean-token-mean"}
    with pytest.raises(InvalidInputError, match=r"'row_sum', 'time_normalized_sum'; 'seq-mean-token-mean' \(verl"):
        unwrap(sdpo_loss)(batch, alpha=1.0, **words)  # without the tests' check of types, which is first
