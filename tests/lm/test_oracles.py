"""Oracles that read text: checkers, reward functions of TRL, judges and what their answers say. No model is needed."""

import json
import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpo_ref.errors import IntegrityError, InvalidInputError
from sdpo_ref.lm.oracles.checkers import (
    Avoids,
    Bullets,
    Check,
    Checker,
    CheckerOracle,
    Matches,
    MaximumWords,
    Mentions,
    MinimumWords,
    Tone,
    ValidJson,
    words_of,
)
from sdpo_ref.lm.oracles.judges import (
    Judge,
    JudgeOracle,
    JudgeTemplate,
    PairJudgeOracle,
    RecordedJudge,
    agreed,
    parse_rating,
    parse_verdict,
    without_verdict,
)
from sdpo_ref.lm.oracles.partial import PartialJudgement
from sdpo_ref.lm.oracles.reward_functions import RewardFunction, RewardFunctionOracle
from sdpo_ref.protocols import Oracle
from sdpo_ref.protocols.parts import Message
from sdpo_ref.teachers.chat import ChatPrompts, ChatRollouts
from sdpo_ref.types import Feedback

GENERATOR = torch.Generator()


def decode(ids: Sequence[int]) -> str:
    """One character for each id."""
    return "".join(map(chr, ids))


def rollouts_of(answers: Sequence[str], groups: Sequence[int] | None = None) -> ChatRollouts:
    """Answers as a policy would leave them, padded with something that does not count."""
    groups = groups or [0] * len(answers)
    width = max(map(len, answers)) + 1
    ids = torch.tensor([[*map(ord, answer), *[ord("#")] * (width - len(answer))] for answer in answers])
    mask = torch.tensor([[True] * len(answer) + [False] * (width - len(answer)) for answer in answers])
    asked = tuple(({"role": "user", "content": f"question {group}"},) for group in groups)
    prompt = torch.ones(len(answers), 1).long()
    prompts = ChatPrompts(prompt, prompt.bool(), torch.tensor(groups), asked)
    return ChatRollouts(prompts, ids, mask, torch.zeros(mask.shape))


def said(feedback: Sequence[Feedback | None]) -> list[str | None]:
    """The texts."""
    return [None if one is None else one.text for one in feedback]


# Checkers

CHECKERS: tuple[Checker, ...] = (
    MaximumWords(3),
    MinimumWords(2),
    Mentions(("red", "blue ship")),
    Avoids(("cat", "dog")),
    Tone("kind", ("please", "thanks"), wanted=2),
    Matches(r"Yes\b.*", "Begin with Yes."),
    ValidJson(),
    Bullets(2),
)
TEXTS = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from(["red", "blue", "ship", "cat", "Yes", "please", "\n- a", "*", "{}", "1"])).map(" ".join),
)


@settings(max_examples=25)
@given(TEXTS)
def test_a_score_lies_in_its_range_and_is_explained(text: str) -> None:
    """Any text: a score from 0 to 1, a critique exactly below 1, and the same again for the same text."""
    for checker in CHECKERS:
        check = checker(text)
        assert 0 <= check.score <= 1
        assert (check.critique is None) == (check.score == 1)
        assert checker(text) == check


@settings(max_examples=25)
@given(TEXTS)
def test_what_a_critique_asks_for_raises_the_score(text: str) -> None:
    """Doing what is said gives the full score, and never takes a point elsewhere in the same check."""
    assert Mentions(("red", "blue ship"))(f"{text} red, blue ship").score == 1
    assert Tone("kind", ("please",), wanted=2)(f"{text} please please").score == 1
    assert MinimumWords(2)(f"{text} one two").score == 1
    assert MaximumWords(3)(" ".join(words_of(text)[:3])).score == 1
    assert Avoids(("cat",))(f"{text} cat").score == 0
    assert ValidJson()(json.dumps(text)).score == 1
    assert MaximumWords(3)(f"{text} more").score <= MaximumWords(3)(text).score


