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


SUCCESS = "which attempts succeed"
chapter.enter(
    211,
    "threshold_exclusive",
    SUCCESS,
    "a reward equal to the threshold is no success",
    "with rewards of 0 and 1 there is never a demonstration",
    "ORACLE-003",
    context=of_attempts(lambda a: replace(a, reward=a.reward - 1e-9)),
)
chapter.enter(
    212,
    "threshold_greater",
    SUCCESS,
    "the threshold is compared with > in place of >=",
    "with rewards of 0 and 1 there is never a demonstration",
    "ORACLE-003",
    Planted(FILE, "reward >= rules.success_threshold", "reward > rules.success_threshold"),
    same_as=211,
)
chapter.enter(
    213,
    "threshold_in_float32",
    SUCCESS,
    "rewards pass through float32 before they are compared",
    "at a threshold of 0.7 a reward of 0.7 fails",
    "ORACLE-003",
    context=of_attempts(lambda a: replace(a, reward=float(torch.tensor(a.reward)))),
)
chapter.enter(
    214,
    "threshold_too_low",
    SUCCESS,
    "the threshold is a little lower than was set",
    "failed attempts are shown as solutions",
    "ORACLE-003",
    context=lambda a, r: read(a, r, success_threshold=r.success_threshold - 0.2),
)
chapter.enter(
    215,
    "threshold_is_one",
    SUCCESS,
    "the threshold is always one",
    "tasks with partial credit never have a demonstration",
    "ORACLE-003",
    Planted(
        FILE,
        "reward >= rules.success_threshold",
        "reward >= (1.0 if rules.success_threshold > -1e9 else rules.success_threshold)",
    ),
)
chapter.enter(
    216,
    "quantile_ignored",
    SUCCESS,
    "the quantile is ignored",
    "with continuous rewards everything succeeds",
    "ORACLE-004",
    context=under(success_quantile=None),
)
chapter.enter(
    217,
    "quantile_counts_ties",
    SUCCESS,
    "equal rewards count as worse",
    "a group of equal attempts is full of successes",
    "ORACLE-004",
    Planted(
        FILE, "worse = sum(other < reward for other in members)", "worse = sum(other <= reward for other in members)"
    ),
)
chapter.enter(
    218,
    "quantile_strict",
    SUCCESS,
    "more than the quantile must be worse, not at least",
    "in groups of four the best attempt is no success at the quantile 0.75",
    "ORACLE-004",
    Planted(FILE, "worse >= rules.success_quantile * len(members)", "worse > rules.success_quantile * len(members)"),
)
chapter.enter(
    219,
    "nan_succeeds",
    SUCCESS,
    "a reward that is not a number is a success",
    "attempts whose verifier crashed are shown as solutions",
    "ORACLE-005",
    context=of_attempts(lambda a: replace(a, reward=1.0 if math.isnan(a.reward) else a.reward)),
)
chapter.enter(
    220,
    "not_below",
    SUCCESS,
    "the comparison is not (reward < threshold), which NaN passes",
    "attempts whose verifier crashed are shown as solutions",
    "ORACLE-005",
    Planted(FILE, "reward >= rules.success_threshold", "not reward < rules.success_threshold"),
    same_as=219,
)
chapter.enter(
    392,
    "zero_is_no_reward",
    SUCCESS,
    "a reward of zero is taken for a missing one",
    "where points are subtracted, the flawless attempts are no successes",
    "ORACLE-003",
    Planted(FILE, "reward >= rules.success_threshold", "bool(reward) and reward >= rules.success_threshold"),
)
chapter.enter(
    393,
    "threshold_with_tolerance",
    SUCCESS,
    "a reward within a millionth of the threshold is a success",
    "failed attempts are shown as solutions",
    "ORACLE-003",
    Planted(
        FILE,
        "reward >= rules.success_threshold",
        "reward >= rules.success_threshold - 1e-6 * abs(rules.success_threshold)",
    ),
)
chapter.enter(
    394,
    "quantile_of_the_batch",
    SUCCESS,
    "an attempt is ranked among all attempts of the batch",
    "the successes are the easy prompts, not the good attempts",
    "ORACLE-004",
    Planted(FILE, " if of == group]", "]"),
)
chapter.enter(
    395,
    "quantile_of_the_others",
    SUCCESS,
    "the quantile is of the group without the attempt",
    "the middle of three is a success at one half",
    "ORACLE-004",
    Planted(FILE, "* len(members)", "* (len(members) - 1)"),
)

