"""What the teacher reads (spec/03-teacher, A): truth tables over recognisable texts."""

from dataclasses import replace
from itertools import product

import pytest

from sdpo_ref.protocols.parts import Attempt, TeacherContext
from sdpo_ref.verification.checks.attempts import (
    AWKWARD_CONVERSATION,
    AWKWARD_TEXTS,
    SYSTEM,
    TAGS_IN_TEXT,
    completion,
    group_of,
    note,
    prompt,
    question,
    rules_of,
    shown_completions,
    text_of,
)
from sdpo_ref.verification.checks.comparison import assert_that
from sdpo_ref.verification.checks.subject import Subject

REWARDS = list(product([0.0, 1.0], repeat=3))
"""Every way in which three attempts can fail or succeed."""


def _demonstration(rewards: tuple[float, ...], index: int, own_success: str) -> int | None:
    """The definition of candidates(i), written out."""
    for other, reward in enumerate(rewards):
        if reward >= 1.0 and not (own_success == "exclude" and other == index):
            return other
    return None


@pytest.mark.requirement("TEACH-001")
@pytest.mark.parametrize("rewards", [rewards for rewards in REWARDS if sum(rewards) != 1])
def test_first_success_is_shown(subject: Subject, rewards: tuple[float, ...]) -> None:
    """With two or more successes, or none, failed attempts are shown the first."""
    attempts = group_of(0, rewards)
    contexts = subject.context(attempts, rules_of(subject.profile))
    for index, context in enumerate(contexts):
        first = _demonstration(rewards, index, subject.profile.own_success)
        found = shown_completions(context, attempts)
        expected = [] if first is None else [completion(0, first)]
        assert_that(
            found == expected, f"attempt {index} is shown {expected}", f"it is shown {found}", {"rewards": rewards}
        )


@pytest.mark.requirement("TEACH-002")
@pytest.mark.parametrize("alone", [0, 1, 2])
def test_lone_success(subject: Subject, alone: int) -> None:
    """A single success teaches its siblings, and itself exactly if own successes are included."""
    rewards = [1.0 if index == alone else 0.0 for index in range(3)]
    contexts = subject.context(group_of(0, rewards), rules_of(subject.profile))
    included = subject.profile.own_success == "include"
    usable = [context.usable for context in contexts]
    expected = [included or index != alone for index in range(3)]
    assert_that(
        usable == expected,
        f"usable rows {expected} (own success: {subject.profile.own_success})",
        f"{usable}",
        {"rewards": rewards},
        looks_like="own success leaks" if usable[alone] and not included else "",
    )


@pytest.mark.requirement("TEACH-001")
def test_success_after_many_failures(subject: Subject) -> None:
    """In a group of forty only the last two succeed."""
    attempts = group_of(0, [0.0] * 38 + [1.0, 1.0])
    found = shown_completions(subject.context(attempts, rules_of(subject.profile))[0], attempts)
    # the name of attempt 3 is not part of that of attempt 38, thanks to the word that follows
    assert_that(found == [completion(0, 38)], "attempt 0 is shown attempt 38", f"it is shown {found}")


@pytest.mark.requirement("TEACH-001")
def test_success_after_a_thousand_failures(subject: Subject) -> None:
    """In a group of 1,100 only the last succeeds."""
    attempts = group_of(0, [0.0] * 1_099 + [1.0])
    found = subject.context(attempts, rules_of(subject.profile))[0]
    shown = completion(0, 1_099) in text_of(found)
    assert_that(shown, "attempt 0 is shown attempt 1,099", f"it reads {text_of(found)!r}", {"attempts": 1_100})


@pytest.mark.requirement("TEACH-003", "TEACH-012")
def test_groups_are_separate(subject: Subject) -> None:
    """Only one of three groups has a success; the others see nothing of it."""
    attempts = [*group_of(7, [0.0, 0.0]), *group_of(3, [0.0, 1.0]), *group_of(5, [0.0, 0.0])]
    contexts = subject.context(attempts, rules_of(subject.profile))
    for attempt, context in zip(attempts, contexts, strict=True):
        shown = shown_completions(context, attempts)
        foreign = [text for text in shown if f"-{attempt.group}-" not in text]
        assert_that(
            not foreign,
            f"an attempt of group {attempt.group} is shown completions of its own group only",
            f"it is shown {foreign}",
            looks_like="M229 group boundary wrong",
        )
        if attempt.group != 3:
            assert_that(not context.usable, f"rows of group {attempt.group} are not usable", "one is")