@pytest.mark.parametrize(
    ("checker", "text", "score", "critique"),
    [
        (MaximumWords(2), "a b c", 2 / 3, "Use at most 2 words, not 3."),
        (MaximumWords(2), "", 1, None),
        (MinimumWords(2), "", 0, "Use at least 2 words, not 0."),
        (Mentions(("red", "ship")), "Redder SHIP", 0.5, "Mention red."),
        (Mentions(("blue ship",)), "a ship, blue", 0, "Mention blue ship."),
        (Mentions(("Größe",)), "die GRÖSSE größe", 1, None),
        (Avoids(("cat", "dog")), "concatenate", 1, None),
        (Avoids(("cat", "dog")), "Cat.", 0.5, "Do not say cat."),
        (Tone("kind", ("please",)), "displease", 0, "Sound more kind."),
        (Matches("Yes.*", "Begin with Yes."), " Yes,\nand no ", 1, None),
        (Matches("a|b", "a or b"), "ab", 0, "a or b"),
        (ValidJson(), "NaN", 0, "Answer in JSON: NaN is no JSON value."),
        (ValidJson(), '{"a": 1} x', 0, "Answer in JSON: Extra data at character 9."),
        (ValidJson(), "[" * 100_000, 0, None),
        (Bullets(2), "- one\n* two\n-not", 1, None),
        (Bullets(2), "- 1\n- 2\n- 3", 2 / 3, "Give 2 bullet points, not 3."),
    ],
)
def test_checks_by_hand(checker: Checker, text: str, score: float, critique: str | None) -> None:
    """Whole words in any case and script; distances as shares."""
    found = checker(text)
    assert found.score == pytest.approx(score)
    assert critique is None or found.critique == critique


def test_the_checker_oracle_averages_scores_and_joins_critiques() -> None:
    """Per attempt, in the order of the checkers; nothing to criticise is no feedback (ORACLE-002, ORACLE-006)."""
    oracle = CheckerOracle(decode, [MaximumWords(2), Mentions(("red",))], weights=[3.0, 1.0])
    assert isinstance(oracle, Oracle)
    judgement = oracle.judge(rollouts_of(["red", "red and blue ", "blue"]), generator=GENERATOR)
    assert judgement.rewards.tolist() == pytest.approx([1.0, (3 * 2 / 3 + 1) / 4, 0.75])
    assert said(judgement.feedback) == [None, "Use at most 2 words, not 3.", "Mention red."]


def test_checkers_may_depend_on_the_prompt() -> None:
    """Each attempt is held to the rubric of its own question."""

    def rubric(messages: tuple[Message, ...]) -> Sequence[Checker]:
        return [Mentions((messages[-1]["content"].split()[-1],))]

    judgement = CheckerOracle(decode, rubric).judge(rollouts_of(["0", "0", "1"], [0, 1, 1]), generator=GENERATOR)
    assert judgement.rewards.tolist() == [1.0, 0.0, 1.0]
    assert said(judgement.feedback) == [None, "Mention 1.", None]


def test_a_plain_function_is_a_checker() -> None:
    """Fifty lines are enough for a user of this library; a class is not needed."""
    oracle = CheckerOracle(decode, [lambda text: Check(1.0) if "!" in text else Check(0.0, "Shout.")])
    assert said(oracle.judge(rollouts_of(["a!", "a"]), generator=GENERATOR).feedback) == [None, "Shout."]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Check(1.5), r"score must lie in \[0, 1\], received 1.5"),
        (lambda: Check(math.nan, "x"), r"score must lie in \[0, 1\], received nan"),
        (lambda: Check(0.5), "received score 0.5 with critique None"),
        (lambda: Check(1.0, "x"), "a full score has none"),
        (lambda: MaximumWords(0), "limit must be at least 1, received 0"),
        (lambda: Mentions(()), "keywords must be words"),
        (lambda: Avoids(("?",)), "keywords must be words"),
        (lambda: Tone("kind", ("a",), wanted=0), "wanted must be at least 1"),
        (lambda: Matches("(", "x"), "is no regular expression"),
        (lambda: CheckerOracle(decode, []), "received 0 checkers"),
        (lambda: CheckerOracle(decode, [Bullets(1)], weights=[0.0]), "weights must be positive"),
        (lambda: CheckerOracle(decode, [Bullets(1)], weights=[1.0, 1.0]), "1 checkers and weights for 2"),
    ],
)
def test_checkers_that_could_not_judge_are_refused(make: Callable[[], object], words: str) -> None:
    """Each message says what was received and what is allowed."""
    with pytest.raises(InvalidInputError, match=words):
        make()


# Reward functions of TRL


