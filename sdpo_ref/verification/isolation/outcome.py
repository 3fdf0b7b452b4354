"""From the exception that ended a check to its status, and to the fields that the report shows."""

import re
import traceback
from collections.abc import Iterator
from dataclasses import replace

from hypothesis.errors import Flaky

from sdpo_ref.errors import IntegrityError
from sdpo_ref.verification.checks.mismatch import ImplementationRaisedError, Mismatch, NotOfferedError
from sdpo_ref.verification.isolation.events import Failure
from sdpo_ref.verification.status import Status

BROKE = "the check itself broke"
"""How the message of a check begins that ended with an exception that is neither a finding nor the implementation's."""

_LAST_LINES = 9
_OUR_FRAMES = re.compile(r'^  File ".*[/\\]sdpo_ref[/\\]verification[/\\].*\n(?:    .*\n)*', re.MULTILINE)
_MARKS = re.compile(r"^[\s^~]+$")
_EXAMPLES = ("Falsifying example", "Failing test case")  # as older and newer releases of Hypothesis begin them
_CHANGING = "a result that changes between two calls with the same input"


def classify(error: BaseException) -> tuple[Status, Failure]:
    """Status and failure of a check that ended with this exception.

    A property-based check may report several exceptions as a group; the most informative is taken: a broken
    control, then an implementation that raised, then a wrong result, then anything else.

    Example:
        >>> status, failure = classify(ExceptionGroup("two", [Mismatch("0 nat", "1 nat"), ValueError("x")]))
        >>> status.value, failure.got
        ('FAIL', '1 nat')
    """
    leaves = list(_leaves(error))
    changing = isinstance(error, Flaky)
    for kind in (IntegrityError, ImplementationRaisedError, SystemExit, Mismatch, NotOfferedError, AssertionError):
        for leaf in leaves:
            if isinstance(leaf, kind):
                status, failure = _describe(leaf)
                return status, replace(failure, looks_like=_CHANGING) if changing else failure
    return (Status.FAIL, Failure(message=_CHANGING)) if changing else _describe(leaves[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup) and error.exceptions:
        for child in error.exceptions:
            yield from _leaves(child)
    else:
        yield error


def _describe(error: BaseException) -> tuple[Status, Failure]:
    status = Status.FAIL
    match error:
        case ImplementationRaisedError():
            status = Status.ERROR
            failure = Failure(message=str(error), traceback=_tail(error.traceback))
        case SystemExit():
            status = Status.ERROR
            failure = Failure(message=f"the implementation raised SystemExit({error.code!r}); let it return a result")
        case Mismatch():
            failure = Failure(
                expected=error.expected,
                got=error.got,
                tolerance=error.tolerance,
                given=error.given or _falsifying_example(error),
                looks_like=error.looks_like,
            )
        case NotOfferedError():
            fix = "offer it, or leave it out of `capabilities` (an alpha: out of the `alphas` of `profile`)"
            failure = Failure(message=f"declared but not offered: {error}; {fix}")
        case AssertionError():
            failure = Failure(message=str(error) or "an assertion failed", traceback=_formatted(error))
        case IntegrityError():
            status = Status.INVALID
            failure = Failure(message=str(error))
        case _:
            status = Status.INVALID
            summary = "".join(traceback.format_exception_only(error)).strip()
            failure = Failure(message=f"{BROKE}: {summary}", traceback=_formatted(error))
    return status, failure


def _falsifying_example(error: BaseException) -> str:
    """What Hypothesis noted as the smallest input, when the check names none itself."""
    return "\n".join(note for note in getattr(error, "__notes__", ()) if note.startswith(_EXAMPLES))


def _formatted(error: BaseException) -> str:
    return _tail("".join(traceback.format_exception(error)))


def _tail(text: str) -> str:
    """The last lines of a traceback, without our own frames and without the marks under the code."""
    lines = [line for line in _OUR_FRAMES.sub("", text).rstrip().splitlines() if not _MARKS.match(line)]
    return "\n".join(lines[-_LAST_LINES:])
