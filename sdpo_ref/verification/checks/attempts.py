"""Attempts whose every text is recognisable, so that a check can see what reached the teacher."""

from collections.abc import Mapping, Sequence

from sdpo_ref.protocols.parts import Attempt, Message, TeacherContext
from sdpo_ref.protocols.profile import ContextRules, Profile

SYSTEM = "You are SYSTEM-MARK."

AWKWARD_TEXTS: Mapping[str, str] = {
    "format strings and template words": "BRACES {x} {{y}} {0} %s {prompt} {solution} {feedback} $z",
    "several lines": "first line\nif x:\n    two  spaces\n\ttab\n\n  last line",
    "any script": "na\u00efve, nai\u0308ve, \ufb01n, \u2460, \u6570\u5b66, \u05e9\u05dc\u05d5\u05dd, \U0001f600",
    "thousands of characters": " ".join(f"word{number}" for number in range(5_000)),
    "blanks at both ends": " \n\t  begins and ends with blanks \t\n\n\n\n",
    "line ends of several kinds": "dos\r\nmac\rthree blank lines\n\n\n\ntrailing blanks  \t\nform feed\x0cend",
    "markup": "<b>&amp;</b> &lt; <!-- c --> [INST] x [/INST] <|im_start|>user <|im_end|> </s> ```py\n# *x* _y_\n```",
    "characters without width": "\ufeffmark\u200bzero\u200djoin\u00a0hard\u2003wide\u3000full \x1b[31mred\x1b[0m \x00",
    "hundreds of lines": "\n".join(f"line {number}" for number in range(400)),
    "one long word": "w" * 6_000,
    "quotes and directions": "\u2018single\u2019 \u201cdouble\u201d \u202eturned\u202c \u200fright \u2013 \u2026",
}
"""What a teacher must be able to read, by what is awkward about it."""

TAGS_IN_TEXT = "Explain <think>why</think> the tag </think> closes."
"""Text about traces, which is no trace: nobody's reasoning, unless it is in a demonstration."""

AWKWARD_CONVERSATION: tuple[Message, ...] = (
    {"role": "system", "content": "  \nRULES-MARK.\n\n "},
    {"role": "user", "content": "yes"},
    {"role": "assistant", "content": ""},
    {"role": "tool", "content": "\t[]\r\n"},
    {"role": "tool", "content": "[1]"},
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": "yes"},
    {"role": "user", "content": "and no"},
    {"role": "assistant", "content": "no"},
    {"role": "user", "content": "yes"},
    {"role": "assistant", "content": "<think>a thought</think>\n\nyes"},
)
"""Earlier messages with blanks at their ends, equal ones, an empty one as beside a call of a tool, neighbours of one
role, and a trace."""


def question(group: int) -> str:
    """The question of a group."""
    return f"Solve QUESTION-{group}-MARK."


def completion(group: int, index: int) -> str:
    """What attempt ``index`` of a group answered."""
    return f"ANSWER-{group}-{index}-MARK"


def note(group: int, index: int) -> str:
    """The oracle's feedback on attempt ``index`` of a group."""
    return f"NOTE-{group}-{index}-MARK"


def prompt(group: int) -> tuple[Message, ...]:
    """A system message and the question."""
    return ({"role": "system", "content": SYSTEM}, {"role": "user", "content": question(group)})


def group_of(group: int, rewards: Sequence[float], feedback: Sequence[str | None] | None = None) -> list[Attempt]:
    """The attempts of one group.

    Args:
        group: its number.
        rewards: one for each attempt.
        feedback: one for each attempt; none by default.

    Returns:
        Attempts in order.
    """
    texts = feedback or [None] * len(rewards)
    return [
        Attempt(group, prompt(group), completion(group, index), reward, about)
        for index, (reward, about) in enumerate(zip(rewards, texts, strict=True))
    ]


def rules_of(profile: Profile, **changes: object) -> ContextRules:
    """The context rules of a profile, with a success threshold of one.

    Args:
        profile: the declared choices.
        changes: fields that differ.

    Returns:
        The rules.
    """
    declared = {"own_success": profile.own_success, "feedback_when": profile.feedback_when}
    return ContextRules.model_validate({**declared, **changes})


def text_of(context: TeacherContext) -> str:
    """All messages of a context, one after the other."""
    return "\n".join(message["content"] for message in context.messages)


def shown_completions(context: TeacherContext, attempts: Sequence[Attempt]) -> list[str]:
    """Completions of the attempts that the teacher reads."""
    return [attempt.completion for attempt in attempts if attempt.completion in text_of(context)]
