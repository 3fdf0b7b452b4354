"""What the teacher reads, as text: demonstration, feedback, and which rows have either (spec/03-teacher, A)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.protocols.parts import Attempt, Message, TeacherContext
from sdpo_ref.protocols.profile import ContextRules
from sdpo_ref.teachers.success import successes


@dataclass(frozen=True)
class Template:
    """The words around prompt, demonstration and feedback.

    Attributes:
        demonstration_heading: stands before a demonstration.
        feedback_heading: stands before feedback; must not claim that the attempt failed, because under some profiles
            feedback on a successful attempt is shown as well.
        instruction: closes the message.
    """

    demonstration_heading: str = "A solution that works:"
    feedback_heading: str = "What was said about an earlier attempt:"
    instruction: str = "Now answer the question at the top."


def teacher_contexts(
    attempts: Sequence[Attempt],
    rules: ContextRules,
    *,
    template: Template | None = None,
    length: Callable[[str], int] = len,
) -> list[TeacherContext]:
    """What the teacher reads before it scores each attempt.

    A row is usable exactly if a demonstration or feedback reaches it; otherwise the teacher would see what the
    student saw and could teach nothing.
    Implements: TEACH-005, TEACH-006, TEACH-008.

    Args:
        attempts: judged rollouts; those of one prompt share a group.
        rules: which demonstration and which feedback are shown.
        template: the words around them.
        length: of a text in tokens, for ``rules.max_length``.

    Returns:
        One context for each attempt, in the same order.

    Raises:
        InvalidInputError: if a prompt does not end with a message from the user.

    Example:
        >>> ask = ({"role": "user", "content": "2+2?"},)
        >>> wrong, right = Attempt(0, ask, "5", 0.0, "too big"), Attempt(0, ask, "4", 1.0)
        >>> [context.usable for context in teacher_contexts([wrong, right], ContextRules(own_success="exclude"))]
        [True, False]
    """
    words = template or Template()
    succeeded = successes([attempt.reward for attempt in attempts], [attempt.group for attempt in attempts], rules)
    contexts = []
    for index, attempt in enumerate(attempts):
        demonstration = _demonstration(index, attempts, succeeded, rules)
        feedback = _feedback(attempt, rules, failed=not succeeded[index], has_demonstration=demonstration is not None)
        text = None
        if demonstration is not None or feedback is not None:
            text = _fitting_text(
                _question(attempt.prompt),
                demonstration,
                feedback,
                words=words,
                max_length=rules.max_length,
                length=length,
            )
        if text is None:
            contexts.append(TeacherContext(attempt.prompt, usable=False))
        else:
            messages = (*attempt.prompt[:-1], {**attempt.prompt[-1], "content": text})
            contexts.append(TeacherContext(messages, usable=True))
    return contexts


def demonstration_context(
    prompt: tuple[Message, ...], demonstration: str | None, *, template: Template | None = None
) -> tuple[Message, ...]:
    """SDFT's context: the prompt and a demonstration that came with the data.

    Implements: TEACH-040, TEACH-041.

    Args:
        prompt: chat messages, the last one from the user.
        demonstration: what to show.
        template: the words around it.

    Returns:
        The messages that the teacher reads.

    Raises:
        InvalidInputError: if the demonstration is missing or blank: without one there is nothing to distil.

    Example:
        >>> demonstration_context(({"role": "user", "content": "2+2?"},), "4")[0]["content"].splitlines()[0]
        '2+2?'
    """
    if demonstration is None or not demonstration.strip():
        raise InvalidInputError(
            f"SDFT needs a demonstration for every prompt, received {demonstration!r}; drop the row or supply one"
        )
    text = _joined(_question(prompt), demonstration, None, template or Template())
    return (*prompt[:-1], {**prompt[-1], "content": text})


def without_thinking(text: str) -> str:
    r"""The text without its reasoning trace, also where the opening tag stood in the prompt.

    Implements: TEACH-010, TEACH-013.

    Example:
        >>> without_thinking("hm, two and two...</think>\n4")
        '4'
    """
    closed = re.sub(r"<think>.*?</think>\s*", "", text, flags=re.DOTALL)
    return re.sub(r"^.*</think>\s*", "", closed, flags=re.DOTALL)


def _question(prompt: tuple[Message, ...]) -> str:
    if not prompt or prompt[-1].get("role") != "user":
        raise InvalidInputError(
            f"a prompt must end with a message from the user, received roles {[m.get('role') for m in prompt]}"
        )
    return prompt[-1]["content"]


def _demonstration(
    index: int, attempts: Sequence[Attempt], succeeded: Sequence[bool], rules: ContextRules
) -> str | None:
    """The first success of the attempt's group, or none.

    Implements: TEACH-001, TEACH-002, TEACH-003, TEACH-007, TEACH-012, TEACH-046.
    """
    if not rules.use_demonstrations:
        return None
    for other, attempt in enumerate(attempts):
        own = other == index
        if succeeded[other] and attempt.group == attempts[index].group and not (own and rules.own_success == "exclude"):
            return without_thinking(attempt.completion) if rules.strip_thinking else attempt.completion
    return None


def _feedback(attempt: Attempt, rules: ContextRules, *, failed: bool, has_demonstration: bool) -> str | None:
    """The attempt's own feedback, if it has any and the rules let it through.

    Implements: TEACH-004, TEACH-047, ORACLE-002, ORACLE-006.
    """
    if not rules.use_feedback or attempt.feedback is None or not attempt.feedback.strip():
        return None
    match rules.feedback_when:
        case "always":
            passes = True
        case "without_demonstration":
            passes = not has_demonstration
        case "failed_without_demonstration":
            passes = failed and not has_demonstration
    return attempt.feedback if passes else None


def _joined(question: str, demonstration: str | None, feedback: str | None, words: Template) -> str:
    """The question, the evidence and the instruction, joined and never formatted: braces in any part are text.

    Implements: TEACH-008, TEACH-009.
    """
    blocks = [question]
    blocks += [f"{words.demonstration_heading}\n{demonstration}"] if demonstration is not None else []
    blocks += [f"{words.feedback_heading}\n{feedback}"] if feedback is not None else []
    return "\n\n".join([*blocks, words.instruction])


def _fitting_text(
    question: str,
    demonstration: str | None,
    feedback: str | None,
    *,
    words: Template,
    max_length: int | None,
    length: Callable[[str], int],
) -> str | None:
    """The whole message if it fits; else with its longest evidence cut at the end; ``None`` if nothing of it fits.

    The question and the closing instruction are never cut: a teacher that does not know the question, or is cut off
    before the turn ends, scores the attempt under a different task.
    Implements: TEACH-042, TEACH-043, TEACH-044, TEACH-045.
    """
    text = _joined(question, demonstration, feedback, words)
    while max_length is not None and length(text) > max_length:
        excess = length(text) - max_length
        if feedback and len(feedback) >= len(demonstration or ""):
            feedback = feedback[: max(len(feedback) - excess, 0)]
        elif demonstration:
            demonstration = demonstration[: max(len(demonstration) - excess, 0)]
        else:
            return None
        text = _joined(question, demonstration or None, feedback or None, words)
    return text if demonstration or feedback else None
