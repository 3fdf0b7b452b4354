"""The smaller parts: completion mask, low-rank average, trust region, defaults, chat."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from sdpo_ref.adapters import sdpo_rl, trl
from sdpo_ref.adapters.toys.texts import character_tokenizer, read_messages
from sdpo_ref.verification.suite.capabilities import declared_capabilities
from tests.adapters.problems import PROMPT

pytestmark = pytest.mark.peers

Factory = Callable[..., SimpleNamespace]


@pytest.mark.parametrize("factory", [trl.sdpo, trl.sdft, sdpo_rl.make])
def test_what_is_declared_is_there(factory: Factory) -> None:
    """Every declared capability is known and has its part."""
    implementation = factory()
    for capability in declared_capabilities(implementation):
        assert callable(getattr(implementation, capability.partition(".")[0]))


@pytest.mark.parametrize("factory", [trl.sdpo, trl.sdft])
def test_a_completion_ends_at_the_first_end_token(factory: Factory) -> None:
    """The first of several end tokens counts and nothing after it; the mask is as wide as the completions."""
    mask = factory().completion_mask(torch.tensor([[5, 1, 5, 5], [2, 1, 5, 5]]), end_ids={1, 2})
    assert mask.tolist() == [[True, True, False, False], [True, False, False, False]]


@pytest.mark.parametrize(("factory", "teacher"), [(trl.sdpo, [0.0, 1.0]), (sdpo_rl.make, [1.0, 2.25])])
def test_low_rank_factors_are_averaged_one_by_one(factory: Factory, teacher: list[float]) -> None:
    """From factors 1, 1 to 2, 2 at rate 1/2 sdpo-rl gives 1.5 x 1.5; TRL, which starts from zero, 1 x 1."""
    one, two = torch.ones(1, 1), torch.full((1, 1), 2.0)
    changes = factory().low_rank_average([(one, one), (two, two)], update_rate=0.5)
    assert [change.item() for change in changes] == teacher


def test_sdpo_rl_declares_a_trust_region_that_it_does_not_have() -> None:
    """The error is sdpo-rl's own."""
    with pytest.raises(NotImplementedError, match="teacher_mode='trust_region' not yet implemented"):
        sdpo_rl.make().trust_region(torch.zeros(2, 3), torch.zeros(2, 3), mix=0.1)


def test_defaults_are_read_from_the_peers() -> None:
    """The three configurations differ in divergence, support and teacher."""
    read = [
        {name: defaults[name] for name in ("alpha", "support", "k", "teacher")}
        for defaults in (factory().defaults() for factory in (trl.sdpo, trl.sdft, sdpo_rl.make))
    ]
    assert read == [
        {"alpha": 1.0, "support": "sampled_token", "k": None, "teacher": "ema"},
        {"alpha": 0.5, "support": "top_k_renormalized", "k": 100, "teacher": "frozen"},
        {"alpha": 0.5, "support": "top_k_tail", "k": 100, "teacher": "ema"},
    ]


def test_chat_is_read_back_as_it_was_written() -> None:
    """Messages with braces, line breaks and signs beyond ASCII survive the tokenizer, one token for each character."""
    messages = [*PROMPT[:1], {"role": "user", "content": "{é}\n\n<think>😀"}]
    tokenizer = character_tokenizer(content for message in messages for content in message.values())
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert read_messages(tokenizer.decode(ids)) == tuple(messages)
    assert len(tokenizer("{é}😀")["input_ids"]) == 4