@pytest.mark.requirement("TEACH-003")
def test_same_question_in_two_groups(subject: Subject) -> None:
    """A data set may hold a question twice; they are still two groups."""
    attempts = [*group_of(0, [0.0, 0.0]), *group_of(1, [0.0, 1.0])]
    attempts = [replace(attempt, prompt=prompt(0)) for attempt in attempts]
    usable = [context.usable for context in subject.context(attempts, rules_of(subject.profile))[:2]]
    assert_that(not any(usable), "no row of the group without a success is usable", f"usable = {usable}")


@pytest.mark.requirement("TEACH-003")
@pytest.mark.parametrize("apart", [1, 256, 65_536])
def test_large_group_numbers(subject: Subject, apart: int) -> None:
    """Groups are numbered as a data set numbers its rows, in the billions; equal numbers need not be one object."""
    first = 3_000_000_000
    attempts = [*group_of(first, [0.0, 0.0]), *group_of(first + apart, [0.0, 1.0])]
    attempts = [replace(attempt, group=int(str(attempt.group))) for attempt in attempts]
    contexts = subject.context(attempts, rules_of(subject.profile))
    found = [shown_completions(context, attempts) for context in contexts[:3]]
    expected = [[], [], [completion(first + apart, 1)]]
    assert_that(
        found == expected, f"shown are {expected}", f"shown are {found}", {"groups": [it.group for it in attempts]}
    )


@pytest.mark.requirement("TEACH-003")
@pytest.mark.parametrize(("first", "second"), [(-3, 3), (-1, -2), (0, 2**61 - 1), (0, 2**64)])
def test_any_group_numbers(subject: Subject, first: int, second: int) -> None:
    """Numbers without order or size: of opposite sign, of one hash, of more than 64 bits."""
    attempts = [*group_of(first, [0.0, 0.0]), *group_of(second, [0.0, 1.0])]
    found = [shown_completions(context, attempts) for context in subject.context(attempts, rules_of(subject.profile))]
    expected = [[], [], [completion(second, 1)]]
    assert_that(found[:3] == expected, f"shown are {expected}", f"shown are {found[:3]}", {"groups": [first, second]})


@pytest.mark.requirement("TEACH-012")
def test_neighbours_change_nothing(subject: Subject) -> None:
    """The same group alone, after another and before another."""
    group, other = group_of(1, [0.0, 1.0]), group_of(2, [1.0, 1.0])
    rules = rules_of(subject.profile)
    alone = subject.context(group, rules)
    after = subject.context([*other, *group], rules)[2:]
    before = subject.context([*group, *other], rules)[:2]
    for name, found in (("after", after), ("before", before)):
        assert_that(
            found == alone,
            "what it reads alone",
            f"something else when it stands {name} another group",
            {"alone": alone},
        )


@pytest.mark.requirement("TEACH-004")
@pytest.mark.parametrize("rewards", list(product([0.0, 1.0], repeat=2)))
def test_feedback_gate(subject: Subject, rewards: tuple[float, ...]) -> None:
    """Failure or success, with and without a demonstration: the note passes exactly where the rule says so."""
    attempts = group_of(0, rewards, [note(0, 0)] * 2)
    contexts = subject.context(attempts, rules_of(subject.profile))
    for index, context in enumerate(contexts):
        shown = _demonstration(rewards, index, subject.profile.own_success) is not None
        expected = {
            "always": True,
            "without_demonstration": not shown,
            "failed_without_demonstration": not shown and rewards[index] < 1.0,
        }[subject.profile.feedback_when]
        found = note(0, 0) in text_of(context)
        assert_that(
            found == expected,
            f"feedback {'reaches' if expected else 'does not reach'} attempt {index} ({subject.profile.feedback_when})",
            "it does" if found else "it does not",
            {"rewards": rewards, "demonstration shown": shown},
            looks_like="M233 feedback of a successful attempt used" if found and rewards[index] >= 1.0 else "",
        )


