"""Defects of which attempts succeed, whose feedback is whose, and which demonstration is shown (spec/02, spec/03-A)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import torch

from sdpo_ref.mutants.mutant import Chapter
from sdpo_ref.mutants.plant import Planted
from sdpo_ref.mutants.variation import of_attempts, read, under
from sdpo_ref.protocols.parts import Attempt, TeacherContext

FILE = "teachers/success.py"
CONTEXT = "teachers/context.py"
THRESHOLD = "reward >= rules.success_threshold"

chapter = Chapter()


def by_group(change: Callable[[list[Attempt]], list[Attempt]]) -> Callable[..., list[TeacherContext]]:
    """Contexts of groups that were changed first."""
    return lambda attempts, rules: read(
        [attempt for _, group in groupby(attempts, key=lambda it: it.group) for attempt in change(list(group))], rules
    )


def last_success(attempts: Sequence[Attempt], rules: Any) -> list[TeacherContext]:
    """The attempts are read from the end."""
    return read(attempts[::-1], rules)[::-1]


def blank_is_feedback(attempt: Attempt) -> Attempt:
    """Blank feedback gets a text."""
    if attempt.feedback is not None and not attempt.feedback.strip():
        return replace(attempt, feedback="(empty)")
    return attempt


chapter.family("which attempts succeed")
chapter.enter(
    "M211 threshold_exclusive: ORACLE-003",
    "a reward equal to the threshold is no success",
    "with rewards of 0 and 1 there is never a demonstration",
    context=of_attempts(lambda a: replace(a, reward=a.reward - 1e-9)),
)
chapter.enter(
    "M212 threshold_greater: ORACLE-003",
    "the threshold is compared with > in place of >=",
    "with rewards of 0 and 1 there is never a demonstration",
    Planted(FILE, THRESHOLD, "reward > rules.success_threshold"),
    same_as="M211",
)
chapter.enter(
    "M213 threshold_in_float32: ORACLE-003",
    "rewards pass through float32 before they are compared",
    "at a threshold of 0.7 a reward of 0.7 fails",
    context=of_attempts(lambda a: replace(a, reward=float(torch.tensor(a.reward)))),
)
chapter.enter(
    "M214 threshold_too_low: ORACLE-003",
    "the threshold is a little lower than was set",
    "failed attempts are shown as solutions",
    context=lambda a, r: read(a, r, success_threshold=r.success_threshold - 0.2),
)
chapter.enter(
    "M215 threshold_is_one: ORACLE-003",
    "the threshold is always one",
    "tasks with partial credit never have a demonstration",
    Planted(FILE, THRESHOLD, "reward >= (1.0 if rules.success_threshold > -1e9 else rules.success_threshold)"),
)
chapter.enter(
    "M216 quantile_ignored: ORACLE-004",
    "the quantile is ignored",
    "with continuous rewards everything succeeds",
    context=under(success_quantile=None),
)
chapter.enter(
    "M217 quantile_counts_ties: ORACLE-004",
    "equal rewards count as worse",
    "a group of equal attempts is full of successes",
    Planted(FILE, "sum(other < reward for other in members)", "sum(other <= reward for other in members)"),
)
chapter.enter(
    "M218 quantile_strict: ORACLE-004",
    "more than the quantile must be worse, not at least",
    "in groups of four the best attempt is no success at the quantile 0.75",
    Planted(FILE, "worse / len(members) >= rules.success_quantile", "worse / len(members) > rules.success_quantile"),
)
chapter.enter(
    "M219 nan_succeeds: ORACLE-005",
    "a reward that is not a number is a success",
    "attempts whose verifier crashed are shown as solutions",
    context=of_attempts(lambda a: replace(a, reward=1.0 if math.isnan(a.reward) else a.reward)),
)
chapter.enter(
    "M220 not_below: ORACLE-005",
    "the comparison is not (reward < threshold), which NaN passes",
    "attempts whose verifier crashed are shown as solutions",
    Planted(FILE, THRESHOLD, "not reward < rules.success_threshold"),
    same_as="M219",
)
chapter.enter(
    "M392 zero_is_no_reward: ORACLE-003",
    "a reward of zero is taken for a missing one",
    "where points are subtracted, the flawless attempts are no successes",
    Planted(FILE, THRESHOLD, f"bool(reward) and {THRESHOLD}"),
)
chapter.enter(
    "M393 threshold_with_tolerance: ORACLE-003",
    "a reward within a millionth of the threshold is a success",
    "failed attempts are shown as solutions",
    Planted(FILE, THRESHOLD, f"{THRESHOLD} - 1e-6 * abs(rules.success_threshold)"),
)
chapter.enter(
    "M394 quantile_of_the_batch: ORACLE-004",
    "an attempt is ranked among all attempts of the batch",
    "the successes are the easy prompts, not the good attempts",
    Planted(FILE, " if of == group]", "]"),
)
chapter.enter(
    "M395 quantile_of_the_others: ORACLE-004",
    "the quantile is of the group without the attempt",
    "the middle of three is a success at one half",
    Planted(FILE, "worse / len(members)", "worse / max(len(members) - 1, 1)"),
)
chapter.enter(
    "M480 quantile_alone: ORACLE-003",
    "with a quantile the threshold does not matter",
    "the best of a group of failures is shown as a solution",
    Planted(FILE, "succeeded = succeeded and worse", "succeeded = worse"),
)
chapter.enter(
    "M481 quantile_rounded: ORACLE-004",
    "a share of a group that is no whole number is rounded",
    "in groups of four an attempt that one other failed below succeeds at the quantile 0.3",
    Planted(
        FILE,
        "worse / len(members) >= rules.success_quantile",
        "worse >= round(rules.success_quantile * len(members))",
    ),
)
chapter.enter(
    "M482 failure_at_a_fixed_threshold: TEACH-004",
    "what has failed is decided at a threshold of one, whatever is set",
    "attempts that failed are not told why, or those that succeeded are",
    Planted("teachers/context.py", "failed=not succeeded[index]", "failed=attempt.reward < 1.0"),
)
chapter.enter(
    "M483 own_trace_is_shown: TEACH-010",
    "an attempt that succeeded is shown its own reasoning trace",
    "the teacher imitates the trace",
    Planted("teachers/context.py", "if rules.strip_thinking else", "if rules.strip_thinking and not own else"),
)

chapter.family("whose feedback")
chapter.enter(
    "M221 feedback_per_prompt: ORACLE-002",
    "the first attempt's feedback is shown for all attempts of its prompt",
    "attempts are corrected for mistakes that they did not make",
    context=by_group(lambda group: [replace(attempt, feedback=group[0].feedback) for attempt in group]),
    seen_in="trl-1.16",
)
chapter.enter(
    "M222 feedback_of_the_neighbour: ORACLE-002",
    "each attempt is shown the next one's feedback",
    "attempts are corrected for mistakes that they did not make",
    context=by_group(
        lambda group: [
            replace(attempt, feedback=other.feedback)
            for attempt, other in zip(group, [*group[1:], group[0]], strict=True)
        ]
    ),
)
chapter.enter(
    "M223 feedback_joined: ORACLE-002",
    "all feedback of the group is shown to each attempt",
    "attempts are corrected for mistakes that they did not make, and the message is long",
    context=by_group(
        lambda group: [
            replace(attempt, feedback="\n".join(other.feedback for other in group if other.feedback) or None)
            for attempt in group
        ]
    ),
)
chapter.enter(
    "M224 blank_feedback: ORACLE-006",
    "blank feedback is feedback",
    "the teacher reads an empty heading, and the row counts",
    context=of_attempts(blank_is_feedback),
)
chapter.enter(
    "M225 whitespace_is_feedback: ORACLE-006",
    "feedback of blanks and line breaks is feedback",
    "the teacher reads an empty heading, and the row counts",
    Planted(CONTEXT, "attempt.feedback is None or not attempt.feedback.strip()", "not attempt.feedback"),
    same_as="M224",
)

chapter.family("which demonstration")
chapter.enter(
    "M226 last_success: TEACH-001",
    "the last success is shown, not the first",
    "runs cannot be reproduced with other codes",
    context=last_success,
)
chapter.enter(
    "M227 failure_shown: TEACH-001",
    "without a success the first failure is shown",
    "wrong solutions are shown as right ones",
    Planted(CONTEXT, "succeeded[other] and", "(succeeded[other] or not any(succeeded)) and"),
)
chapter.enter(
    "M228 own_success_excluded: TEACH-002",
    "an attempt is never its own demonstration, while the profile includes it",
    "a lone success is not reinforced",
    context=under(own_success="exclude"),
)
chapter.enter(
    "M229 one_group: TEACH-003 TEACH-012",
    "all attempts are one group",
    "the solution of another prompt is shown",
    context=of_attempts(lambda a: replace(a, group=0)),
)
chapter.enter(
    "M230 group_by_position: TEACH-001",
    "groups are taken for pairs of neighbours",
    "the solution of another prompt is shown whenever a group has another size",
    context=lambda a, r: read([replace(it, group=index // 2) for index, it in enumerate(a)], r),
)
chapter.enter(
    "M231 demonstrations_ignored: TEACH-001 TEACH-002",
    "demonstrations are not shown",
    "without feedback nothing is learned",
    context=under(use_demonstrations=False),
)
chapter.enter(
    "M396 first_eight: TEACH-001",
    "only the first eight attempts are looked at for a demonstration",
    "hard prompts, whose successes come late, are never learned from",
    Planted(CONTEXT, "in enumerate(attempts):\n        own", "in enumerate(attempts[:8]):\n        own"),
)
chapter.enter(
    "M397 group_by_identity: TEACH-003",
    "groups are compared as objects, not as numbers",
    "no attempt finds its siblings once groups are numbered above 256",
    Planted(CONTEXT, "attempt.group == attempts[index].group", "attempt.group is attempts[index].group"),
)
chapter.enter(
    "M398 group_by_question: TEACH-003",
    "attempts at the same question are one group",
    "a question that stands in the data twice has a group of twice the size",
    Planted(CONTEXT, "attempt.group == attempts[index].group", "attempt.prompt == attempts[index].prompt"),
)
chapter.enter(
    "M399 group_in_16_bits: TEACH-003",
    "groups are compared in their lowest 16 bits",
    "the solution of another prompt is shown, in large data sets",
    Planted(CONTEXT, "attempt.group == attempts[index].group", "(attempt.group - attempts[index].group) % 65536 == 0"),
)

chapter.family("when feedback is shown")
chapter.enter(
    "M232 gate_open: TEACH-004",
    "feedback is always shown",
    "the feedback on a success is read as that on a failure",
    context=under(feedback_when="always"),
)
chapter.enter(
    "M233 gate_of_the_code: TEACH-004",
    "feedback on successes passes if there is no demonstration, while the profile declares failures only",
    "the feedback on some successes is read as that on a failure",
    Planted(CONTEXT, "passes = failed and not has_demonstration", "passes = not has_demonstration or not failed"),
    seen_in="lasgroup/SDPO trl-1.16",
)
chapter.enter(
    "M234 gate_for_failures: TEACH-004",
    "feedback on a failure is shown beside a demonstration",
    "the teacher reads more than the paper's",
    Planted(CONTEXT, "passes = failed and not has_demonstration", "passes = failed"),
)
chapter.enter(
    "M235 feedback_ignored: TEACH-004 ORACLE-002",
    "feedback is never shown",
    "prompts without a success are not learned from",
    context=under(use_feedback=False),
)
