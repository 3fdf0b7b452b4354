"""The peers' teacher contexts behind our Protocols."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from sdpo_ref.adapters import sdpo_rl, trl
from sdpo_ref.errors import UnsupportedError
from sdpo_ref.protocols.parts import Message
from sdpo_ref.protocols.profile import ContextRules
from tests.adapters.problems import PROMPT, attempt

pytestmark = pytest.mark.peers

Factory = Callable[..., SimpleNamespace]
RULES = ContextRules(own_success="exclude", feedback_when="without_demonstration")
everywhere = pytest.mark.parametrize("factory", [trl.sdpo, sdpo_rl.make])


def last(messages: tuple[Message, ...]) -> str:
    """What the last message says."""
    return messages[-1]["content"]


@pytest.mark.slow
@everywhere
def test_a_sibling_success_is_the_demonstration(factory: Factory) -> None:
    """The failed attempt reads the successful one without its reasoning; the successful one has no sibling to read."""
    attempts = [attempt("<think>two and two</think>4", 1.0), attempt("5", 0.0)]
    succeeded, failed = factory().context(attempts, RULES)
    assert not succeeded.usable
    assert failed.usable
    assert "Correct solution:\n\n4\n" in last(failed.messages)
    assert "two and two" not in last(failed.messages)


@everywhere
def test_the_rules_reach_the_peer(factory: Factory) -> None:
    """Including own successes, keeping reasoning and leaving demonstrations out change what is read."""
    alone = [attempt("<think>hm</think>4", 1.0)]
    own = RULES.model_copy(update={"own_success": "include", "strip_thinking": False})
    (context,) = factory().context(alone, own)
    assert "<think>hm</think>4" in last(context.messages)
    without = own.model_copy(update={"use_demonstrations": False})
    assert not factory().context(alone, without)[0].usable
    assert not factory().context(alone, own.model_copy(update={"success_threshold": 2.0}))[0].usable


@everywhere
def test_feedback_is_used_where_it_is_wanted(factory: Factory) -> None:
    """Feedback makes a row usable, and switching it off makes the row unusable again."""
    alone = [attempt("5", 0.0, "Not odd.")]
    (context,) = factory().context(alone, RULES)
    assert context.usable
    assert "Not odd." in last(context.messages)
    assert not factory().context(alone, RULES.model_copy(update={"use_feedback": False}))[0].usable


def test_trl_has_feedback_for_each_prompt_and_not_each_attempt() -> None:
    """Under TRL the second attempt reads what was said about the first."""
    attempts = [attempt("5", 0.0, "Not odd."), attempt("6", 0.0, "Too large.")]
    assert "Not odd." in last(trl.sdpo().context(attempts, RULES)[1].messages)
    assert "Too large." in last(sdpo_rl.make().context(attempts, RULES)[1].messages)


def test_a_row_without_context_keeps_its_prompt_in_trl() -> None:
    """Messages survive the way through token ids and back."""
    (context,) = trl.sdpo().context([attempt("5", 0.0)], RULES)
    assert context.messages == PROMPT


def test_sdpo_rl_puts_the_rendered_chat_into_the_user_message() -> None:
    """sdpo-rl decodes the rendered prompt, so the system prompt and the word assistant end up in the user's message."""
    (context,) = sdpo_rl.make().context([attempt("5", 0.0, "Not odd.")], RULES)
    assert context.messages[0] == PROMPT[0]
    assert last(context.messages).startswith("system\nBe brief.\nuser\nWhat is 2 + 2?\nassistant\n")


@everywhere
def test_groups_of_different_sizes(factory: Factory) -> None:
    """Each attempt reads its own group, whatever the sizes of the groups before it."""
    attempts = [
        attempt("one", 1.0),
        attempt("x", 0.0),
        attempt("y", 0.0),
        attempt("two", 1.0, group=1),
        attempt("z", 0.0, group=1),
    ]
    contexts = factory().context(attempts, RULES)
    assert [context.usable for context in contexts] == [False, True, True, False, True]
    assert "two" in last(contexts[-1].messages)


def test_the_length_is_limited_as_the_peer_does() -> None:
    """TRL keeps the end of the chat, sdpo-rl its beginning."""
    alone = [attempt("5", 0.0, "Not odd.")]
    limited = RULES.model_copy(update={"max_length": 60})
    (from_trl,), (from_sdpo_rl,) = trl.sdpo().context(alone, limited), sdpo_rl.make().context(alone, limited)
    assert from_trl.messages[0]["role"] == ""
    assert last(from_trl.messages).endswith("Correctly solve the original question.\n")
    assert from_sdpo_rl.messages[0] == PROMPT[0]
    assert "Correctly" not in last(from_sdpo_rl.messages)


@everywhere
@pytest.mark.parametrize("unsupported", [{"success_quantile": 0.5}, {"feedback_when": "failed_without_demonstration"}])
def test_what_the_peer_does_not_have_is_refused(factory: Factory, unsupported: dict[str, object]) -> None:
    """A rule that neither peer can follow is an UnsupportedError."""
    with pytest.raises(UnsupportedError):
        factory().context([attempt("5", 0.0)], RULES.model_copy(update=unsupported))


def test_sdft_shows_the_demonstration_below_the_question() -> None:
    """SDFT's template puts the demonstration behind the user's words and leaves the system prompt alone."""
    messages = trl.sdft().demonstration_context(PROMPT, "It is 4.")
    assert messages == (PROMPT[0], {"role": "user", "content": "What is 2 + 2?\n\nIt is 4."})