def test_reward_functions_are_called_as_trl_calls_them() -> None:
    """Everything by name, one entry for each rollout, messages for both sides, columns by prompt."""
    calls: list[dict[str, Any]] = []

    def length(completions: list[Any], **rest: Any) -> list[float]:
        calls.append({"completions": completions, **rest})
        return [float(len(completion[0]["content"])) for completion in completions]

    def named(prompts: list[Any], **_rest: Any) -> list[float | None]:
        return [1.0 if prompt[-1]["content"] == "question 1" else None for prompt in prompts]

    oracle = RewardFunctionOracle(
        decode,
        [length, named],
        weights=[0.5, 2.0],
        feedback=lambda completions, **_: ["Longer." if len(one[0]["content"]) < 3 else "  " for one in completions],
        columns=lambda messages: {"target": messages[-1]["content"][-1]},
    )
    assert isinstance(oracle, Oracle)
    judgement = oracle.judge(rollouts_of(["ab", "abc"], [0, 1]), generator=GENERATOR)
    assert judgement.rewards.tolist() == [1.0, 3.5]
    assert said(judgement.feedback) == ["Longer.", None]
    (call,) = calls
    assert call == {
        "prompts": [[{"role": "user", "content": f"question {group}"}] for group in (0, 1)],
        "completions": [[{"role": "assistant", "content": text}] for text in ("ab", "abc")],
        "completion_ids": [[97, 98], [97, 98, 99]],
        "target": ["0", "1"],
    }


