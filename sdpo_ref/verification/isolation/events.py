"""Events that a worker sends to the runner, one JSON object a line: the header, the checks found, how each one ended.

A run is ``Refused``, or else ``Opened``, ``Collected``, then ``Started`` and ``Finished`` in turn, then ``Closed``, and
``Answered`` if a check failed.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sdpo_ref.verification.status import Status


@dataclass(frozen=True)
class Check:
    """One collected check.

    Attributes:
        id: path, function and parameters, such as ``loss/test_ends.py::test_forward[float64]``.
        requirements: ids of the requirements that it decides.
        needs: capabilities without which it is left out.
        selected: whether this run is to run it.
    """

    id: str
    requirements: tuple[str, ...]
    needs: tuple[str, ...]
    selected: bool

    @property
    def function(self) -> str:
        """The id without parameters: what the manifest locks."""
        return self.id.partition("[")[0]

    @property
    def short(self) -> str:
        """The id without its path: what a person reads."""
        return self.id.rpartition("::")[2] if "[" not in self.id else self._short_with_parameters

    @property
    def _short_with_parameters(self) -> str:
        function, bracket, parameters = self.id.partition("[")
        return function.rpartition("::")[2] + bracket + parameters

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> "Check":
        """From JSON."""
        return cls(fields["id"], tuple(fields["requirements"]), tuple(fields["needs"]), fields["selected"])


@dataclass(frozen=True)
class Failure:
    """Why a check did not pass, field by field as :class:`~sdpo_ref.verification.checks.mismatch.Mismatch` has them.

    Attributes:
        message: one sentence, if the fields below do not say it all.
        expected: what the specification demands.
        got: what the implementation returned.
        tolerance: how far the two may lie apart.
        given: the smallest input found that shows it.
        looks_like: a known defect with this signature.
        traceback: last lines of the implementation's own traceback.
        output: last lines of what the implementation printed meanwhile.
    """

    message: str = ""
    expected: str = ""
    got: str = ""
    tolerance: str = ""
    given: str = ""
    looks_like: str = ""
    traceback: str = ""
    output: str = ""


@dataclass(frozen=True)
class Header:
    """What is being verified, and with which versions.

    Attributes:
        spec: the ``module:factory`` text as the user typed it; ``None`` for an object.
        name: the implementation's own name.
        profile: every profile field with its declared value.
        departures: profile fields that differ from the paper's, as (declared, paper's).
        capabilities: what it declares, sorted.
        versions: of suite, specification, Python and torch.
        isolation: the isolation in force, by subject; empty if there was none.
    """

    spec: str | None
    name: str
    profile: Mapping[str, str]
    departures: Mapping[str, tuple[str, str]]
    capabilities: tuple[str, ...]
    versions: Mapping[str, str]
    isolation: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> "Header":
        """From JSON."""
        departures = {name: (declared, paper) for name, (declared, paper) in fields["departures"].items()}
        capabilities = tuple(fields["capabilities"])
        return cls(**{**fields, "departures": departures, "capabilities": capabilities})


@dataclass(frozen=True)
class Refused:
    """The implementation could not be loaded, so nothing is checked."""

    message: str


@dataclass(frozen=True)
class Opened:
    """The implementation is loaded."""

    header: Header


@dataclass(frozen=True)
class Collected:
    """Every check in the folder, also those not selected; ``errors`` name files that could not be collected."""

    checks: tuple[Check, ...]
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Started:
    """A check began; whatever hangs or dies now is this check's."""

    check: str


@dataclass(frozen=True)
class Finished:
    """A check ended.

    Attributes:
        check: its id.
        status: how it ended.
        reason: why it was not decided, for N/A, SKIPPED and NOT-RUN.
        seconds: how long it took.
        failure: set for FAIL, ERROR and INVALID.
    """

    check: str
    status: Status
    reason: str = ""
    seconds: float = 0.0
    failure: Failure | None = None


@dataclass(frozen=True)
class Closed:
    """The worker has run all checks of its share."""


@dataclass(frozen=True)
class Answered:
    """What the implementation answers to the calls of a diagnosis; sent after everything else, if a check failed.

    Attributes:
        answers: name of a call to its answer in words and numbers; what there was no time for is left out.
        precision: the coarsest in which the implementation computes.
    """

    answers: Mapping[str, tuple[str, tuple[float, ...]]]
    precision: str

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> "Answered":
        """From JSON."""
        answers = fields["answers"].items()
        read = {str(name): (str(words), tuple(map(float, numbers))) for name, (words, numbers) in answers}
        return cls(read, str(fields["precision"]))


@dataclass(frozen=True)
class Forged:
    """Something that is no event of the worker was written into the pipe of its events; the runner makes this itself.

    Attributes:
        line: its beginning.
    """

    line: str


Event = Refused | Opened | Collected | Started | Finished | Closed | Answered | Forged


class Order:
    """Which event of one worker can come next; whatever comes elsewhere was written by something else.

    Example:
        >>> order = Order()
        >>> order.allows(Collected(())), order.allows(Finished("a", Status.PASS)), order.allows(Started("a"))
        (True, False, True)
    """

    def __init__(self) -> None:
        self.has_closed = False
        self._has_opened = self._has_collected = self._has_answered = False
        self._check: str | None = None

    def allows(self, event: Event) -> bool:
        """Whether it can come now; if so, it has come."""
        if self.has_closed:
            allowed = isinstance(event, Answered) and not self._has_answered
            self._has_answered |= allowed
            return allowed
        match event:
            case Refused():
                allowed = not (self._has_opened or self._has_collected)
            case Opened():
                allowed = not (self._has_opened or self._has_collected)
                self._has_opened = True
            case Collected():
                allowed = not self._has_collected
                self._has_collected = True
            case Started(check):
                allowed = self._has_collected and self._check is None
                self._check = check
            case Finished(check):
                allowed = check == self._check
                self._check = None
            case Closed():
                allowed = self.has_closed = self._has_collected and self._check is None
            case Answered() | Forged():
                allowed = False
        return allowed


def encode(event: Event) -> str:
    """One line of JSON, without the line break.

    Example:
        >>> encode(Started("loss/test_ends.py::test_forward"))
        '{"event": "Started", "check": "loss/test_ends.py::test_forward"}'
    """
    return json.dumps({"event": type(event).__name__, **asdict(event)})


def decode(line: str) -> Event:  # noqa: PLR0911 - one for each kind
    """The event in a line.

    Raises:
        ValueError: if the line is not an event.
    """
    try:
        fields = json.loads(line)
        name = fields.pop("event")
        match name:
            case "Refused":
                return Refused(**fields)
            case "Opened":
                return Opened(Header.parse(fields["header"]))
            case "Collected":
                return Collected(tuple(map(Check.parse, fields["checks"])), tuple(fields["errors"]))
            case "Started":
                return Started(**fields)
            case "Finished":
                failure = fields["failure"]
                status = Status(fields["status"])
                return Finished(**{**fields, "status": status, "failure": failure and Failure(**failure)})
            case "Closed":
                return Closed()
            case "Answered":
                return Answered.parse(fields)
    except (AttributeError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"not an event: {line[:200]!r}") from error
    raise ValueError(f"unknown event {name!r}")
