"""Programs that check an answer: each gives a score and, unless it is full, a critique of this very answer."""

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.lm.oracles.partial import PartialJudgement
from sdpo_ref.lm.texts import Decode, completion_texts
from sdpo_ref.protocols.parts import Message
from sdpo_ref.teachers.chat import messages_of
from sdpo_ref.types import Feedback, Judgement, Rollouts


@dataclass(frozen=True)
class Check:
    """What a checker found.

    Attributes:
        score: in ``[0, 1]``; 1 where nothing is to be criticised.
        critique: what to do better, in a sentence to the author; ``None`` exactly if the score is 1.

    Raises:
        InvalidInputError: if the score is out of range, or a critique is missing or not needed.
    """

    score: float
    critique: str | None = None

    def __post_init__(self) -> None:
        """Refuse a score that cannot be averaged, and one without its reason."""
        if not 0.0 <= self.score <= 1.0:
            raise InvalidInputError(f"a score must lie in [0, 1], received {self.score}; divide by the full score")
        if (self.score == 1.0) != (self.critique is None):
            raise InvalidInputError(
                f"received score {self.score} with critique {self.critique!r}; a full score has none, any other has one"
            )


@runtime_checkable
class Checker(Protocol):
    """**Protocol:** a program that reads an answer; a plain function of the text is one."""

    def __call__(self, answer: str, /) -> Check:
        """Score and critique; equal answers get equal checks."""
        ...


def words_of(text: str) -> list[str]:
    """Words in small letters: runs of letters, digits, apostrophes and hyphens, in any script.

    Example:
        >>> words_of("Don't shout: 'Über-Red'!")
        ["don't", 'shout', 'über-red']
    """
    return re.findall(r"\w+(?:['’-]\w+)*", text.lower())


@dataclass(frozen=True)
class MaximumWords:
    """At most so many words; the score is ``limit`` over their number.

    Example:
        >>> MaximumWords(2)("One two three four.")
        Check(score=0.5, critique='Use at most 2 words, not 4.')
    """

    limit: int

    def __post_init__(self) -> None:
        """Refuse a limit that no answer could meet."""
        _require_positive("limit", self.limit)

    def __call__(self, answer: str) -> Check:
        """Count words."""
        count = len(words_of(answer))
        if count <= self.limit:
            return Check(1.0)
        return Check(self.limit / count, f"Use at most {self.limit} words, not {count}.")


@dataclass(frozen=True)
class MinimumWords:
    """At least so many words; the score is their number over ``limit``.

    Example:
        >>> MinimumWords(4)("One.")
        Check(score=0.25, critique='Use at least 4 words, not 1.')
    """

    limit: int

    def __post_init__(self) -> None:
        """Refuse a limit that every answer meets."""
        _require_positive("limit", self.limit)

    def __call__(self, answer: str) -> Check:
        """Count words."""
        count = len(words_of(answer))
        if count >= self.limit:
            return Check(1.0)
        return Check(count / self.limit, f"Use at least {self.limit} words, not {count}.")


@dataclass(frozen=True)
class Mentions:
    """Each of some keywords; the score is the share that is there. Whole words, in any case.

    Example:
        >>> Mentions(("red", "ship"))("A Redder ship.")
        Check(score=0.5, critique='Mention red.')
    """

    keywords: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse keywords that could not be found."""
        _require_words("keywords", self.keywords)

    def __call__(self, answer: str) -> Check:
        """Look for each."""
        missing = [word for word in self.keywords if not _holds(answer, word)]
        if not missing:
            return Check(1.0)
        return Check(1 - len(missing) / len(self.keywords), f"Mention {' and '.join(missing)}.")


@dataclass(frozen=True)
class Avoids:
    """None of some keywords; the score is the share that is not there. Whole words, in any case.

    Example:
        >>> Avoids(("cat",))("A Cat!")
        Check(score=0.0, critique='Do not say cat.')
    """

    keywords: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse keywords that could not be found."""
        _require_words("keywords", self.keywords)

    def __call__(self, answer: str) -> Check:
        """Look for each."""
        said = [word for word in self.keywords if _holds(answer, word)]
        if not said:
            return Check(1.0)
        return Check(1 - len(said) / len(self.keywords), f"Do not say {' or '.join(said)}.")


@dataclass(frozen=True)
class Tone:
    """At least so many words of a tone; the score is how many there are, over how many are wanted.

    Attributes:
        name: of the tone, as the critique says it.
        words: that carry it; each occurrence counts.
        wanted: how many.

    Example:
        >>> Tone("kind", ("please", "thanks"), wanted=2)("Please wait.")
        Check(score=0.5, critique='Sound more kind.')
    """

    name: str
    words: tuple[str, ...]
    wanted: int = 1

    def __post_init__(self) -> None:
        """Refuse a tone without words."""
        _require_words("words", self.words)
        _require_positive("wanted", self.wanted)

    def __call__(self, answer: str) -> Check:
        """Count words of the tone."""
        carriers = {word.lower() for word in self.words}
        count = sum(word in carriers for word in words_of(answer))
        if count >= self.wanted:
            return Check(1.0)
        return Check(count / self.wanted, f"Sound more {self.name}.")


