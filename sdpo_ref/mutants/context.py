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


chapter.family("which rows are usable")
chapter.enter(
    "M241 always_usable: TEACH-005",
    "every row is usable, with or without evidence",
    "rows without evidence pull the student to the teacher's older self",
    context=each(lambda a, c: replace(c, usable=True)),
)
chapter.enter(
    "M242 usable_if_failed: TEACH-005",
    "rows are usable if the attempt failed",
    "rows without evidence pull the student to the teacher's older self, and successes are never trained",
    context=each(lambda a, c: replace(c, usable=a.reward < 1.0)),
)
chapter.enter(
    "M243 never_usable: TEACH-005",
    "rows with feedback alone are not usable",
    "prompts without a success are not learned from",
    context=each(
        lambda a, c: replace(c, usable=c.usable and not (a.feedback and a.feedback in c.messages[-1]["content"]))
    ),
)
chapter.enter(
    "M244 empty_frame: TEACH-006",
    "rows without evidence read an instruction that the student did not read",
    "their teacher differs from the student by the wording alone",
    context=each(lambda a, c: c if c.usable else with_last_message(c, c.messages[-1]["content"] + "\n\nNow answer.")),
)

chapter.family("text around the evidence")
chapter.enter(
    "M245 own_attempt_shown: TEACH-007",
    "the attempt itself is shown to its teacher",
    "the teacher copies what it should judge, and every token looks likely",
    context=each(lambda a, c: with_last_message(c, c.messages[-1]["content"] + a.completion)),
)
chapter.enter(
    "M246 system_message_lost: TEACH-008",
    "messages before the last are lost",
    "the teacher answers under other rules than the student",
    context=each(lambda a, c: replace(c, messages=c.messages[-1:])),
    seen_in="lasgroup/SDPO#12 sdpo-rl-0.0.3",
)
chapter.enter(
    "M247 question_twice: TEACH-008",
    "the prompt is rendered twice",
    "the teacher reads a dialogue that never happened",
    context=each(lambda a, c: with_last_message(c, a.prompt[-1]["content"] + c.messages[-1]["content"])),
)
chapter.enter(
    "M248 system_message_merged: TEACH-008",
    "the system message is written into the user's",
    "the teacher answers under other rules than the student",
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
    "M249 evidence_first: TEACH-008",
    "the evidence stands before the question",
    "not the published prompt",
    Planted(FILE, ".join([*blocks, words", ".join([*blocks[1:], blocks[0], words"),
)
chapter.enter(
    "M250 evidence_as_assistant: TEACH-008",
    "the evidence comes as a message of the assistant's",
    "the teacher believes that it has answered already",
    context=each(
        lambda a, c: replace(c, messages=(*c.messages[:-1], {**c.messages[-1], "role": "assistant"})) if c.usable else c
    ),
)
chapter.enter(
    "M251 braces_eaten: TEACH-009",
    "doubled braces become single ones, as a format string does",
    "code in prompts and solutions is altered",
    context=each(lambda a, c: with_last_message(c, c.messages[-1]["content"].replace("{{", "{").replace("}}", "}"))),
)
chapter.enter(
    "M252 template_words_filled: TEACH-009",
    "names of the template's fields are filled in wherever they stand",
    "a prompt that mentions {prompt} is filled with itself",
    context=each(
        lambda a, c: with_last_message(c, c.messages[-1]["content"].replace("{prompt}", a.prompt[0]["content"]))
    ),
)
chapter.enter(
    "M253 trace_kept: TEACH-010",
    "reasoning traces stay in demonstrations",
    "the teacher continues another attempt's thoughts",
    context=under(strip_thinking=False),
)
chapter.enter(
    "M254 answer_stripped_too: TEACH-010",
    "everything from the opening tag on is cut",
    "demonstrations are empty",
    Planted(FILE, 'r"<think>.*?</think>\\s*"', 'r"<think>.*"'),
)
chapter.enter(
    "M255 traces_of_one_line: TEACH-010",
    "only traces without a line break are cut",
    "the teacher continues another attempt's thoughts, for nearly all traces",
    Planted(
        FILE,
        'closed = re.sub(r"<think>.*?</think>\\s*", "", text, flags=re.DOTALL)\n'
        '    return re.sub(r"^.*</think>\\s*", "", closed, flags=re.DOTALL)',
        'return re.sub(r"<think>.*?</think>", "", text)',
    ),
)
chapter.enter(
    "M256 trace_without_opening_tag: TEACH-013",
    "a trace whose opening tag stood in the prompt stays",
    "the teacher continues another attempt's thoughts, with templates that open the trace themselves",
    Planted(FILE, 'return re.sub(r"^.*</think>\\s*", "", closed, flags=re.DOTALL)', "return closed"),
)
chapter.enter(
    "M257 depends_on_the_batch: TEACH-012",
    "in batches of four or more the second half is not usable",
    "what is learned depends on how prompts are batched",
    context=lambda a, r: (
        [
            c if i < len(a) // 2 or not c.usable or len(a) < 4 else replace(c, usable=False)
            for i, c in enumerate(read(a, r))
        ]
    ),
)
chapter.enter(
    "M430 tool_messages_lost: TEACH-008",
    "messages of tools are dropped",
    "the teacher does not know what the student was answering to",
    Planted(FILE, "(*attempt.prompt[:-1],", "(*[it for it in attempt.prompt[:-1] if it['role'] != 'tool'],"),
)
chapter.enter(
    "M432 first_trace_only: TEACH-010",
    "only the first of several reasoning traces is stripped",
    "the teacher continues another attempt's thoughts, in dialogues with several turns",
    Planted(FILE, '"", text, flags=re.DOTALL)', '"", text, count=1, flags=re.DOTALL)'),
)
chapter.enter(
    "M433 traces_are_one: TEACH-010",
    "all from the first opening tag to the last closing tag is stripped",
    "the answer between two traces is lost",
    Planted(FILE, "<think>.*?</think>", "<think>.*</think>"),
)