@pytest.mark.requirement("TEACH-004")
@pytest.mark.parametrize(("threshold", "reward"), [(0.5, 0.7), (2.0, 1.5), (-1.0, -0.5)])
def test_failure_is_below_the_threshold(subject: Subject, threshold: float, reward: float) -> None:
    """Where demonstrations are switched off, the rule that asks for a failure asks for one at the threshold set."""
    attempts = group_of(0, [reward], [note(0, 0)])
    rules = rules_of(subject.profile, success_threshold=threshold, use_demonstrations=False)
    expected = reward < threshold or subject.profile.feedback_when != "failed_without_demonstration"
    found = note(0, 0) in text_of(subject.context(attempts, rules)[0])
    assert_that(
        found == expected,
        f"feedback {'reaches' if expected else 'does not reach'} the attempt ({subject.profile.feedback_when})",
        "it does" if found else "it does not",
        {"reward": reward, "success_threshold": threshold, "use_demonstrations": False},
    )


@pytest.mark.requirement("TEACH-004")
@pytest.mark.needs("context.success_quantile")
def test_failure_by_rank(subject: Subject) -> None:
    """With a quantile an attempt that is not among the best has failed, whatever the threshold."""
    attempts = group_of(0, [0.1, 0.9], [note(0, 0), note(0, 1)])
    rules = rules_of(subject.profile, success_threshold=float("-inf"), success_quantile=0.5, use_demonstrations=False)
    found = [note(0, index) in text_of(context) for index, context in enumerate(subject.context(attempts, rules))]
    expected = [True, subject.profile.feedback_when != "failed_without_demonstration"]
    assert_that(
        found == expected,
        f"feedback is read by {expected} ({subject.profile.feedback_when})",
        f"{found}",
        {"rewards": [0.1, 0.9], "success_quantile": 0.5, "use_demonstrations": False},
    )


@pytest.mark.requirement("TEACH-004")
@pytest.mark.parametrize("feedback", [".", "0", "None", "n/a", "false", "?!", "\u2717", "-", "ok", "Correct.", "pass"])
def test_short_feedback_is_feedback(subject: Subject, feedback: str) -> None:
    """Whatever is not blank is feedback: also a single mark, and a word that means nothing to a program."""
    context = subject.context(group_of(0, [0.0], [feedback]), rules_of(subject.profile))[0]
    assert_that(
        context.usable and feedback in text_of(context),
        "a usable row that reads the feedback",
        f"usable = {context.usable}, and {text_of(context)!r}",
        {"feedback": repr(feedback)},
    )


@pytest.mark.requirement("TEACH-004")
@pytest.mark.needs("context", "context.feedback")
@pytest.mark.parametrize("said", ["Is it SAID-MARK or not?", "first\nSAID-MARK\nlast"], ids=["a phrase", "a line"])
def test_feedback_that_stands_elsewhere_is_shown(subject: Subject, said: str) -> None:
    """Feedback is read as feedback also where the question or another attempt's feedback holds the same words."""
    for feedback in (said, "SAID-MARK"):
        attempts = [
            replace(attempt, prompt=({"role": "user", "content": said},), feedback=feedback)
            for attempt in group_of(0, [0.0, 0.0])
        ]
        contexts = subject.context(attempts, rules_of(subject.profile))
        found = [text_of(context).count("SAID-MARK") for context in contexts]
        inputs = {"question": repr(said), "feedback of both attempts": repr(feedback)}
        assert_that(
            found == [2, 2], "the words twice for each attempt: once asked, once said", f"{found} times", inputs
        )


@pytest.mark.requirement("TEACH-001")
def test_demonstration_that_stands_in_the_question_is_shown(subject: Subject) -> None:
    """A success whose words are words of the question is a demonstration like any other."""
    asked = ({"role": "user", "content": "Which is prime, SHOWN-MARK or 4?"},)
    first, second = group_of(0, [0.0, 1.0])
    attempts = [replace(first, prompt=asked), replace(second, prompt=asked, completion="SHOWN-MARK")]
    found = text_of(subject.context(attempts, rules_of(subject.profile))[0])
    inputs = {"question": asked[0]["content"], "completion that succeeded": "SHOWN-MARK"}
    assert_that(found.count("SHOWN-MARK") == 2, "the words twice: once asked, once shown", f"{found!r}", inputs)


@pytest.mark.requirement("TEACH-004")
@pytest.mark.needs("context", "context.feedback")
def test_feedback_that_stands_in_the_demonstration_is_shown(subject: Subject) -> None:
    """Where both are shown, both are, also if one holds the words of the other."""
    first, second = group_of(0, [0.0, 1.0], ["BOTH-MARK", None])
    attempts = [first, replace(second, completion="It says BOTH-MARK there.")]
    found = text_of(subject.context(attempts, rules_of(subject.profile))[0])
    wanted = 2 if subject.profile.feedback_when == "always" else 1
    inputs = {"feedback": "BOTH-MARK", "completion that succeeded": "It says BOTH-MARK there."}
    assert_that(found.count("BOTH-MARK") == wanted, f"the words {wanted} times", f"{found!r}", inputs)