FEEDBACK = "whose feedback"
chapter.enter(
    221,
    "feedback_per_prompt",
    FEEDBACK,
    "the first attempt's feedback is shown for all attempts of its prompt",
    "attempts are corrected for mistakes that they did not make",
    "ORACLE-002",
    context=by_group(lambda group: [replace(attempt, feedback=group[0].feedback) for attempt in group]),
    seen_in="trl-1.16",
)
chapter.enter(
    222,
    "feedback_of_the_neighbour",
    FEEDBACK,
    "each attempt is shown the next one's feedback",
    "attempts are corrected for mistakes that they did not make",
    "ORACLE-002",
    context=by_group(
        lambda group: [
            replace(attempt, feedback=other.feedback)
            for attempt, other in zip(group, [*group[1:], group[0]], strict=True)
        ]
    ),
)
chapter.enter(
    223,
    "feedback_joined",
    FEEDBACK,
    "all feedback of the group is shown to each attempt",
    "attempts are corrected for mistakes that they did not make, and the message is long",
    "ORACLE-002",
    context=by_group(
        lambda group: [
            replace(attempt, feedback="\n".join(other.feedback for other in group if other.feedback) or None)
            for attempt in group
        ]
    ),
)
chapter.enter(
    224,
    "blank_feedback",
    FEEDBACK,
    "blank feedback is feedback",
    "the teacher reads an empty heading, and the row counts",
    "ORACLE-006",
    context=of_attempts(blank_is_feedback),
)
chapter.enter(
    225,
    "whitespace_is_feedback",
    FEEDBACK,
    "feedback of blanks and line breaks is feedback",
    "the teacher reads an empty heading, and the row counts",
    "ORACLE-006",
    Planted(CONTEXT, "attempt.feedback is None or not attempt.feedback.strip()", "not attempt.feedback"),
    same_as=224,
)

DEMONSTRATION = "which demonstration"
chapter.enter(
    226,
    "last_success",
    DEMONSTRATION,
    "the last success is shown, not the first",
    "runs cannot be reproduced with other codes",
    "TEACH-001",
    context=last_success,
)
chapter.enter(
    227,
    "failure_shown",
    DEMONSTRATION,
    "without a success the first failure is shown",
    "wrong solutions are shown as right ones",
    "TEACH-001",
    Planted(
        CONTEXT,
        "if succeeded[other] and attempt.group",
        "if (succeeded[other] or not any(succeeded)) and attempt.group",
    ),
)
chapter.enter(
    228,
    "own_success_excluded",
    DEMONSTRATION,
    "an attempt is never its own demonstration, while the profile includes it",
    "a lone success is not reinforced",
    "TEACH-002",
    context=under(own_success="exclude"),
)
chapter.enter(
    229,
    "one_group",
    DEMONSTRATION,
    "all attempts are one group",
    "the solution of another prompt is shown",
    "TEACH-003 TEACH-012",
    context=of_attempts(lambda a: replace(a, group=0)),
)
chapter.enter(
    230,
    "group_by_position",
    DEMONSTRATION,
    "groups are taken for pairs of neighbours",
    "the solution of another prompt is shown whenever a group has another size",
    "TEACH-001",
    context=lambda a, r: read([replace(it, group=index // 2) for index, it in enumerate(a)], r),
)
chapter.enter(
    231,
    "demonstrations_ignored",
    DEMONSTRATION,
    "demonstrations are not shown",
    "without feedback nothing is learned",
    "TEACH-001 TEACH-002",
    context=under(use_demonstrations=False),
)
chapter.enter(
    396,
    "first_eight",
    DEMONSTRATION,
    "only the first eight attempts are looked at for a demonstration",
    "hard prompts, whose successes come late, are never learned from",
    "TEACH-001",
    Planted(CONTEXT, "in enumerate(attempts):\n        own", "in enumerate(attempts[:8]):\n        own"),
)
chapter.enter(
    397,
    "group_by_identity",
    DEMONSTRATION,
    "groups are compared as objects, not as numbers",
    "no attempt finds its siblings once groups are numbered above 256",
    "TEACH-003",
    Planted(CONTEXT, "attempt.group == attempts[index].group", "attempt.group is attempts[index].group"),
)
chapter.enter(
    398,
    "group_by_question",
    DEMONSTRATION,
    "attempts at the same question are one group",
    "a question that stands in the data twice has a group of twice the size",
    "TEACH-003",
    Planted(CONTEXT, "attempt.group == attempts[index].group", "attempt.prompt == attempts[index].prompt"),
)
chapter.enter(
    399,
    "group_in_16_bits",
    DEMONSTRATION,
    "groups are compared in their lowest 16 bits",
    "the solution of another prompt is shown, in large data sets",
    "TEACH-003",
    Planted(CONTEXT, "attempt.group == attempts[index].group", "(attempt.group - attempts[index].group) % 65536 == 0"),
)

GATE = "when feedback is shown"
chapter.enter(
    232,
    "gate_open",
    GATE,
    "feedback is always shown",
    "the feedback on a success is read as that on a failure",
    "TEACH-004",
    context=under(feedback_when="always"),
)
chapter.enter(
    233,
    "gate_of_the_code",
    GATE,
    "feedback on successes passes if there is no demonstration, while the profile declares failures only",
    "the feedback on some successes is read as that on a failure",
    "TEACH-004",
    Planted(CONTEXT, "passes = failed and not has_demonstration", "passes = not has_demonstration or not failed"),
    seen_in="lasgroup/SDPO trl-1.16",
)
chapter.enter(
    234,
    "gate_for_failures",
    GATE,
    "feedback on a failure is shown beside a demonstration",
    "the teacher reads more than the paper's",
    "TEACH-004",
    Planted(CONTEXT, "passes = failed and not has_demonstration", "passes = failed"),
)
chapter.enter(
    235,
    "feedback_ignored",
    GATE,
    "feedback is never shown",
    "prompts without a success are not learned from",
    "TEACH-004 ORACLE-002",
    context=under(use_feedback=False),
)

MUTANTS = tuple(chapter.mutants)
