"""Which attempts succeed, and whose feedback is whose (spec/02-oracle), seen through what the teacher reads."""

import math

import pytest

from sdpo_ref.verification.checks.attempts import completion, group_of, note, rules_of, shown_completions, text_of
from sdpo_ref.verification.checks.comparison import assert_that
from sdpo_ref.verification.checks.subject import Subject


@pytest.mark.requirement("ORACLE-002")
def test_feedback_belongs_to_the_attempt(subject: Subject) -> None:
    """Two failed attempts at one prompt, each with a note of its own."""
    attempts = group_of(0, [0.0, 0.0], [note(0, 0), note(0, 1)])
    contexts = subject.context(attempts, rules_of(subject.profile))
    for index, context in enumerate(contexts):
        found = [other for other in (0, 1) if note(0, other) in text_of(context)]
        assert_that(
            found == [index],
            f"attempt {index} is read with its own feedback {note(0, index)!r} and no other",
            f"with the feedback of attempts {found}",
            {"feedback": [attempt.feedback for attempt in attempts]},
            looks_like="M221 feedback is fixed per prompt, not per attempt" if found == [0] else "",
        )


@pytest.mark.requirement("ORACLE-003")
@pytest.mark.parametrize("threshold", [1.0, 0.7, 0.1, 0.5])
def test_threshold_itself_is_a_success(subject: Subject, threshold: float) -> None:
    """A reward equal to the threshold makes a demonstration for its sibling."""
    attempts = group_of(0, [0.0, threshold])
    contexts = subject.context(attempts, rules_of(subject.profile, success_threshold=threshold))
    assert_that(
        contexts[0].usable,
        f"attempt 1, with reward {threshold} at threshold {threshold}, succeeds and teaches attempt 0",
        "no demonstration for attempt 0",
        {"rewards": [0.0, threshold], "success_threshold": threshold},
        looks_like="rewards in float32 compared with a float64 threshold" if threshold in {0.7, 0.1} else "",
    )


@pytest.mark.requirement("ORACLE-003")
@pytest.mark.parametrize("reward", [0.9, 1 - 2**-20, math.nextafter(1.0, 0.0)])
def test_just_below_is_no_success(subject: Subject, reward: float) -> None:
    """A reward below the threshold makes none."""
    contexts = subject.context(group_of(0, [0.0, reward]), rules_of(subject.profile))
    assert_that(not contexts[0].usable, "no row is usable", f"attempt 1, with reward {reward}, taught attempt 0")


@pytest.mark.requirement("ORACLE-003")
@pytest.mark.parametrize("threshold", [0.0, -0.5])
def test_threshold_of_zero_or_less(subject: Subject, threshold: float) -> None:
    """Zero is a reward like any other, for graders that subtract points."""
    contexts = subject.context(group_of(0, [-2.0, 0.0]), rules_of(subject.profile, success_threshold=threshold))
    assert_that(
        contexts[0].usable,
        f"attempt 1, with reward 0 at threshold {threshold}, succeeds and teaches attempt 0",
        "no demonstration for attempt 0",
        {"rewards": [-2.0, 0.0], "success_threshold": threshold},
    )


@pytest.mark.requirement("ORACLE-003")
@pytest.mark.parametrize("reward", [math.nextafter(1.0, 2.0), 5.0, 1e6])
def test_far_above_is_a_success(subject: Subject, reward: float) -> None:
    """However far above the threshold a reward is, for graders that count points."""
    contexts = subject.context(group_of(0, [0.0, reward]), rules_of(subject.profile))
    assert_that(contexts[0].usable, f"attempt 1, with reward {reward} at threshold 1, teaches attempt 0", "it does not")


@pytest.mark.requirement("ORACLE-003")
@pytest.mark.needs("context.success_quantile")
@pytest.mark.parametrize("threshold", [0.4, 0.95])
def test_threshold_beside_a_quantile(subject: Subject, threshold: float) -> None:
    """The best of its group fails below the threshold, and what reaches the threshold fails below the quantile."""
    rules = rules_of(subject.profile, success_threshold=threshold, success_quantile=0.75, own_success="exclude")
    attempts = group_of(0, [0.1, 0.4, 0.3, 0.9])
    found = shown_completions(subject.context(attempts, rules)[0], attempts)
    expected = [completion(0, 3)] if threshold <= 0.9 else []
    inputs = {"rewards": [0.1, 0.4, 0.3, 0.9], "success_threshold": threshold, "success_quantile": 0.75}
    assert_that(found == expected, f"attempt 0 is shown {expected}", f"it is shown {found}", inputs)