@pytest.mark.requirement("TEACH-046")
@pytest.mark.parametrize("rewards", REWARDS)
def test_demonstrations_switched_off(subject: Subject, rewards: tuple[float, ...]) -> None:
    """However many succeed, nobody reads a completion, and nobody is usable."""
    attempts = group_of(0, rewards)
    for index, context in enumerate(subject.context(attempts, rules_of(subject.profile, use_demonstrations=False))):
        shown = shown_completions(context, attempts)
        assert_that(
            not shown and not context.usable,
            f"no demonstration for attempt {index}, which is not usable",
            f"it is shown {shown}, usable = {context.usable}",
            {"rewards": rewards, "use_demonstrations": False},
        )


@pytest.mark.requirement("TEACH-047")
def test_feedback_switched_off(subject: Subject) -> None:
    """The note on a failed attempt is not read, and does not make it usable."""
    context = subject.context(group_of(0, [0.0], [note(0, 0)]), rules_of(subject.profile, use_feedback=False))[0]
    assert_that(
        note(0, 0) not in text_of(context) and not context.usable,
        "a row that is not usable and reads no feedback",
        f"usable = {context.usable}, and it reads {text_of(context)!r}",
        {"use_feedback": False},
    )


@pytest.mark.requirement("TEACH-005")
@pytest.mark.parametrize("rewards", REWARDS)
@pytest.mark.parametrize("with_feedback", [False, True])
def test_usable_means_evidence(subject: Subject, rewards: tuple[float, ...], with_feedback: bool) -> None:  # noqa: FBT001
    """A row is usable exactly if a demonstration or its note is in what its teacher reads."""
    attempts = group_of(0, rewards, [note(0, 0)] * 3 if with_feedback and subject.offers("context.feedback") else None)
    for index, context in enumerate(subject.context(attempts, rules_of(subject.profile))):
        evidence = bool(shown_completions(context, attempts)) or note(0, 0) in text_of(context)
        assert_that(
            context.usable == evidence,
            f"attempt {index} is {'usable, since evidence is shown' if evidence else 'not usable, without evidence'}",
            f"usable = {context.usable}",
            {"rewards": rewards, "feedback": attempts[0].feedback},
            looks_like="M241 unusable rows get an empty context" if context.usable else "",
        )


@pytest.mark.requirement("TEACH-006")
def test_unusable_row_reads_the_prompt(subject: Subject) -> None:
    """No success and no feedback: the messages are those of the prompt."""
    attempts = group_of(0, [0.0, 0.0])
    for context in subject.context(attempts, rules_of(subject.profile)):
        assert_that(context.messages == prompt(0), f"{prompt(0)}", f"{context.messages}")


@pytest.mark.requirement("TEACH-006")
def test_unusable_rows_read_their_own_prompts(subject: Subject) -> None:
    """Two groups without a success beside each other: each row reads its own question."""
    attempts = [*group_of(0, [0.0, 0.0]), *group_of(1, [0.0])]
    for attempt, context in zip(attempts, subject.context(attempts, rules_of(subject.profile)), strict=True):
        assert_that(context.messages == attempt.prompt, f"{attempt.prompt}", f"{context.messages}")


@pytest.mark.requirement("TEACH-007")
@pytest.mark.parametrize("rewards", REWARDS)
def test_own_attempt_is_not_shown(subject: Subject, rewards: tuple[float, ...]) -> None:
    """The scored attempt is in the teacher's prompt only as its own, included, demonstration."""
    attempts = group_of(0, rewards)
    for index, context in enumerate(subject.context(attempts, rules_of(subject.profile))):
        allowed = _demonstration(rewards, index, subject.profile.own_success) == index
        found = completion(0, index) in text_of(context)
        assert_that(
            allowed or not found, f"attempt {index} is not shown to its own teacher", "it is", {"rewards": rewards}
        )


