"""Contexts at their limits: how much is cut, of what, and what is no context at all."""

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.protocols.parts import Message
from sdpo_ref.protocols.profile import ContextRules
from sdpo_ref.teachers.context import Template, demonstration_context, teacher_contexts
from sdpo_ref.teachers.success import successes
from sdpo_ref.verification.checks.attempts import group_of

RULES = ContextRules(own_success="exclude", feedback_when="always")
TOLD = [replace(it, completion="d" * 60) for it in group_of(0, [0.0, 1.0], ["f" * 60, None])]


def read(room: int, **changes: str) -> tuple[int, int, bool]:
    """How much of demonstration and feedback is read when ``room`` characters fewer than both take are allowed."""
    attempts = [replace(TOLD[0], feedback=changes.get("feedback", TOLD[0].feedback)), TOLD[1]]
    whole = len(teacher_contexts(attempts, RULES)[0].messages[-1]["content"])
    limited = RULES.model_copy(update={"max_length": whole - room})
    context = teacher_contexts(attempts, limited)[0]
    text = context.messages[-1]["content"]
    assert not context.usable or len(text) <= whole - room
    return text.count("dd"), text.count("ff"), context.usable


def test_no_more_is_cut_than_must_be() -> None:
    """Ten characters too many cost ten characters; of two of one length the feedback is cut, else the longer."""
    assert read(0) == (30, 30, True)
    assert read(10) == (30, 25, True)
    assert read(10, feedback="f" * 80) == (30, 35, True)
    assert read(10, feedback="f" * 20) == (25, 10, True)


@pytest.mark.parametrize("kind", ["demonstration", "feedback"])
def test_the_last_character_is_evidence(kind: str) -> None:
    """With room for one character the row is usable, with room for none it is not, and headings are no evidence."""
    attempts = [replace(TOLD[0], feedback=None), TOLD[1]] if kind == "demonstration" else [TOLD[0]]
    letter = kind[0]
    whole = len(teacher_contexts(attempts, RULES)[0].messages[-1]["content"])
    for left, usable in ((60, True), (1, True), (0, False)):
        limited = RULES.model_copy(update={"max_length": whole - 60 + left})
        context = teacher_contexts(attempts, limited)[0]
        assert context.usable is usable
        if usable:
            assert f"\n{letter * left}\n" in context.messages[-1]["content"]


@pytest.mark.parametrize("prompt", [(), ({"role": "user", "content": "ask"}, {"role": "assistant", "content": "said"})])
def test_a_prompt_ends_with_the_user(prompt: tuple[Message, ...]) -> None:
    """The message names the roles that it has."""
    with pytest.raises(InvalidInputError, match=r"must end with a message from the user.*\["):
        demonstration_context(prompt, "shown")


@pytest.mark.parametrize("missing", [None, "", " \n"])
def test_a_blank_demonstration_is_none(missing: str | None) -> None:
    """Refused like one that is missing."""
    with pytest.raises(InvalidInputError, match="drop the row"):
        demonstration_context(({"role": "user", "content": "ask"},), missing)


def test_a_template_is_fixed() -> None:
    """Its words do not change under a teacher that uses them."""
    words: Any = Template()
    with pytest.raises(FrozenInstanceError):
        words.instruction = "other"


def test_every_reward_has_a_group() -> None:
    """Also where only a threshold decides."""
    with pytest.raises(ValueError, match="zip"):
        successes([1.0], [0, 0], ContextRules())


def test_a_share_is_a_quotient() -> None:
    """Seven of twenty-five are the share 0.28, although 0.28 times 25 is a little more than seven."""
    rules = ContextRules(success_threshold=float("-inf"), success_quantile=0.28)
    assert successes([float(reward) for reward in range(25)], [0] * 25, rules) == [False] * 7 + [True] * 18
