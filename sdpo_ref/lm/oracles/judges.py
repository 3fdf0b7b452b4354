"""Another model as judge: what it is asked, what its answer says, and what it leaves open.

A judge maps messages to text. Two oracles ask one: for a rating of each attempt, or which of two attempts is better, in
both orders. An answer without exactly one admissible verdict is a missing judgement and never a reward.
"""

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Literal, Protocol, TypeVar, runtime_checkable

import torch

from sdpo_ref.errors import IntegrityError, InvalidInputError
from sdpo_ref.lm.oracles.partial import PartialJudgement
from sdpo_ref.lm.texts import Decode, completion_texts
from sdpo_ref.protocols import Policy
from sdpo_ref.protocols.parts import Message
from sdpo_ref.teachers.chat import ChatPrompts, messages_of
from sdpo_ref.types import Feedback, Judgement, Rollouts

Verdict = Literal["A", "B", "tie"]
"""Which of two answers is better."""

Found = TypeVar("Found")
"""A rating or a verdict."""


@runtime_checkable
class Judge(Protocol):
    """**Protocol:** answers messages with text; a function that asks a server is one."""

    def __call__(self, messages: tuple[Message, ...], /) -> str:
        """The answer. ``OSError``, which includes time-outs of connections, is a missing judgement."""
        ...


# What an answer says


def parse_rating(text: str, *, lowest: float = 1.0, highest: float = 10.0) -> float | None:
    """The one rating in double brackets.

    Args:
        text: of a judge.
        lowest: admissible rating.
        highest: admissible rating.

    Returns:
        The rating; ``None`` if there is none, if there are different ones (one may be quoted from the attempt), or if
        it lies outside the scale.

    Example:
        >>> parse_rating("Clear, but long. Rating: [[7]]"), parse_rating("[[3]] or [[8]]"), parse_rating("seven")
        (7.0, None, None)
    """
    found = {float(number) for number in re.findall(r"\[\[\s*([+-]?\d+(?:\.\d+)?)\s*\]\]", text)}
    if len(found) != 1:
        return None
    (rating,) = found
    return rating if lowest <= rating <= highest else None


def parse_verdict(text: str) -> Verdict | None:
    """The one verdict in double brackets: A, B, or C for a tie.

    Args:
        text: of a judge.

    Returns:
        The verdict; ``None`` if there is none, or different ones.

    Example:
        >>> parse_verdict("Both are right, A is shorter: [[A]]"), parse_verdict("[[C]]"), parse_verdict("[[A]] [[B]]")
        ('A', 'tie', None)
    """
    found = set(re.findall(r"\[\[\s*([ABC])\s*\]\]", text))
    if len(found) != 1:
        return None
    verdicts: Mapping[str, Verdict] = {"A": "A", "B": "B", "C": "tie"}
    return verdicts[found.pop()]


def agreed(first: Verdict | None, swapped: Verdict | None) -> Verdict | None:
    """What a judge says of two answers that it saw in both orders.

    Args:
        first: with the first answer as A.
        swapped: with the first answer as B.

    Returns:
        Which is better where both orders agree, a tie where they contradict each other (the judge prefers a position)
        or one of them is a tie; ``None`` if either is missing.

    Example:
        >>> agreed("A", "B"), agreed("A", "A"), agreed("tie", "A"), agreed("A", None)
        ('A', 'tie', 'tie', None)
    """
    if first is None or swapped is None:
        return None
    turned: Mapping[Verdict, Verdict] = {"A": "B", "B": "A", "tie": "tie"}
    return first if first == turned[swapped] else "tie"


def without_verdict(text: str) -> str:
    """A judge's answer without its double brackets, for an author to read.

    Example:
        >>> without_verdict("Too long. Rating: [[4]]")
        'Too long.'
    """
    return re.sub(
        r"(?:\b(?:final\s+)?(?:rating|verdict|score)\s*:?\s*)?\[\[[^\]]*\]\]", "", text, flags=re.IGNORECASE
    ).strip()


# What a judge is asked


@dataclass(frozen=True)
class JudgeTemplate:
    """The words around a conversation and its answers; they are joined and never formatted.

    Attributes:
        rating: asks for a critique and a rating.
        comparison: asks which of two answers is better.
    """

    rating: str = (
        "You judge the answer of an assistant. First tell its author in at most three sentences what to do better. "
        "Then write a rating from 1 (useless) to 10 (perfect) in double brackets, for example: Rating: [[5]]"
    )
    comparison: str = (
        "You judge which of two answers of assistants is better. Neither their order nor their length counts. Explain "
        "in at most three sentences, then write [[A]] if the first is better, [[B]] if the second is, [[C]] for a tie."
    )

    def for_rating(self, messages: Sequence[Message], answer: str) -> tuple[Message, ...]:
        """The instruction, and the conversation with one answer."""
        text = _joined(messages, {"Answer": answer})
        return ({"role": "system", "content": self.rating}, {"role": "user", "content": text})

    def for_comparison(self, messages: Sequence[Message], first: str, second: str) -> tuple[Message, ...]:
        """The instruction, and the conversation with two answers."""
        text = _joined(messages, {"Answer A": first, "Answer B": second})
        return ({"role": "system", "content": self.comparison}, {"role": "user", "content": text})