EARLIER = {
    "nothing": (),
    "a reply": ({"role": "user", "content": "An EARLIER-MARK."}, {"role": "assistant", "content": "A REPLY-MARK."}),
    "a tool": (
        {"role": "user", "content": "An EARLIER-MARK."},
        {"role": "assistant", "content": "A CALL-MARK."},
        {"role": "tool", "content": "A RESULT-MARK."},
    ),
    "rules and a reply": (
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "An EARLIER-MARK question."},
        {"role": "assistant", "content": "A REPLY-MARK."},
    ),
}


@pytest.mark.requirement("TEACH-008")
@pytest.mark.parametrize("before", EARLIER)
def test_conversation_stays(subject: Subject, before: str) -> None:
    """Earlier messages once and unchanged; the question once, at the start of the last message."""
    earlier = EARLIER[before]
    messages = (*earlier, {"role": "user", "content": question(0)})
    attempts = [replace(attempt, prompt=messages) for attempt in group_of(0, [0.0, 1.0])]
    context = subject.context(attempts, rules_of(subject.profile))[0]
    whole = text_of(context)
    marks = [word.strip(".") for message in messages for word in message["content"].split() if "MARK" in word]
    for mark in marks:
        assert_that(
            whole.count(mark) == 1,
            f"{mark} exactly once",
            f"{whole.count(mark)} times, in {[message['role'] for message in context.messages]}",
            {"messages": context.messages},
            looks_like="M247 a rendered prompt is rendered again" if whole.count(mark) > 1 else "",
        )
    assert_that(context.messages[:-1] == earlier, f"in front: {earlier}", f"{context.messages[:-1]}")
    last = context.messages[-1]
    assert_that(
        last["role"] == "user" and last["content"].startswith(question(0)),
        f"a last message from the user that begins with {question(0)!r}",
        f"{last}",
    )


@pytest.mark.requirement("TEACH-008")
def test_awkward_conversation_stays(subject: Subject) -> None:
    """Blanks at ends, equal messages, an empty one and a trace in front of the question are left as they are."""
    messages = (*AWKWARD_CONVERSATION, {"role": "user", "content": question(0)})
    attempts = [replace(attempt, prompt=messages) for attempt in group_of(0, [0.0, 1.0])]
    found = subject.context(attempts, rules_of(subject.profile))[0].messages[:-1]
    assert_that(found == AWKWARD_CONVERSATION, f"in front: {AWKWARD_CONVERSATION}", f"{found}")


@pytest.mark.requirement("TEACH-009")
@pytest.mark.parametrize("where", ["prompt", pytest.param("feedback", marks=pytest.mark.needs("context.feedback"))])
@pytest.mark.needs("context.strip_thinking")
def test_tags_outside_demonstrations_are_text(subject: Subject, where: str) -> None:
    """Where traces are stripped, from demonstrations alone: a question or feedback may be about tags."""
    attempts = group_of(0, [0.0], [TAGS_IN_TEXT if where == "feedback" else note(0, 0)])
    if where == "prompt":
        attempts = group_of(0, [0.0, 1.0])
        messages = (prompt(0)[0], {"role": "user", "content": TAGS_IN_TEXT})
        attempts = [replace(attempt, prompt=messages) for attempt in attempts]
    whole = text_of(subject.context(attempts, rules_of(subject.profile, strip_thinking=True))[0])
    assert_that(TAGS_IN_TEXT in whole, f"the text {TAGS_IN_TEXT!r}", repr(whole), {"where": where})


@pytest.mark.requirement("TEACH-009")
@pytest.mark.parametrize(
    "where", ["prompt", "completion", pytest.param("feedback", marks=pytest.mark.needs("context.feedback"))]
)
@pytest.mark.parametrize("kind", AWKWARD_TEXTS)
def test_text_survives(subject: Subject, where: str, kind: str) -> None:
    """What looks like a template, code, other scripts and long text are read as they were written."""
    code = AWKWARD_TEXTS[kind]
    attempts = group_of(0, [0.0, 1.0] if where != "feedback" else [0.0, 0.0])
    if where == "feedback":
        attempts = [replace(attempt, feedback=code) for attempt in attempts]
    elif where == "completion":
        attempts = [attempts[0], replace(attempts[1], completion=code)]
    else:
        messages = (prompt(0)[0], {"role": "user", "content": code})
        attempts = [replace(attempt, prompt=messages) for attempt in attempts]
    whole = text_of(subject.context(attempts, rules_of(subject.profile))[0])
    assert_that(code in whole, f"the text {code!r}", repr(whole), {"where": where, "text": kind})