@dataclass(frozen=True)
class Matches:
    """A regular expression for the whole answer, blanks at its ends aside; the score is 0 or 1.

    Attributes:
        pattern: of the expression; a dot matches line ends as well.
        critique: what to say where it does not match.

    Example:
        >>> Matches(r"Yes.*", "Begin with Yes.")("No.")
        Check(score=0.0, critique='Begin with Yes.')
    """

    pattern: str
    critique: str

    def __post_init__(self) -> None:
        """Refuse a pattern that cannot be compiled."""
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise InvalidInputError(
                f"pattern {self.pattern!r} is no regular expression ({error}); escape what is meant as text"
            ) from error

    def __call__(self, answer: str) -> Check:
        """Match the whole."""
        found = re.fullmatch(self.pattern, answer.strip(), flags=re.DOTALL)
        return Check(1.0) if found else Check(0.0, self.critique)


@dataclass(frozen=True)
class ValidJson:
    """One JSON value and nothing else; the score is 0 or 1, and the critique says where it fails.

    Example:
        >>> ValidJson()('{"a": }')
        Check(score=0.0, critique='Answer in JSON: Expecting value at character 6.')
    """

    def __call__(self, answer: str) -> Check:
        """Parse it."""
        try:
            json.loads(answer, parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            return Check(0.0, f"Answer in JSON: {error.msg} at character {error.pos}.")
        except (ValueError, RecursionError) as error:
            return Check(0.0, f"Answer in JSON: {error}.")
        return Check(1.0)


@dataclass(frozen=True)
class Bullets:
    """Exactly so many lines that begin with ``-`` or ``*``; the score falls with the distance.

    Example:
        >>> Bullets(2)("- one")
        Check(score=0.5, critique='Give 2 bullet points, not 1.')
    """

    count: int

    def __post_init__(self) -> None:
        """Refuse a list without points."""
        _require_positive("count", self.count)

    def __call__(self, answer: str) -> Check:
        """Count lines."""
        found = len(re.findall(r"^\s*[-*]\s+\S", answer, flags=re.MULTILINE))
        if found == self.count:
            return Check(1.0)
        return Check(min(found, self.count) / max(found, self.count), f"Give {self.count} bullet points, not {found}.")


Checkers = Sequence[Checker] | Callable[[tuple[Message, ...]], Sequence[Checker]]
"""What is checked: the same of every answer, or chosen by the conversation that it answers."""


class CheckerOracle:
    """Rewards and critiques by programs; implements :class:`~sdpo_ref.protocols.Oracle`.

    The reward is the weighted mean of the scores, in ``[0, 1]``; the feedback is the critiques one after the other, in
    the order of the checkers, and ``None`` where nothing is to be criticised (ORACLE-002, ORACLE-006).

    Args:
        decode: text of a completion's token ids, as ``policy.decode``.
        checkers: the same for all prompts, or a function of a prompt's messages.
        weights: of the checkers, positive; equal if left out.

    Raises:
        InvalidInputError: if there is no checker, or weights do not fit.
    """

    def __init__(self, decode: Decode, checkers: Checkers, *, weights: Sequence[float] | None = None) -> None:
        if weights is not None and not all(math.isfinite(weight) and weight > 0 for weight in weights):
            raise InvalidInputError(f"weights must be positive, received {list(weights)}; leave a checker out instead")
        self._decode = decode
        self._checkers = checkers
        self._weights = None if weights is None else tuple(weights)
        if not callable(checkers):
            self._require_fit(checkers)

    def judge(self, rollouts: Rollouts, *, generator: torch.Generator) -> Judgement:
        """Check every completion; nothing is random.

        Args:
            rollouts: what was sampled; with messages if the checkers depend on the prompt.
            generator: not used.

        Returns:
            A reward for each, and the critique of it.
        """
        del generator
        rewards, feedback = [], []
        for row, text in enumerate(completion_texts(rollouts, self._decode)):
            checks = [checker(text) for checker in self._checkers_of(rollouts, row)]
            weights = self._weights or (1.0,) * len(checks)
            scores = [weight * check.score for weight, check in zip(weights, checks, strict=True)]
            rewards.append(sum(scores) / sum(weights))
            critique = " ".join(check.critique for check in checks if check.critique)
            feedback.append(Feedback(critique) if critique else None)
        return PartialJudgement(tuple(rewards), tuple(feedback), rollouts.completions.device).whole()

    def _checkers_of(self, rollouts: Rollouts, row: int) -> Sequence[Checker]:
        if not callable(self._checkers):
            return self._checkers
        checkers = self._checkers(messages_of(rollouts)[row])
        self._require_fit(checkers)
        return checkers

    def _require_fit(self, checkers: Sequence[Checker]) -> None:
        if not checkers or (self._weights is not None and len(self._weights) != len(checkers)):
            given = "none" if self._weights is None else len(self._weights)
            raise InvalidInputError(
                f"received {len(checkers)} checkers and weights for {given}; give at least one, and a weight to each"
            )


def _holds(text: str, phrase: str) -> bool:
    """Whether a text holds a word, or words that follow each other."""
    words, wanted = words_of(text), words_of(phrase)
    return any(words[start : start + len(wanted)] == wanted for start in range(len(words) - len(wanted) + 1))


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON value")


def _require_positive(name: str, value: int) -> None:
    if value < 1:
        raise InvalidInputError(f"{name} must be at least 1, received {value}; leave the checker out instead")


def _require_words(name: str, words: Sequence[str]) -> None:
    if not words or not all(words_of(word) for word in words):
        raise InvalidInputError(f"{name} must be words, received {list(words)}; give at least one letter or digit each")