QUANTILE = {
    "best of four": ([0.1, 0.4, 0.3, 0.9], 0.75, {3}),
    "upper half": ([0.1, 0.4, 0.3, 0.9], 0.5, {1, 3}),
    "ties at the top": ([0.9, 0.9, 0.1, 0.2], 0.5, {0, 1}),
    "ties at the bottom": ([0.1, 0.1, 0.1, 0.9], 0.75, {3}),
    "ties in the middle": ([0.1, 0.5, 0.5, 0.5, 0.9], 0.3, {4}),
    "middle of three": ([0.1, 0.4, 0.9], 0.5, {2}),
    "a share between one and two of four": ([0.1, 0.4, 0.3, 0.9], 0.3, {1, 3}),
    "a share between two and three of four": ([0.1, 0.4, 0.3, 0.9], 0.6, {3}),
    "half of five": ([0.5, 0.1, 0.3, 0.2, 0.4], 0.5, {0, 4}),
    "less than one of four": ([0.1, 0.4, 0.1, 0.1], 0.2, {1}),
    "differences of a billionth": ([0.5, 0.5 + 1e-9, 0.5 - 1e-9], 0.5, {1}),
    "too high for two": ([0.1, 0.9], 0.75, set[int]()),
    "all equal": ([0.5, 0.5, 0.5, 0.5], 0.5, set[int]()),
}


@pytest.mark.requirement("ORACLE-004")
@pytest.mark.parametrize("case", QUANTILE)
@pytest.mark.parametrize("rescaled", [False, True])
def test_rank_within_the_group(subject: Subject, case: str, rescaled: bool) -> None:  # noqa: FBT001 - pytest's
    """Successes by rank; an increasing rescaling of the rewards changes nothing."""
    rewards, quantile, expected = QUANTILE[case]
    given = [math.exp(3 * reward) - 7 for reward in rewards] if rescaled else rewards
    rules = rules_of(subject.profile, success_threshold=-math.inf, success_quantile=quantile, own_success="exclude")
    attempts = group_of(0, given)
    contexts = subject.context(attempts, rules)
    for index, context in enumerate(contexts):
        first = next((other for other in sorted(expected) if other != index), None)
        found = shown_completions(context, attempts)
        assert_that(
            found == ([] if first is None else [completion(0, first)]),
            f"attempt {index} is shown the first other success of {sorted(expected)}",
            f"it is shown {found}",
            {"rewards": given, "success_quantile": quantile},
        )


@pytest.mark.requirement("ORACLE-004")
@pytest.mark.parametrize(("hard", "easy"), [(0, 1), (-4, 4)])
def test_rank_among_its_own(subject: Subject, hard: int, easy: int) -> None:
    """The best of a hard prompt succeeds, although every attempt at an easy one has a higher reward."""
    rules = rules_of(subject.profile, success_threshold=-math.inf, success_quantile=0.5, own_success="exclude")
    attempts = [*group_of(hard, [0.1, 0.2]), *group_of(easy, [0.8, 0.9])]
    found = [shown_completions(context, attempts) for context in subject.context(attempts, rules)]
    expected = [[completion(hard, 1)], [], [completion(easy, 1)], []]
    assert_that(
        found == expected,
        f"shown are {expected}",
        f"shown are {found}",
        {"rewards": "0.1 and 0.2 in one group, 0.8 and 0.9 in another", "success_quantile": 0.5},
    )


@pytest.mark.requirement("ORACLE-005")
def test_nan_is_no_success(subject: Subject) -> None:
    """A missing reward makes no demonstration."""
    attempts, rules = group_of(0, [0.0, math.nan]), rules_of(subject.profile)
    if subject.raises("context", lambda it: it.context(attempts, rules)) is not None:
        return  # refusing such a reward is as good
    contexts = subject.context(attempts, rules)
    assert_that(not contexts[0].usable, "no row is usable", "attempt 1, whose reward is NaN, taught attempt 0")


@pytest.mark.requirement("ORACLE-006")
@pytest.mark.parametrize("blank", [None, "", "   ", "\n\t\n", "\r\n", "\u00a0\u2003\u3000", "\x0b\x0c"])
def test_blank_feedback_is_none(subject: Subject, blank: str | None) -> None:
    """A failed attempt with blank feedback and no successful sibling is not usable."""
    contexts = subject.context(group_of(0, [0.0, 0.0], [blank, blank]), rules_of(subject.profile))
    usable = [index for index, context in enumerate(contexts) if context.usable]
    assert_that(not usable, "no row is usable", f"rows {usable} are", {"feedback": repr(blank)})
