"""Requests to a program: it introduces itself, then answers; one that hangs or ends is restarted.

A program that ends, hangs or writes an invalid answer is stopped, and a new one is started for the next check. Within
one check it is not called again, because the check has failed already and would only wait once more for each input.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from sdpo_ref.errors import InvalidInputError, LoadError, UnsupportedError
from sdpo_ref.verification.checks.mismatch import NoAnswerError
from sdpo_ref.verification.entry.json_lines.lines import LineProcess, NoLineError, SilenceError, excerpt

PROTOCOL = 1
"""Version of the protocol; a program answers with its own."""

START_LIMIT = 60.0
"""Seconds that a program has to introduce itself, or the limit of a call if that is longer."""

FIRST_LIMIT = 45.0
"""Seconds that it has for the first answer of an operation, which may have to be compiled; below a check's limit."""

_ALLOWED_SILENCES = 3
_OPTIONAL = {"name": (str,), "profile": (str, dict), "precision": (str,)}
_PRECISIONS = ("float64", "float32")
_KINDS = ("result", "error", "unsupported")


@dataclass(frozen=True)
class Hello:
    """How a program introduces itself.

    Attributes:
        capabilities: what it offers.
        declared: its name, profile and precision, as far as it declares them.
    """

    capabilities: tuple[str, ...]
    declared: Mapping[str, object]


class Program:
    """A program that answers requests.

    Args:
        command: the program and its arguments.
        call_limit: seconds for one answer; the first of each operation has :data:`FIRST_LIMIT` if that is longer.
    """

    def __init__(self, command: str, *, call_limit: float) -> None:
        self._command = command
        self._limit = call_limit
        self._process: LineProcess | None = None
        self._requests = 0
        self._silences: Counter[str] = Counter()
        self._answered: set[str] = set()
        self._lost = ("", "")

    def introduce(self) -> Hello:
        """Start it, and ask for its capabilities.

        Raises:
            LoadError: if it cannot be started or does not introduce itself.
        """
        try:
            return self._start()
        except NoLineError as error:
            errors = self._stop()
            printed = f" (it printed: {errors.splitlines()[-1]})" if errors else ""
            raise LoadError(
                f"{self._command}: {error}{printed}; it must answer the line "
                f'{{"id": 0, "op": "hello", "protocol": {PROTOCOL}}}, see conformance/json-lines/README.md'
            ) from error

    def call(self, op: str, arguments: Mapping[str, object], *, gradient: bool = False) -> Mapping[str, object]:
        """Send one request.

        Args:
            op: name of the part.
            arguments: what it is given, ready for JSON.
            gradient: whether the answer must hold a gradient.

        Returns:
            The fields of the result, as JSON has them.

        Raises:
            InvalidInputError: if the program refuses the arguments.
            UnsupportedError: if it does not offer this.
            NoAnswerError: if there is no answer, or one that cannot be read.
        """
        check, what = self._lost
        if check and check == _current_check():
            raise NoAnswerError(op, what, "")
        if self._silences[op] >= _ALLOWED_SILENCES:
            raise NoAnswerError(op, f"not called any more: it did not answer in time {_ALLOWED_SILENCES} times", "")
        try:
            if self._process is None:
                self._start()
            request = {"op": op, "arguments": arguments, "gradient": gradient}
            limit = self._limit if op in self._answered else max(self._limit, FIRST_LIMIT)
            kind, content = self._ask(request, limit=limit)
            self._answered.add(op)
        except NoLineError as error:
            self._silences[op] += isinstance(error, SilenceError)
            self.give_up(op, str(error))
        if self._process is not None:
            sys.stderr.write(self._process.new_errors())
        if isinstance(content, dict):
            return content
        raise (InvalidInputError if kind == "error" else UnsupportedError)(content)

    def give_up(self, op: str, what: str) -> NoReturn:
        """Stop the program, because it gave no valid answer.

        Args:
            op: name of the part.
            what: what it did instead of answering.

        Raises:
            NoAnswerError: always.
        """
        errors = self._stop()
        self._lost = _current_check(), what
        raise NoAnswerError(op, what, errors)

    def _start(self) -> Hello:
        self._process = LineProcess(self._command)
        self._requests = 0
        kind, content = self._ask({"op": "hello", "protocol": PROTOCOL}, limit=max(START_LIMIT, self._limit))
        if not isinstance(content, dict):
            raise NoLineError(f"it answered hello with {kind}: {content}")
        return _hello(content)

    def _stop(self) -> str:
        process, self._process = self._process, None
        self._answered.clear()  # the next one compiles again
        if process is None:
            return ""
        errors = process.new_errors()
        process.stop()
        return errors

    def _ask(self, request: Mapping[str, object], *, limit: float) -> tuple[str, dict[str, object] | str]:
        """Kind and content of an answer: a result's fields, or the text of a refusal."""
        assert self._process is not None  # noqa: S101 - checked by the callers; for mypy
        number, self._requests = self._requests, self._requests + 1
        line = json.dumps({"id": number, **request}, allow_nan=False).encode()
        received = self._process.ask(line, limit=limit)
        return _answer(received, number)


def _answer(received: bytes, number: int) -> tuple[str, dict[str, object] | str]:
    try:
        answer = json.loads(received, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise NoLineError(f"it wrote a line that is not JSON ({error}): {excerpt(received)}") from error
    if not isinstance(answer, dict) or set(answer) - {"id"} not in [{kind} for kind in _KINDS]:
        raise NoLineError(f"an answer holds id and one of {', '.join(_KINDS)}, received {excerpt(received)}")
    if answer.get("id") != number or isinstance(answer["id"], bool):
        raise NoLineError(f"the answer to request {number} must have its id, received {excerpt(received)}")
    ((kind, content),) = ((kind, answer[kind]) for kind in _KINDS if kind in answer)
    if not isinstance(content, dict if kind == "result" else str):
        allowed = "an object" if kind == "result" else "a text"
        raise NoLineError(f"{kind} must be {allowed}, received {excerpt(received)}")
    return kind, content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f'{name} is not a number in JSON; write "inf", "-inf" or "nan"')


def _hello(content: Mapping[str, object]) -> Hello:
    if content.get("protocol") != PROTOCOL:
        raise NoLineError(f"its protocol is {content.get('protocol')!r}, supported is {PROTOCOL}")
    capabilities = content.get("capabilities")
    if not isinstance(capabilities, list) or not all(isinstance(name, str) for name in capabilities):
        raise NoLineError(f"its capabilities must be a list of names, received {capabilities!r}")
    declared = {name: value for name, value in content.items() if name not in ("protocol", "capabilities")}
    for name, value in declared.items():
        if not isinstance(value, _OPTIONAL.get(name, ())):
            raise NoLineError(
                f"its hello holds {name} = {value!r}; allowed are protocol, capabilities, name (text), "
                "profile (text or object) and precision (text)"
            )
    if declared.get("precision", "float64") not in _PRECISIONS:
        raise NoLineError(f"its precision must be one of {', '.join(_PRECISIONS)}, received {declared['precision']!r}")
    return Hello(tuple(capabilities), declared)


def _current_check() -> str:
    """The check that runs now, as pytest names it; empty outside of one."""
    return os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