def _joined(messages: Sequence[Message], answers: Mapping[str, str]) -> str:
    blocks = [(str(message["role"]).capitalize(), message["content"]) for message in messages] + list(answers.items())
    return "\n\n".join(f"[{heading}]\n{text}\n[End of {heading.lower()}]" for heading, text in blocks)


# Judges


class RecordedJudge:
    """Answers that were given before, by the question; for tests, and so that a run can be repeated.

    Args:
        answers: what is known.
        live: asked for what is not known, and recorded; ``None`` refuses that.

    Raises:
        InvalidInputError: on a call with an unknown question and no live judge.

    Example:
        >>> ask = ({"role": "user", "content": "Good?"},)
        >>> judge = RecordedJudge(live=lambda messages: "[[7]]")
        >>> judge(ask), RecordedJudge(judge.answers)(ask)
        ('[[7]]', '[[7]]')
    """

    def __init__(self, answers: Mapping[str, str] | None = None, *, live: Judge | None = None) -> None:
        self.answers = dict(answers or {})
        self._live = live

    def __call__(self, messages: tuple[Message, ...]) -> str:
        """The recorded answer, or the live judge's."""
        key = json.dumps([dict(message) for message in messages], sort_keys=True, ensure_ascii=False)
        if key not in self.answers:
            if self._live is None:
                raise InvalidInputError(
                    f"no answer to {key[:200]} is recorded; record it with RecordedJudge(live=judge) and write(path)"
                )
            self.answers[key] = self._live(messages)
        return self.answers[key]

    @classmethod
    def read(cls, path: Path, *, live: Judge | None = None) -> "RecordedJudge":
        """Answers from a file of JSON lines.

        Raises:
            IntegrityError: if it is none.
        """
        try:
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            return cls({str(line["asked"]): str(line["answer"]) for line in lines}, live=live)
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"{path} holds no recorded answers ({error!r}); write it with write(path)") from error

    def write(self, path: Path) -> None:
        """All answers as JSON lines, one question a line."""
        lines = [json.dumps({"asked": key, "answer": answer}) for key, answer in self.answers.items()]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@runtime_checkable
class Writer(Policy, Protocol):
    """**Protocol:** a policy that writes answers to messages, as ``TransformersPolicy`` does."""

    def prompts(self, questions: Sequence[Sequence[Message]], *, group_size: int = 1) -> ChatPrompts:
        """Prompts for conversations."""
        ...

    def texts(self, rollouts: Rollouts) -> list[str]:
        """What completions say."""
        ...


@dataclass(frozen=True)
class PolicyJudge:
    """A language model as judge; it answers by sampling. Never the policy that is trained, nor a copy that follows it.

    Attributes:
        policy: the judge's model.
        num_tokens: most tokens of an answer.
        generator: where the randomness comes from; moves with each answer.
    """

    policy: Writer
    num_tokens: int
    generator: torch.Generator

    def __call__(self, messages: tuple[Message, ...]) -> str:
        """One sampled answer."""
        prompts = self.policy.prompts([messages])
        rollouts = self.policy.sample(prompts, num_tokens=self.num_tokens, generator=self.generator)
        return self.policy.texts(rollouts)[0]


# Oracles


@dataclass(frozen=True)
class Asking:
    """How a judge is asked.

    Attributes:
        judge: who is asked.
        seconds: how long one answer may take; a judge in Python that hangs is left running.
        asks: how often, until an answer says something.

    Raises:
        InvalidInputError: if the limit is not positive, or the judge is never asked.
    """

    judge: Judge
    seconds: float
    asks: int

    def __post_init__(self) -> None:
        """Refuse settings under which there is never a judgement."""
        if not self.seconds > 0 or self.asks < 1:
            raise InvalidInputError(
                f"seconds must be positive and asks at least 1, received {self.seconds} and {self.asks}; 60.0 and 1 "
                "are usual"
            )

    def ask(self, messages: tuple[Message, ...], parse: Callable[[str], Found | None]) -> tuple[Found | None, str]:
        """What the first answer says that says something, and its text; nothing if none does."""
        for _ in range(self.asks):
            answer = self._answer(messages)
            found = None if answer is None else parse(answer)
            if answer is not None and found is not None:
                return found, answer
        return None, ""

    def _answer(self, messages: tuple[Message, ...]) -> str | None:
        """The answer, or ``None`` if it comes too late or could not be fetched; other errors are the judge's own."""
        answers: list[str] = []
        errors: list[Exception] = []

        def run() -> None:
            try:
                answers.append(self.judge(messages))
            except Exception as error:  # noqa: BLE001 - raised again below, in the thread of the caller
                errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(self.seconds)
        if errors and not isinstance(errors[0], OSError):
            raise errors[0]
        return answers[0] if answers else None