chapter.family("text that is read")
chapter.enter(
    "M400 feedback_on_one_line: TEACH-009",
    "line breaks and indentation of feedback become single blanks",
    "code and tracebacks lose their shape",
    feedback_as("' '.join(attempt.feedback.split())"),
)
chapter.enter(
    "M401 feedback_first_line: TEACH-009",
    "only the first line of feedback is shown",
    "the teacher reads that there was an error, and not which",
    feedback_as("attempt.feedback.strip().splitlines()[0]"),
)
chapter.enter(
    "M402 feedback_of_200_characters: TEACH-009",
    "feedback is cut after 200 characters, without a limit being set",
    "the teacher reads that there was an error, and not which",
    feedback_as("attempt.feedback[:200]"),
)
chapter.enter(
    "M403 feedback_in_ascii: TEACH-009",
    "characters outside of ASCII are dropped from feedback",
    "notes in most languages become noise",
    feedback_as("attempt.feedback.encode('ascii', 'ignore').decode()"),
)
chapter.enter(
    "M404 feedback_normalised: TEACH-009",
    "feedback is brought into Unicode's compatibility form",
    "the teacher reads other characters than were compared",
    feedback_as("__import__('unicodedata').normalize('NFKC', attempt.feedback)"),
)
chapter.enter(
    "M405 demonstration_of_2000_characters: TEACH-009",
    "demonstrations are cut after 2,000 characters, without a limit being set",
    "the teacher reads solutions without their end",
    Planted(FILE, SHOWN, SHOWN.replace("attempt.completion", "attempt.completion[:2000]")),
)
chapter.enter(
    "M420 trace_always_stripped: TEACH-009",
    "reasoning traces are stripped also where they are to be shown",
    "the teacher reads less than was chosen",
    Planted(FILE, SHOWN, "return without_thinking(attempt.completion)\n"),
)

chapter.family("length of the context")
chapter.enter(
    "M258 front_cut: TEACH-043",
    "a message that is too long loses its beginning",
    "the teacher does not know the question",
    context=shortened_by(cut_front),
)
chapter.enter(
    "M259 end_cut: TEACH-044",
    "a message that is too long loses its end",
    "the teacher continues the feedback instead of answering",
    context=shortened_by(cut_end),
    seen_in="lasgroup/SDPO",
)
chapter.enter(
    "M260 usable_without_room: TEACH-045",
    "a row whose evidence was cut to nothing stays usable",
    "rows without evidence pull the student to the teacher's older self",
    Planted(FILE, "        else:\n            return None\n", "        else:\n            return text\n"),
)
chapter.enter(
    "M431 limit_exceeded: TEACH-042",
    "the limit is exceeded by up to 50",
    "batches with long feedback do not fit into memory",
    Planted(FILE, "length(text) > max_length:", "length(text) > max_length + 50:"),
)