def _thinking(text: str) -> list[Attempt]:
    attempts = group_of(0, [0.0, 1.0])
    return [attempts[0], replace(attempts[1], completion=text)]


@pytest.mark.requirement("TEACH-010")
@pytest.mark.parametrize(
    "text",
    [
        "<think>TRACE-MARK</think>FINAL-MARK",
        "<think>TRACE-MARK\n\nmore</think>\nFINAL-MARK",
        "FINAL-MARK",
        "<think>TRACE-MARK</think>FINAL-MARK<think>TRACE-MARK</think>done",
    ],
)
def test_trace_is_stripped(subject: Subject, text: str) -> None:
    """Between the tags nothing remains, after them everything."""
    whole = text_of(subject.context(_thinking(text), rules_of(subject.profile, strip_thinking=True))[0])
    assert_that("TRACE-MARK" not in whole, "no reasoning trace", repr(whole), {"demonstration": text})
    assert_that("FINAL-MARK" in whole, "the answer after the trace", repr(whole), {"demonstration": text})


@pytest.mark.requirement("TEACH-010")
def test_trace_is_stripped_for_every_row(subject: Subject) -> None:
    """Also where an attempt that succeeded reads a demonstration, be it its own or a sibling's."""
    text = "<think>TRACE-MARK</think>FINAL-MARK"
    attempts = [replace(attempt, completion=f"{text} {index}") for index, attempt in enumerate(group_of(0, [1.0, 1.0]))]
    for index, context in enumerate(subject.context(attempts, rules_of(subject.profile, strip_thinking=True))):
        whole = text_of(context)
        assert_that("TRACE-MARK" not in whole, f"no trace in what attempt {index} reads", repr(whole))


@pytest.mark.requirement("TEACH-009")
@pytest.mark.needs("context", "context.strip_thinking")
def test_trace_is_text(subject: Subject) -> None:
    """Where traces are not stripped, a demonstration is read with its trace."""
    text = "<think>TRACE-MARK</think>FINAL-MARK"
    whole = text_of(subject.context(_thinking(text), rules_of(subject.profile, strip_thinking=False))[0])
    assert_that(text in whole, f"the text {text!r}", repr(whole), {"strip_thinking": False})


@pytest.mark.requirement("TEACH-013")
def test_trace_opened_in_the_prompt(subject: Subject) -> None:
    """A closing tag without an opening one ends a trace that began in the prompt."""
    text = "TRACE-MARK</think>FINAL-MARK"
    whole = text_of(subject.context(_thinking(text), rules_of(subject.profile, strip_thinking=True))[0])
    assert_that(
        "TRACE-MARK" not in whole and "FINAL-MARK" in whole,
        "the answer without the trace",
        repr(whole),
        {"demonstration": text},
        looks_like="M256 trace left where the opening tag is in the prompt",
    )


KINDS = [
    "demonstration",
    pytest.param("feedback", marks=pytest.mark.needs("context.feedback")),
    pytest.param("both", marks=pytest.mark.needs("context.feedback")),
]
"""Evidence that may have to be shortened; both are read together where feedback always is."""

LETTER = "\u00a7"
"""One that no template has."""


def _with_evidence(kind: str, text: str) -> list[Attempt]:
    """An attempt whose evidence is the text, or two of its size."""
    if kind == "feedback":
        return group_of(0, [0.0], [text])
    attempts = _thinking(text)
    return [replace(attempts[0], feedback=text), attempts[1]] if kind == "both" else attempts


def _limited(subject: Subject, attempts: list[Attempt], limit: int | None) -> TeacherContext:
    return subject.context(attempts, rules_of(subject.profile, max_length=limit))[0]


def _shortened(subject: Subject, kind: str) -> tuple[TeacherContext, str, dict[str, object]]:
    """What a teacher reads with evidence three times longer than the limit, how it ends with short one, inputs."""
    short = _limited(subject, _with_evidence(kind, "x"), None)
    ending = short.messages[-1]["content"].rpartition("x")[2]
    limit = len(text_of(short)) + 300
    long = _limited(subject, _with_evidence(kind, "x" * 3 * limit), limit)
    return long, ending, {"max_length": limit, f"length of the {kind}": 3 * limit}


