"""Causes of many failures at once that are no defect of SDPO's, each with a plain sentence; recognised first."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from sdpo_ref.verification.diagnosis.answers import NOT_FINITE, NOT_OFFERED, RAISED, Answers
from sdpo_ref.verification.diagnosis.probe_calls import probes_of
from sdpo_ref.verification.report import CheckResult, Failure
from sdpo_ref.verification.status import Status

MOST = 1 / 2
"""The share of failed checks, or of answers, from which a cause is named."""

_NEARLY_ALL = 0.9
"""The share of answers from which an implementation is said to answer nothing else."""

_ENDED = ("it did not return within", "the process ended", "hung or died in", "the implementation raised SystemExit")
_NOT_OFFERED = "declared but not offered"
_LONGEST = 120


@dataclass(frozen=True)
class Cause:
    """Why many checks fail at once.

    Attributes:
        sentence: for a person.
        explains: ids of the failed checks that it accounts for.
        is_all: whether nothing else can be told from the run.
    """

    sentence: str
    explains: frozenset[str]
    is_all: bool


@dataclass(frozen=True)
class Seen:
    """What a run has to show.

    Attributes:
        failing: checks that failed.
        answers: of the implementation to the calls of ``probe_calls``; empty if there was no time for them.
        right: the right answers to them.
        precision: in which they were computed, such as ``float32``.
        wrong: how many of them are wrong by more than that precision.
    """

    failing: Mapping[str, CheckResult]
    answers: Answers
    right: Answers
    precision: str
    wrong: int


def cause_of(seen: Seen) -> Cause | None:
    """The first cause that accounts for most of what is seen.

    Args:
        seen: failed checks and answers.

    Returns:
        The cause, if there is one.
    """
    for look in (_hangs, _refuses, _is_never_finite, _is_not_offered, _is_coarse):
        cause = look(seen)
        if cause is not None:
            return cause
    return None


def _of(failing: Mapping[str, CheckResult], holds: Callable[[CheckResult, Failure], bool]) -> frozenset[str]:
    return frozenset(name for name, check in failing.items() if holds(check, check.failure or Failure()))


def _hangs(seen: Seen) -> Cause | None:
    found = _of(seen.failing, lambda _, it: it.message.startswith(_ENDED) or any(text in it.message for text in _ENDED))
    if len(found) <= MOST * len(seen.failing):
        return None
    how = Counter((seen.failing[name].failure or Failure()).message for name in found).most_common(1)[0][0]
    return Cause(
        f"{_counted(found, seen)} got no answer ({_short(how)}); nothing else can be told before that is put right",
        frozenset(seen.failing),
        is_all=True,
    )


def _refuses(seen: Seen) -> Cause | None:
    found = _of(seen.failing, lambda it, failure: it.status is Status.ERROR and " raised " in failure.message)
    texts = {name: (seen.failing[name].failure or Failure()).message for name in found}
    kinds = Counter(text.partition(": ")[0] for text in texts.values())
    kind, number = kinds.most_common(1)[0] if kinds else ("", 0)
    if number <= MOST * len(seen.failing) or _share(seen, RAISED) < MOST:
        return None
    example = Counter(text for text in texts.values() if text.startswith(kind)).most_common(1)[0][0]
    part, _, what = example.partition(" raised ")
    return Cause(
        f"{part} refuses nearly every call: {number} of {len(seen.failing)} failed checks end with {_short(what)}",
        frozenset(seen.failing),
        is_all=True,
    )


def _is_never_finite(seen: Seen) -> Cause | None:
    if not seen.answers or _share(seen, NOT_FINITE) < _NEARLY_ALL:
        return None
    parts = ", ".join(sorted({probes_of()[name][0] for name in seen.answers if name in probes_of()}))
    return Cause(
        f"nearly every answer of {parts} is NaN or infinite, also where nothing is extreme",
        frozenset(seen.failing),
        is_all=True,
    )


def _is_not_offered(seen: Seen) -> Cause | None:
    found = _of(seen.failing, lambda _, it: it.message.startswith(_NOT_OFFERED))
    if len(found) <= MOST * len(seen.failing):
        return None
    texts = Counter((seen.failing[name].failure or Failure()).message for name in found)
    what = texts.most_common(1)[0][0].removeprefix(f"{_NOT_OFFERED}: ").partition(";")[0]
    return Cause(
        f"{_counted(found, seen)} ask for something that raises NotImplementedError ({_short(what)}); "
        "offer it, or leave it out of `capabilities`",
        found,
        is_all=False,
    )


def _is_coarse(seen: Seen) -> Cause | None:
    if seen.precision == "float64" or not seen.answers or seen.wrong:
        return None
    return Cause(
        f"every answer is right within the rounding of {seen.precision}, in which it is computed; compute in float64 "
        f'for the check, or declare precision = "float32"',
        frozenset(seen.failing),
        is_all=True,
    )


def _share(seen: Seen, words: str) -> float:
    """The share of answers that begin with words although the right answer is a number."""
    asked = [
        name
        for name, answer in seen.answers.items()
        if name in seen.right and not seen.right[name].words and answer.words != NOT_OFFERED
    ]
    found = [name for name in asked if seen.answers[name].words.startswith(words)]
    return len(found) / len(asked) if asked else 0.0


def _counted(found: Collection[str], seen: Seen) -> str:
    return f"{len(found)} of {len(seen.failing)} failed checks"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
