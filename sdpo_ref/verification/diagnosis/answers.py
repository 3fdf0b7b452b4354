"""What an implementation answers to fixed calls, in a few numbers each: what a diagnosis compares.

Two implementations with the same defect give the same wrong answers, however they are written and whichever checks they
fail. The calls are those of ``probe_calls``, which share no input with the checks.
"""

import math
import re
import signal
import threading
import time
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor

from sdpo_ref.protocols.parts import Attempt, TeacherContext
from sdpo_ref.verification.checks.mismatch import ImplementationRaisedError, Mismatch, NoAnswerError, NotOfferedError
from sdpo_ref.verification.checks.subject import Subject
from sdpo_ref.verification.diagnosis.probe_calls import Call, probes_of

NOT_OFFERED = "NotImplementedError"
"""The words of a part or an option that is not offered."""

NOT_FINITE = "not finite"
"""How the words of an answer with a NaN or an infinity begin; then the numbers of its tensors."""

RAISED = "raised"
"""The words of a call that raised something else."""

_DIRECTIONS = 2
"""A tensor is reduced to its products with this many fixed random directions."""


@dataclass(frozen=True)
class Answer:
    """An answer, reduced.

    Attributes:
        words: what is not a number: that it raised, where it is not finite, what a text holds. Or empty.
        numbers: of each tensor in the answer, its products with fixed random directions.
    """

    words: str = ""
    numbers: tuple[float, ...] = ()


Answers = Mapping[str, Answer]
"""Name of a call to its answer."""


def answers_of(subject: Subject, parts: Collection[str], *, seconds: float = math.inf) -> dict[str, Answer]:
    """What an implementation answers.

    Args:
        subject: the implementation.
        parts: parts to call.
        seconds: after which no more answers are waited for; those that are missing are left out.

    Returns:
        The answers.
    """
    found: dict[str, Answer] = {}
    deadline = time.monotonic() + seconds
    with suppress(_OutOfTimeError), _limited(seconds):
        for name, (part, call) in probes_of().items():
            if time.monotonic() > deadline:  # the implementation has caught what would have stopped it
                break
            if part in parts:
                found[name] = answer_of(subject, call)
    return found


def answer_of(subject: Subject, call: Call) -> Answer:
    """The answer to one call."""
    try:
        return _reduced(call(subject), call)
    except NotOfferedError:
        return Answer(NOT_OFFERED)
    except NoAnswerError as error:
        return Answer(f"no answer: {error.summary}")
    except ImplementationRaisedError as error:
        if isinstance(error.__cause__, _OutOfTimeError):
            raise error.__cause__ from None
        return Answer(RAISED)
    except Mismatch as error:
        return Answer(f"returned {error.got}")
    except Exception:  # noqa: BLE001 - an answer that our own wrapper cannot read
        return Answer("returned something else")


def _reduced(value: object, call: Call) -> Answer:
    if isinstance(value, Sequence) and value and all(isinstance(it, Mapping) for it in value):
        value = [TeacherContext(tuple(value), usable=True)]
    if isinstance(value, Sequence) and value and all(isinstance(it, TeacherContext) for it in value):
        return Answer(_what_is_read(value, call))
    tensors = list(_tensors(value))
    if not tensors:
        return Answer(_hash(_text(value)))
    flat = [tensor.detach().double().flatten() for tensor in tensors]
    wrong = [str(number) for number, it in enumerate(flat) if not bool(it.isfinite().all())]
    if wrong:
        return Answer(f"{NOT_FINITE} in {', '.join(wrong)}")
    return Answer("", tuple(number for it in flat for number in _products(it)))


def _tensors(value: object) -> Iterator[Tensor]:
    """The tensors in an answer; the weights of a step are one for each side."""
    if isinstance(value, Tensor):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            inner = list(_tensors(getattr(value, field.name)))
            if field.name in ("student", "teacher") and len(inner) > 1:
                yield torch.cat([it.detach().double().flatten() for it in inner])
            else:
                yield from inner
    elif isinstance(value, Mapping):
        for name in sorted(value, key=str):
            yield from _tensors(value[name])
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _tensors(item)


def _products(flat: Tensor) -> list[float]:
    """A single number as it is; more of them by their products with random directions of length one."""
    if flat.numel() <= 1:
        return flat.tolist()
    generator = torch.Generator().manual_seed(flat.numel())
    directions = torch.randn(_DIRECTIONS, flat.numel(), generator=generator, dtype=torch.float64)
    return (directions @ flat).tolist()


def _what_is_read(contexts: Sequence[TeacherContext], call: Call) -> str:
    """Which words of prompts, answers and feedback the teacher reads, in order; a template's own words are left out."""
    texts = list(_texts(call.arguments))
    known = {word for text in texts for word in _words(text) if not word.isalpha()}
    found = []
    for context in contexts:
        read = "\n".join(message["content"] for message in context.messages)
        words = [word for word in _words(read) if word in known]
        whole = [text in read for text in texts]
        found.append((context.usable, [message["role"] for message in context.messages], words, whole))
    return _hash(repr(found))


def _texts(value: object) -> Iterator[str]:
    """Contents of messages, completions and feedback in the arguments of a call."""
    match value:
        case str():
            yield value
        case Attempt():
            yield from _texts((value.prompt, value.completion, value.feedback))
        case Mapping():
            yield from _texts(value.get("content"))
        case Sequence():
            for item in value:
                yield from _texts(item)


def _words(text: str) -> list[str]:
    """Tags are words of their own."""
    return re.sub(r"(?<=>)|(?=<)", " ", text).split()


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return repr(sorted((str(name), _text(it)) for name, it in value.items()))
    return repr(value)


def _hash(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


class _OutOfTimeError(BaseException):
    """The time for all answers is over."""


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise once the time is over, inside the implementation if need be; only the main thread can."""
    if not math.isfinite(seconds) or threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(_signal: int, _frame: Any) -> NoReturn:
        raise _OutOfTimeError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
