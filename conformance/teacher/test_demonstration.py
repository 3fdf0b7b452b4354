"""SDFT's context (spec/03-teacher, C)."""

import pytest

from sdpo_ref.verification.checks.attempts import (
    AWKWARD_CONVERSATION,
    AWKWARD_TEXTS,
    SYSTEM,
    TAGS_IN_TEXT,
    prompt,
    question,
)
from sdpo_ref.verification.checks.comparison import assert_that
from sdpo_ref.verification.checks.subject import Subject


@pytest.mark.requirement("TEACH-040")
@pytest.mark.parametrize("kind", ["plain", "tags", *AWKWARD_TEXTS])
def test_prompt_and_demonstration(subject: Subject, kind: str) -> None:
    """Both are there as they were written, the system message in front."""
    demonstration = {"plain": "SHOWN-MARK", "tags": TAGS_IN_TEXT, **AWKWARD_TEXTS}[kind]
    messages = subject.demonstration_context(prompt(0), demonstration)
    whole = "\n".join(message["content"] for message in messages)
    for text in (SYSTEM, question(0), demonstration):
        assert_that(whole.count(text) == 1, f"{text!r} exactly once", repr(whole))
    assert_that(messages[0] == prompt(0)[0], f"first {prompt(0)[0]}", f"{messages[0]}")


@pytest.mark.requirement("TEACH-040")
@pytest.mark.parametrize("earlier", [(), ("user", "assistant"), ("system", "user", "assistant")], ids=len)
def test_conversation_stays(subject: Subject, earlier: tuple[str, ...]) -> None:
    """Earlier messages are unchanged in front of a last one from the user, with the question and the demonstration."""
    before = tuple({"role": role, "content": f"MESSAGE-{place}"} for place, role in enumerate(earlier))
    messages = subject.demonstration_context((*before, {"role": "user", "content": question(0)}), "SHOWN-MARK")
    found = tuple(messages[:-1])
    assert_that(found == before, f"in front: {before}", f"{found}")
    last = messages[-1]
    for text in (question(0), "SHOWN-MARK"):
        assert_that(
            last["role"] == "user" and last["content"].count(text) == 1,
            f"a last message from the user with {text!r} exactly once",
            f"{last}",
        )


@pytest.mark.requirement("TEACH-040")
@pytest.mark.parametrize("kind", ["tags", *AWKWARD_TEXTS])
def test_question_as_written(subject: Subject, kind: str) -> None:
    """The question has its blanks, line ends and markup, and begins the message that it stands in."""
    asked = AWKWARD_TEXTS.get(kind, TAGS_IN_TEXT)
    messages = subject.demonstration_context((*AWKWARD_CONVERSATION, {"role": "user", "content": asked}), "SHOWN-MARK")
    found = tuple(messages[:-1])
    assert_that(found == AWKWARD_CONVERSATION, f"in front: {AWKWARD_CONVERSATION}", f"{found}")
    last = messages[-1]["content"]
    assert_that(asked in last and "SHOWN-MARK" in last, f"{asked!r} and 'SHOWN-MARK'", repr(last))


@pytest.mark.requirement("TEACH-041")
def test_missing_demonstration(subject: Subject) -> None:
    """Without one there is nothing to distil."""
    refused = subject.raises("demonstration_context", lambda it: it.demonstration_context(prompt(0), None))
    assert_that(refused is not None, "an error", "a context", {"demonstration": None})