@pytest.mark.requirement("TEACH-043")
@pytest.mark.parametrize("kind", KINDS)
def test_shortened_context_keeps_the_question(subject: Subject, kind: str) -> None:
    """Evidence three times longer than the limit: the question stays."""
    long, _, inputs = _shortened(subject, kind)
    roles = [message["role"] for message in long.messages]
    assert_that(
        question(0) in text_of(long),
        "the question, whole",
        f"messages {roles} of {len(text_of(long))} characters without it",
        inputs,
        looks_like="M258 the front of a long reprompt is cut",
    )


@pytest.mark.requirement("TEACH-044")
@pytest.mark.parametrize("kind", KINDS)
def test_shortened_context_keeps_the_end(subject: Subject, kind: str) -> None:
    """Evidence three times longer than the limit: the message ends as it does with a short one."""
    long, ending, inputs = _shortened(subject, kind)
    assert_that(
        not long.usable or long.messages[-1]["content"].endswith(ending),
        f"a last message that ends with {ending[-40:]!r}",
        f"one that ends with {long.messages[-1]['content'][-40:]!r}",
        inputs,
        looks_like="M259 the end of a long reprompt is cut",
    )


@pytest.mark.requirement("TEACH-042")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("room", [1, 40, 400])
@pytest.mark.parametrize("too_much", [1, 30, 3_000])
def test_limit_is_kept(subject: Subject, kind: str, room: int, too_much: int) -> None:
    """What a usable row reads is as long as was allowed, or shorter."""
    short = _limited(subject, _with_evidence(kind, "x"), None)
    limit = len(short.messages[-1]["content"]) + room
    evidence = "x" * (1 + room + too_much)
    context = _limited(subject, _with_evidence(kind, evidence), limit)
    length = len(context.messages[-1]["content"])
    assert_that(
        not context.usable or length <= limit,
        f"a last message of at most {limit} characters",
        f"one of {length}",
        {"max_length": limit, f"length of the {kind}": len(evidence)},
    )


@pytest.mark.requirement("TEACH-009")
@pytest.mark.needs("context.max_length")
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_cut_that_fits(subject: Subject, kind: str) -> None:
    """A limit that leaves room for the words of any chat template changes nothing."""
    attempts = _with_evidence(kind, "EVIDENCE-MARK")
    whole = _limited(subject, attempts, None)
    limit = len(text_of(whole)) + 300
    found = _limited(subject, attempts, limit)
    assert_that(found == whole, f"{whole}", f"{found}", {"max_length": limit, "length of all messages": limit - 300})


@pytest.mark.requirement("TEACH-045")
def test_no_room_for_evidence(subject: Subject) -> None:
    """Where nothing of the evidence fits, the row is not usable."""
    rules = rules_of(subject.profile, max_length=len(question(0)))
    context = subject.context(group_of(0, [0.0], [note(0, 0)]), rules)[0]
    assert_that(
        not context.usable,
        "a row that is not usable",
        f"a usable row that reads {text_of(context)!r}",
        {"max_length": len(question(0))},
    )


@pytest.mark.requirement("TEACH-045")
@pytest.mark.parametrize("kind", KINDS)
def test_little_room_for_evidence(subject: Subject, kind: str) -> None:
    """At every limit from the question's length to that at which all fits, a usable row reads some of its evidence."""
    attempts = _with_evidence(kind, LETTER * 300)
    whole = text_of(_limited(subject, attempts, None))
    least = len(question(0))
    for limit in (*range(least, len(whole) - whole.count(LETTER) + 4), max(least, len(whole) - 100)):
        context = _limited(subject, attempts, limit)
        assert_that(
            not context.usable or LETTER in text_of(context),
            f"a row that is not usable, since nothing of its {kind} is read",
            f"a usable row that reads {text_of(context)!r}",
            {"max_length": limit, f"length of the {kind}": 300},
        )


@pytest.mark.requirement("TEACH-005")
@pytest.mark.needs("context.max_length")
@pytest.mark.parametrize("kind", KINDS)
def test_shortened_evidence_is_evidence(subject: Subject, kind: str) -> None:
    """What is left of evidence three times longer than the limit makes the row usable exactly if it is read."""
    attempts = _with_evidence(kind, LETTER * 1_400)
    limit = len(text_of(_limited(subject, _with_evidence(kind, "x"), None))) + 460
    context = _limited(subject, attempts, limit)
    read = LETTER in text_of(context)
    assert_that(
        context.usable == read,
        f"a row that is {'usable, since part of' if read else 'not usable, since nothing of'} its {kind} is read",
        f"usable = {context.usable}",
        {"max_length": limit, f"length of the {kind}": 1_400},
    )