@pytest.mark.parametrize(
    ("rewards", "rows"),
    [
        ([1.0, None, 1.0, 1.0], [0, 2, 3]),
        ([None, None, 1.0, 1.0], [2, 3]),
        ([1.0, math.nan, -math.inf, 1.0], [0, 3]),
        ([None] * 4, []),
    ],
)
def test_a_missing_reward_is_not_zero(rewards: list[float | None], rows: list[int]) -> None:
    """A verifier that crashed looks like no judgement, not like a bad answer (ORACLE-001)."""
    oracle = RewardFunctionOracle(decode, [lambda **_: rewards])
    rollouts = rollouts_of(["a", "b", "c", "d"], [0, 0, 1, 1])
    part = oracle.judge_some(rollouts, generator=GENERATOR)
    assert part.rows.tolist() == rows
    assert part.judgement.rewards.tolist() == [1.0] * len(rows)
    assert rollouts.select(part.rows).prompts.group_ids.tolist() == [row // 2 for row in rows]
    with pytest.raises(InvalidInputError, match=f"{4 - len(rows)} of 4 rollouts were not judged"):
        oracle.judge(rollouts, generator=GENERATOR)


def test_one_function_may_not_apply_where_another_does() -> None:
    """None for a whole group means that the function is about other prompts; None for one attempt, that it failed."""
    rollouts = rollouts_of(["a", "b", "c", "d"], [0, 0, 1, 1])
    functions: list[RewardFunction] = [lambda **_: [1.0] * 4, lambda **_: [None, None, 5.0, None]]
    part = RewardFunctionOracle(decode, functions).judge_some(rollouts, generator=GENERATOR)
    assert part.rewards == (1.0, 1.0, 6.0, None)


def test_reward_functions_that_do_not_fit_are_refused() -> None:
    """Too few entries, no function, columns that differ or hide what TRL passes."""
    rollouts = rollouts_of(["a", "b"], [0, 1])
    with pytest.raises(InvalidInputError, match="returned 1 entries for 2 rollouts"):
        RewardFunctionOracle(decode, [lambda **_: [1.0]]).judge(rollouts, generator=GENERATOR)
    with pytest.raises(InvalidInputError, match="received 0 functions and 0 weights"):
        RewardFunctionOracle(decode, [])
    for columns in (lambda _: {"prompts": 1}, lambda messages: {messages[-1]["content"]: 1}):
        with pytest.raises(InvalidInputError, match="every prompt must have the same"):
            RewardFunctionOracle(decode, [lambda **_: [1.0] * 2], columns=columns).judge(rollouts, generator=GENERATOR)


# What a judge's answer says

PLAIN = st.text(st.characters(exclude_characters="[]")).filter(lambda text: "[[" not in text)


@settings(max_examples=30)
@given(PLAIN, st.integers(1, 10), PLAIN)
def test_a_rating_is_found_wherever_it_stands(before: str, rating: int, after: str) -> None:
    """One admissible rating, also repeated; a second that differs, or one beyond the scale, leaves nothing."""
    text = f"{before}[[{rating}]]{after}"
    assert parse_rating(text) == rating
    assert parse_rating(text + f" [[ {rating}.0 ]]") == rating
    assert parse_rating(text + f"[[{rating % 10 + 1}]]") is None
    assert parse_rating(f"{before}[[{rating + 10}]]{after}") is None
    assert parse_rating(f"{before}[{rating}]{after}") is None
    assert "[[" not in without_verdict(text)


@settings(max_examples=50)
@given(st.text())
def test_any_text_gives_a_rating_on_the_scale_or_none(text: str) -> None:
    """Never a number that is off the scale or not finite."""
    rating = parse_rating(text)
    assert rating is None or 1 <= rating <= 10
    assert parse_verdict(text) in {"A", "B", "tie", None}


@settings(max_examples=30)
@given(PLAIN, st.sampled_from("ABC"), PLAIN)
def test_a_verdict_is_found_wherever_it_stands(before: str, letter: str, after: str) -> None:
    """Exactly one of A, B and C; two that differ leave nothing."""
    text = f"{before}[[{letter}]]{after}"
    assert parse_verdict(text) == {"A": "A", "B": "B", "C": "tie"}[letter]
    assert parse_verdict(text + ("[[B]]" if letter != "B" else "[[A]]")) is None


@pytest.mark.parametrize(
    "text", ["", "7", "[[rating]]", "[[7/10]]", "[[1e1]]", "[[nan]]", "[[7", "[[]]", "[[-1]]", "[[0.5]]"]
)
def test_nonsense_is_no_rating(text: str) -> None:
    """What a judge writes that did not understand."""
    assert parse_rating(text) is None


def test_positions_are_swapped_by_hand() -> None:
    """The winner is who wins in both places; a judge that always says A has no opinion."""
    assert agreed("A", "B") == "A"
    assert agreed("B", "A") == "B"
    assert (
        agreed("A", "A")
        == agreed("B", "B")
        == agreed("tie", "tie")
        == agreed("A", "tie")
        == agreed("tie", "B")
        == "tie"
    )
    assert agreed(None, "A") is agreed("A", None) is None


# Judges as oracles


def rates(messages: tuple[Message, ...]) -> str:
    """A judge that counts letters, and writes what it thinks where the answer has a second one."""
    answer = messages[-1]["content"].partition("[Answer]\n")[2].partition("\n[End")[0]
    critique = "Shorter. " if len(answer) > 1 else ""
    return f"{critique}Rating: [[{len(answer)}]]"


def test_a_judges_rating_is_the_reward_and_its_words_the_feedback() -> None:
    """On a scale from 0 to 1; a number alone is no feedback; the judge sees question and answer."""
    asked: list[tuple[Message, ...]] = []

    def judge(messages: tuple[Message, ...]) -> str:
        asked.append(messages)
        return rates(messages)

    oracle = JudgeOracle(judge, decode)
    assert isinstance(oracle, Oracle)
    judgement = oracle.judge(rollouts_of(["a", "abcd"], [0, 1]), generator=GENERATOR)
    assert judgement.rewards.tolist() == pytest.approx([0.0, 1 / 3])
    assert said(judgement.feedback) == [None, "Shorter."]
    assert asked[1] == (
        {"role": "system", "content": JudgeTemplate().rating},
        {"role": "user", "content": "[User]\nquestion 1\n[End of user]\n\n[Answer]\nabcd\n[End of answer]"},
    )


def test_an_answer_that_says_nothing_is_a_missing_judgement() -> None:
    """It is asked again as often as allowed, and then there is neither reward nor feedback."""
    answers = iter(["what?", "Good. [[5]]", "[[11]]", "no", "[[3]] or [[4]]", "hm"])
    oracle = JudgeOracle(lambda _: next(answers), decode, asks=2)
    part = oracle.judge_some(rollouts_of(["a", "b", "c"]), generator=GENERATOR)
    assert part.rewards == ((5 - 1) / (10 - 1), None, None)
    assert said(part.feedback) == ["Good.", None, None]
    with pytest.raises(InvalidInputError, match="1 of 1 rollouts were not judged"):
        JudgeOracle(lambda _: "no", decode).judge(rollouts_of(["a"]), generator=GENERATOR)


def test_a_judge_that_is_late_or_away_is_missing_and_one_that_is_broken_is_an_error() -> None:
    """Time-outs and lost connections are no judgements; a TypeError is the judge's author's to see."""
    released = threading.Event()

    def late(_messages: tuple[Message, ...]) -> str:
        released.wait()
        return "[[5]]"

    def away(_messages: tuple[Message, ...]) -> str:
        raise ConnectionResetError

    def broken(_messages: tuple[Message, ...]) -> str:
        raise TypeError("mine")

    for judge in (late, away):
        part = JudgeOracle(judge, decode, seconds=0.01).judge_some(rollouts_of(["a"]), generator=GENERATOR)
        assert part.rewards == (None,)
    released.set()
    with pytest.raises(TypeError, match="mine"):
        JudgeOracle(broken, decode).judge(rollouts_of(["a"]), generator=GENERATOR)


def compares(prefer: Callable[[str, str], str]) -> Judge:
    """A judge that sees two answers."""

    def judge(messages: tuple[Message, ...]) -> str:
        text = messages[-1]["content"]
        first, second = (text.partition(f"[Answer {it}]\n")[2].partition("\n[End")[0] for it in "AB")
        return prefer(first, second)

    return judge


def test_pairs_of_a_group_are_compared_in_both_orders() -> None:
    """The share of pairs that an attempt wins; groups of one have no pair and are missing."""
    longer = compares(lambda a, b: "[[C]]" if len(a) == len(b) else "[[A]]" if len(a) > len(b) else "[[B]]")
    part = PairJudgeOracle(longer, decode).judge_some(
        rollouts_of(["a", "bbb", "cc", "dd", "e"], [0, 0, 0, 0, 1]), generator=GENERATOR
    )
    assert part.rewards == (0.0, 1.0, 0.5, 0.5, None)
    assert part.feedback == (None,) * 5


def test_a_judge_that_prefers_a_position_has_no_opinion() -> None:
    """Every pair is a tie; and a pair with one nonsensical order has no verdict."""
    part = PairJudgeOracle(lambda _: "[[A]]", decode).judge_some(rollouts_of(["a", "bb"]), generator=GENERATOR)
    assert part.rewards == (0.5, 0.5)
    odd = compares(lambda a, _: "[[A]]" if a == "a" else "I would say A")
    assert PairJudgeOracle(odd, decode).judge_some(rollouts_of(["a", "bb"]), generator=GENERATOR).rewards == (
        None,
        None,
    )


def test_a_recorded_judge_repeats_itself(tmp_path: Path) -> None:
    """What was recorded is read again; what was not is refused; what is no record is an error."""
    rollouts = rollouts_of(["ä", "b\nc"])
    recorder = RecordedJudge(live=rates)
    first = JudgeOracle(recorder, decode).judge(rollouts, generator=GENERATOR)
    recorder.write(tmp_path / "answers.jsonl")
    again = RecordedJudge.read(tmp_path / "answers.jsonl")
    second = JudgeOracle(again, decode).judge(rollouts, generator=GENERATOR)
    assert first.rewards.tolist() == second.rewards.tolist()
    assert said(first.feedback) == said(second.feedback)
    with pytest.raises(InvalidInputError, match="is recorded; record it with"):
        JudgeOracle(again, decode).judge(rollouts_of(["new"]), generator=GENERATOR)
    (tmp_path / "answers.jsonl").write_text("[]\n", encoding="utf-8")
    with pytest.raises(IntegrityError, match="holds no recorded answers"):
        RecordedJudge.read(tmp_path / "answers.jsonl")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seconds": 0.0}, "seconds must be positive"),
        ({"asks": 0}, "asks at least 1, received"),
        ({"scale": (5.0, 5.0)}, "scale must be"),
    ],
)
def test_a_judge_that_is_never_asked_is_refused(options: dict[str, Any], words: str) -> None:
    """Each message says what was received."""
    with pytest.raises(InvalidInputError, match=words):
        JudgeOracle(rates, decode, **options)


def test_a_partial_judgement_keeps_order_and_device() -> None:
    """Rows that were judged, in their order, with their own feedback."""
    part = PartialJudgement((None, 0.25, None, 0.75), (None, None, Feedback("lost"), Feedback("kept")))
    assert part.rows.tolist() == [1, 3]
    assert said(part.judgement.feedback) == [None, "kept"]
    assert PartialJudgement((), ()).whole().rewards.shape == (0,)