class JudgeOracle:
    """Asks a judge for a rating of each attempt; implements :class:`~sdpo_ref.protocols.Oracle`.

    The reward is the rating on a scale from 0 to 1, the feedback what the judge wrote beside it. A judge that only
    writes a number gives no feedback (ORACLE-006).

    Args:
        judge: who is asked.
        decode: text of a completion's token ids, as ``policy.decode``.
        template: what is asked.
        scale: lowest and highest rating; another number is a missing judgement.
        seconds: how long one answer may take; one that comes later is a missing judgement.
        asks: how often a judge is asked until its answer holds a rating.

    Raises:
        InvalidInputError: if the scale is empty, the limit not positive, or the judge never asked.
    """

    def __init__(
        self,
        judge: Judge,
        decode: Decode,
        *,
        template: JudgeTemplate | None = None,
        scale: tuple[float, float] = (1.0, 10.0),
        seconds: float = 60.0,
        asks: int = 1,
    ) -> None:
        if not scale[0] < scale[1]:
            raise InvalidInputError(f"scale must be (lowest, highest), received {scale}")
        self._asking = Asking(judge, seconds, asks)
        self._decode = decode
        self._template = template or JudgeTemplate()
        self._scale = scale

    def judge(self, rollouts: Rollouts, *, generator: torch.Generator) -> Judgement:
        """Ask about every attempt.

        Args:
            rollouts: what was sampled, for prompts whose messages are known.
            generator: not used; a judge that draws has a generator of its own.

        Raises:
            InvalidInputError: if a judgement is missing; :meth:`judge_some` returns the others.
        """
        return self.judge_some(rollouts, generator=generator).whole()

    def judge_some(self, rollouts: Rollouts, *, generator: torch.Generator) -> PartialJudgement:
        """The same with gaps. Arguments are those of :meth:`judge`."""
        del generator
        rewards: list[float | None] = []
        feedback: list[Feedback | None] = []
        lowest, highest = self._scale
        parse = partial(parse_rating, lowest=lowest, highest=highest)
        for messages, text in zip(messages_of(rollouts), completion_texts(rollouts, self._decode), strict=True):
            rating, answer = self._asking.ask(self._template.for_rating(messages, text), parse)
            critique = without_verdict(answer)
            rewards.append(None if rating is None else (rating - lowest) / (highest - lowest))
            feedback.append(Feedback(critique) if critique else None)
        return PartialJudgement(tuple(rewards), tuple(feedback), rollouts.completions.device)


class PairJudgeOracle:
    """Asks a judge which of two attempts is better; implements :class:`~sdpo_ref.protocols.Oracle`.

    Every pair of a group is shown in both orders (:func:`agreed`). The reward is the share of its pairs that an attempt
    wins, a tie being half of one; pairs without a verdict are left out, and an attempt without any is missing. There is
    no feedback: what a judge writes about A and B is not about one attempt (ORACLE-002).

    Args:
        judge: who is asked.
        decode: text of a completion's token ids, as ``policy.decode``.
        template: what is asked.
        seconds: how long one answer may take; one that comes later is a missing judgement.
        asks: how often a judge is asked until its answer holds a verdict.

    Raises:
        InvalidInputError: if the limit is not positive, or the judge never asked.
    """

    def __init__(
        self,
        judge: Judge,
        decode: Decode,
        *,
        template: JudgeTemplate | None = None,
        seconds: float = 60.0,
        asks: int = 1,
    ) -> None:
        self._asking = Asking(judge, seconds, asks)
        self._decode = decode
        self._template = template or JudgeTemplate()

    def judge(self, rollouts: Rollouts, *, generator: torch.Generator) -> Judgement:
        """Ask about every pair. Arguments and errors are those of :meth:`JudgeOracle.judge`."""
        return self.judge_some(rollouts, generator=generator).whole()

    def judge_some(self, rollouts: Rollouts, *, generator: torch.Generator) -> PartialJudgement:
        """The same with gaps."""
        del generator
        conversations, texts = messages_of(rollouts), completion_texts(rollouts, self._decode)
        groups = rollouts.prompts.group_ids.tolist()
        won: list[list[float]] = [[] for _ in texts]
        for one, other in combinations(range(len(texts)), 2):
            if groups[one] == groups[other]:
                verdict = self._verdict(conversations[one], texts[one], texts[other])
                if verdict is not None:
                    share = {"A": 1.0, "B": 0.0, "tie": 0.5}[verdict]
                    won[one].append(share)
                    won[other].append(1.0 - share)
        rewards = tuple(sum(shares) / len(shares) if shares else None for shares in won)
        return PartialJudgement(rewards, (None,) * len(texts), rollouts.completions.device)

    def _verdict(self, messages: tuple[Message, ...], one: str, other: str) -> Verdict | None:
        """Which is better, asked in both orders."""
        ask: Callable[..., tuple[Verdict | None, str]] = self._asking.ask
        in_order, _ = ask(self._template.for_comparison(messages, one, other), parse_verdict)
        swapped, _ = ask(self._template.for_comparison(messages, other, one), parse_verdict)
        return agreed(in_order, swapped)
