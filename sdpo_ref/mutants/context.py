"""Defects of the text around the evidence, of its length, and of SDFT's context (spec/03-teacher, A and C)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sdpo_ref.mutants.mutant import GOOD, Chapter
from sdpo_ref.mutants.plant import Planted
from sdpo_ref.mutants.variation import each, read, under, with_last_message
from sdpo_ref.protocols.parts import Attempt, TeacherContext

FILE = "teachers/context.py"
SHOWN = "return without_thinking(attempt.completion) if rules.strip_thinking else attempt.completion\n"

chapter = Chapter()


def cut_front(found: TeacherContext, limit: int | None) -> TeacherContext:
    """Too long a message loses its beginning."""
    return with_last_message(found, found.messages[-1]["content"][-limit:]) if limit else found


def cut_end(found: TeacherContext, limit: int | None) -> TeacherContext:
    """Too long a message loses its end."""
    return with_last_message(found, found.messages[-1]["content"][:limit]) if limit else found


def feedback_as(expression: str) -> Planted:
    """Feedback is shown as what the expression makes of it."""
    line = "return attempt.feedback if passes else None"
    return Planted(FILE, line, line.replace("attempt.feedback", expression, 1))


def shortened_by(cut: Any) -> Any:
    """Contexts that are built without a limit and cut afterwards."""

    def part(attempts: Sequence[Attempt], rules: Any) -> list[TeacherContext]:
        return [cut(context, rules.max_length) for context in read(attempts, rules, max_length=None)]

    return part


USABLE = "which rows are usable"
chapter.enter(
    241,
    "always_usable",
    USABLE,
    "every row is usable, with or without evidence",
    "rows without evidence pull the student to the teacher's older self",
    "TEACH-005",
    context=each(lambda a, c: replace(c, usable=True)),
)
chapter.enter(
    242,
    "usable_if_failed",
    USABLE,
    "rows are usable if the attempt failed",
    "rows without evidence pull the student to the teacher's older self, and successes are never trained",
    "TEACH-005",
    context=each(lambda a, c: replace(c, usable=a.reward < 1.0)),
)
chapter.enter(
    243,
    "never_usable",
    USABLE,
    "rows with feedback alone are not usable",
    "prompts without a success are not learned from",
    "TEACH-005",
    context=each(
        lambda a, c: replace(c, usable=c.usable and not (a.feedback and a.feedback in c.messages[-1]["content"]))
    ),
)
chapter.enter(
    244,
    "empty_frame",
    USABLE,
    "rows without evidence read an instruction that the student did not read",
    "their teacher differs from the student by the wording alone",
    "TEACH-006",
    context=each(lambda a, c: c if c.usable else with_last_message(c, c.messages[-1]["content"] + "\n\nNow answer.")),
)

TEXT = "text around the evidence"
chapter.enter(
    245,
    "own_attempt_shown",
    TEXT,
    "the attempt itself is shown to its teacher",
    "the teacher copies what it should judge, and every token looks likely",
    "TEACH-007",
    context=each(lambda a, c: with_last_message(c, c.messages[-1]["content"] + a.completion)),
)
chapter.enter(
    246,
    "system_message_lost",
    TEXT,
    "messages before the last are lost",
    "the teacher answers under other rules than the student",
    "TEACH-008",
    context=each(lambda a, c: replace(c, messages=c.messages[-1:])),
    seen_in="lasgroup/SDPO#12 sdpo-rl-0.0.3",
)
chapter.enter(
    247,
    "question_twice",
    TEXT,
    "the prompt is rendered twice",
    "the teacher reads a dialogue that never happened",
    "TEACH-008",
    context=each(lambda a, c: with_last_message(c, a.prompt[-1]["content"] + c.messages[-1]["content"])),
)
chapter.enter(
    248,
    "system_message_merged",
    TEXT,
    "the system message is written into the user's",
    "the teacher answers under other rules than the student",
    "TEACH-008",
    context=each(
        lambda a, c: (
            with_last_message(
                replace(c, messages=c.messages[-1:]), c.messages[0]["content"] + "\n" + c.messages[-1]["content"]
            )
            if len(c.messages) > 1
            else c
        )
    ),
)
chapter.enter(
    249,
    "evidence_first",
    TEXT,
    "the evidence stands before the question",
    "not the published prompt",
    "TEACH-008",
    Planted(
        FILE,
        'return "\\n\\n".join([*blocks, words.instruction])',
        'return "\\n\\n".join([*blocks[1:], blocks[0], words.instruction])',
    ),
)
chapter.enter(
    250,
    "evidence_as_assistant",
    TEXT,
    "the evidence comes as a message of the assistant's",
    "the teacher believes that it has answered already",
    "TEACH-008",
    context=each(
        lambda a, c: replace(c, messages=(*c.messages[:-1], {**c.messages[-1], "role": "assistant"})) if c.usable else c
    ),
)
chapter.enter(
    251,
    "braces_eaten",
    TEXT,
    "doubled braces become single ones, as a format string does",
    "code in prompts and solutions is altered",
    "TEACH-009",
    context=each(lambda a, c: with_last_message(c, c.messages[-1]["content"].replace("{{", "{").replace("}}", "}"))),
)
chapter.enter(
    252,
    "template_words_filled",
    TEXT,
    "names of the template's fields are filled in wherever they stand",
    "a prompt that mentions {prompt} is filled with itself",
    "TEACH-009",
    context=each(
        lambda a, c: with_last_message(c, c.messages[-1]["content"].replace("{prompt}", a.prompt[0]["content"]))
    ),
)
chapter.enter(
    253,
    "trace_kept",
    TEXT,
    "reasoning traces stay in demonstrations",
    "the teacher continues another attempt's thoughts",
    "TEACH-010",
    context=under(strip_thinking=False),
)
chapter.enter(
    254,
    "answer_stripped_too",
    TEXT,
    "everything from the opening tag on is cut",
    "demonstrations are empty",
    "TEACH-010",
    Planted(FILE, 'r"<think>.*?</think>\\s*"', 'r"<think>.*"'),
)
chapter.enter(
    255,
    "traces_of_one_line",
    TEXT,
    "only traces without a line break are cut",
    "the teacher continues another attempt's thoughts, for nearly all traces",
    "TEACH-010",
    Planted(
        FILE,
        'closed = re.sub(r"<think>.*?</think>\\s*", "", text, flags=re.DOTALL)\n'
        '    return re.sub(r"^.*</think>\\s*", "", closed, flags=re.DOTALL)',
        'return re.sub(r"<think>.*?</think>", "", text)',
    ),
)
chapter.enter(
    256,
    "trace_without_opening_tag",
    TEXT,
    "a trace whose opening tag stood in the prompt stays",
    "the teacher continues another attempt's thoughts, with templates that open the trace themselves",
    "TEACH-013",
    Planted(FILE, 'return re.sub(r"^.*</think>\\s*", "", closed, flags=re.DOTALL)', "return closed"),
)
chapter.enter(
    257,
    "depends_on_the_batch",
    TEXT,
    "in batches of four or more the second half is not usable",
    "what is learned depends on how prompts are batched",
    "TEACH-012",
    context=lambda a, r: (
        [
            c if i < len(a) // 2 or not c.usable or len(a) < 4 else replace(c, usable=False)
            for i, c in enumerate(read(a, r))
        ]
    ),
)
chapter.enter(
    430,
    "tool_messages_lost",
    TEXT,
    "messages of tools are dropped",
    "the teacher does not know what the student was answering to",
    "TEACH-008",
    Planted(FILE, "(*attempt.prompt[:-1],", "(*[it for it in attempt.prompt[:-1] if it['role'] != 'tool'],"),
)
chapter.enter(
    432,
    "first_trace_only",
    TEXT,
    "only the first of several reasoning traces is stripped",
    "the teacher continues another attempt's thoughts, in dialogues with several turns",
    "TEACH-010",
    Planted(FILE, '"", text, flags=re.DOTALL)', '"", text, count=1, flags=re.DOTALL)'),
)
chapter.enter(
    433,
    "traces_are_one",
    TEXT,
    "all from the first opening tag to the last closing tag is stripped",
    "the answer between two traces is lost",
    "TEACH-010",
    Planted(FILE, "<think>.*?</think>", "<think>.*</think>"),
)

READ = "text that is read"
chapter.enter(
    400,
    "feedback_on_one_line",
    READ,
    "line breaks and indentation of feedback become single blanks",
    "code and tracebacks lose their shape",
    "TEACH-009",
    feedback_as("' '.join(attempt.feedback.split())"),
)
chapter.enter(
    401,
    "feedback_first_line",
    READ,
    "only the first line of feedback is shown",
    "the teacher reads that there was an error, and not which",
    "TEACH-009",
    feedback_as("attempt.feedback.strip().splitlines()[0]"),
)
chapter.enter(
    402,
    "feedback_of_200_characters",
    READ,
    "feedback is cut after 200 characters, without a limit being set",
    "the teacher reads that there was an error, and not which",
    "TEACH-009",
    feedback_as("attempt.feedback[:200]"),
)
chapter.enter(
    403,
    "feedback_in_ascii",
    READ,
    "characters outside of ASCII are dropped from feedback",
    "notes in most languages become noise",
    "TEACH-009",
    feedback_as("attempt.feedback.encode('ascii', 'ignore').decode()"),
)
chapter.enter(
    404,
    "feedback_normalised",
    READ,
    "feedback is brought into Unicode's compatibility form",
    "the teacher reads other characters than were compared",
    "TEACH-009",
    feedback_as("__import__('unicodedata').normalize('NFKC', attempt.feedback)"),
)
chapter.enter(
    405,
    "demonstration_of_2000_characters",
    READ,
    "demonstrations are cut after 2,000 characters, without a limit being set",
    "the teacher reads solutions without their end",
    "TEACH-009",
    Planted(FILE, SHOWN, SHOWN.replace("attempt.completion", "attempt.completion[:2000]")),
)
chapter.enter(
    420,
    "trace_always_stripped",
    READ,
    "reasoning traces are stripped also where they are to be shown",
    "the teacher reads less than was chosen",
    "TEACH-009",
    Planted(FILE, SHOWN, "return without_thinking(attempt.completion)\n"),
)

LENGTH = "length of the context"
chapter.enter(
    258,
    "front_cut",
    LENGTH,
    "a message that is too long loses its beginning",
    "the teacher does not know the question",
    "TEACH-043",
    context=shortened_by(cut_front),
)
chapter.enter(
    259,
    "end_cut",
    LENGTH,
    "a message that is too long loses its end",
    "the teacher continues the feedback instead of answering",
    "TEACH-044",
    context=shortened_by(cut_end),
    seen_in="lasgroup/SDPO",
)
chapter.enter(
    260,
    "usable_without_room",
    LENGTH,
    "a row whose evidence was cut to nothing stays usable",
    "rows without evidence pull the student to the teacher's older self",
    "TEACH-045",
    Planted(FILE, "        else:\n            return None\n", "        else:\n            return text\n"),
)
chapter.enter(
    431,
    "limit_exceeded",
    LENGTH,
    "the limit is exceeded by up to 50",
    "batches with long feedback do not fit into memory",
    "TEACH-042",
    Planted(FILE, "length(text) > max_length:", "length(text) > max_length + 50:"),
)

SDFT = "context of SDFT"
chapter.enter(
    261,
    "sft_without_demonstration",
    SDFT,
    "the demonstration does not reach the context",
    "the teacher has no more information than the student",
    "TEACH-040",
    demonstration_context=lambda prompt, demonstration: GOOD.demonstration_context(prompt, demonstration and "x"),
)
chapter.enter(
    262,
    "sft_without_system_message",
    SDFT,
    "messages before the last are lost",
    "the teacher answers under other rules than the student",
    "TEACH-040",
    demonstration_context=lambda prompt, demonstration: GOOD.demonstration_context(prompt, demonstration)[-1:],
)
chapter.enter(
    263,
    "sft_made_up",
    SDFT,
    "a missing demonstration is replaced by a placeholder",
    "rows without a demonstration are trained towards a placeholder",
    "TEACH-041",
    demonstration_context=lambda prompt, demonstration: GOOD.demonstration_context(prompt, demonstration or "(none)"),
)
chapter.enter(
    264,
    "sft_plain_prompt",
    SDFT,
    "a missing demonstration gives the prompt itself",
    "rows without a demonstration pull the student to the teacher's older self",
    "TEACH-041",
    demonstration_context=lambda prompt, demonstration: (
        GOOD.demonstration_context(prompt, demonstration) if demonstration else prompt
    ),
    same_as=263,
)
chapter.enter(
    419,
    "sft_demonstration_cut",
    SDFT,
    "demonstrations are cut after 2,000 characters",
    "the teacher reads solutions without their end",
    "TEACH-040",
    Planted(FILE, "_joined(_question(prompt), demonstration,", "_joined(_question(prompt), demonstration[:2000],"),
)

MUTANTS = tuple(chapter.mutants)