chapter.family("context of SDFT")
chapter.enter(
    "M261 sft_without_demonstration: TEACH-040",
    "the demonstration does not reach the context",
    "the teacher has no more information than the student",
    demonstration_context=lambda prompt, demonstration: GOOD.demonstration_context(prompt, demonstration and "x"),
)
chapter.enter(
    "M262 sft_without_system_message: TEACH-040",
    "messages before the last are lost",
    "the teacher answers under other rules than the student",
    demonstration_context=lambda prompt, demonstration: GOOD.demonstration_context(prompt, demonstration)[-1:],
)
chapter.enter(
    "M263 sft_made_up: TEACH-041",
    "a missing demonstration is replaced by a placeholder",
    "rows without a demonstration are trained towards a placeholder",
    demonstration_context=lambda prompt, demonstration: GOOD.demonstration_context(prompt, demonstration or "(none)"),
)
chapter.enter(
    "M264 sft_plain_prompt: TEACH-041",
    "a missing demonstration gives the prompt itself",
    "rows without a demonstration pull the student to the teacher's older self",
    demonstration_context=lambda prompt, demonstration: (
        GOOD.demonstration_context(prompt, demonstration) if demonstration else prompt
    ),
    same_as="M263",
)
chapter.enter(
    "M419 sft_demonstration_cut: TEACH-040",
    "demonstrations are cut after 2,000 characters",
    "the teacher reads solutions without their end",
    Planted(FILE, "_joined(_question(prompt), demonstration,", "_joined(_question(prompt), demonstration[:2000],"),
)

chapter.family("what is switched off")
chapter.enter(
    "M470 demonstrations_cannot_be_switched_off: TEACH-046",
    "demonstrations are shown also where they are switched off",
    "a run that is said to learn from feedback alone learns from solutions",
    Planted(FILE, "if not rules.use_demonstrations:", "if False:"),
)
chapter.enter(
    "M471 feedback_cannot_be_switched_off: TEACH-047",
    "feedback is read also where it is switched off",
    "a run that is said to learn without feedback learns from it",
    Planted(FILE, "if not rules.use_feedback or attempt", "if attempt"),
)

chapter.family("text changed on its way")
chapter.enter(
    "M472 blanks_at_the_ends_taken: TEACH-009",
    "feedback loses the blanks and line ends at both its ends",
    "the first line of code in it loses its indentation",
    feedback_as("attempt.feedback.strip()"),
)
chapter.enter(
    "M473 line_ends_of_one_kind: TEACH-009",
    "all line ends become those of one system",
    "an error that is about line ends cannot be read",
    Planted(FILE, "words.instruction])", 'words.instruction]).replace("\\r\\n", "\\n")'),
)
chapter.enter(
    "M474 control_tokens_taken: TEACH-009",
    "what looks like a control token is taken out of the text",
    "questions about templates are read with holes",
    Planted(FILE, "words.instruction])", 'words.instruction]).replace("<|im_end|>", "")'),
)
chapter.enter(
    "M475 trace_taken_from_the_question: TEACH-009",
    "reasoning traces are stripped from the question as well",
    "student and teacher are asked different questions",
    Planted(FILE, "blocks = [question]", "blocks = [without_thinking(question)]"),
)
chapter.enter(
    "M476 earlier_messages_stripped: TEACH-008",
    "earlier messages lose the blanks at their ends",
    "student and teacher read different instructions",
    context=each(
        lambda a, c: replace(
            c, messages=(*({**it, "content": it["content"].strip()} for it in c.messages[:-1]), c.messages[-1])
        )
    ),
)
chapter.enter(
    "M477 sdft_demonstration_stripped: TEACH-040",
    "demonstrations of SDFT lose the blanks at their ends",
    "the first line of code in them loses its indentation",
    demonstration_context=lambda prompt, demonstration: GOOD.demonstration_context(
        prompt, demonstration and demonstration.strip()
    ),
)
chapter.enter(
    "M478 demonstration_is_never_cut: TEACH-042",
    "feedback is shortened, and a demonstration is not",
    "batches with long solutions do not fit into memory",
    Planted(
        FILE,
        "        elif demonstration:\n",
        "        elif demonstration:\n            return text\n        elif feedback:\n",
    ),
)
chapter.enter(
    "M479 usable_without_a_demonstration: TEACH-045",
    "a row whose demonstration was cut to nothing stays usable",
    "rows without evidence pull the student to the teacher's older self",
    Planted(FILE, "return text if demonstration or feedback", "return text if demonstration is not None or feedback"),
)
