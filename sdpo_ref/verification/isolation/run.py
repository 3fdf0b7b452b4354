"""What the runner asks a worker to run, and what happened, collected from the events of one worker or of several."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from sdpo_ref.errors import IntegrityError, LoadError
from sdpo_ref.verification.isolation.events import (
    Answered,
    Check,
    Collected,
    Event,
    Finished,
    Header,
    Opened,
    Refused,
)
from sdpo_ref.verification.isolation.text import printable_event
from sdpo_ref.verification.suite.capabilities import part_of
from sdpo_ref.verification.suite.selection import ALL, Selection
from sdpo_ref.verification.suite.silent import silent


@dataclass(frozen=True)
class Request:
    """Which checks to run on which implementation.

    Attributes:
        implementation: ``module:factory``, or the name of an object; ``None`` to collect the checks and run none.
        conformance: folder of the checks.
        spec: folder of the specification.
        selection: what the user selected.
        share: run every ``share[1]``-th selected check, starting at ``share[0]``.
        finished: checks that have ended already and must not be run again.
        silent: capabilities that are known not to answer their simplest call.
    """

    implementation: str | None
    conformance: Path
    spec: Path
    selection: Selection = ALL
    share: tuple[int, int] = (0, 1)
    finished: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()

    def encode(self) -> str:
        """One line of JSON."""
        fields = asdict(self)
        fields.update(conformance=str(self.conformance), spec=str(self.spec))
        fields.update(finished=sorted(self.finished), silent=sorted(self.silent))
        return json.dumps(fields)

    @classmethod
    def decode(cls, line: str) -> "Request":
        """The request in a line."""
        fields = json.loads(line)
        return cls(
            implementation=fields["implementation"],
            conformance=Path(fields["conformance"]),
            spec=Path(fields["spec"]),
            selection=Selection(fields["selection"]["level"], tuple(fields["selection"]["only"])),
            share=(fields["share"][0], fields["share"][1]),
            finished=frozenset(fields["finished"]),
            silent=frozenset(fields["silent"]),
        )


@dataclass(frozen=True)
class Run:
    """What happened in a run of the suite.

    Attributes:
        header: what was verified; ``None`` if checks were only collected.
        checks: all checks in the folder, in order.
        finished: how the selected ones ended, by check id.
        collection_errors: files of the suite that could not be collected.
        seconds: wall-clock time.
        answered: what the implementation answers to the calls of a diagnosis; ``None`` if it was not asked.
    """

    header: Header | None
    checks: tuple[Check, ...]
    finished: dict[str, Finished]
    collection_errors: tuple[str, ...]
    seconds: float
    answered: Answered | None = None

    def silent(self) -> frozenset[str]:
        """Capabilities that did not answer their simplest call."""
        return silent(self.checks, {name: it.status for name, it in self.finished.items()})


class RunLog:
    """Collects events into a :class:`Run`; the same for one worker, several, or none."""

    def __init__(self, observe: Callable[[Event], None]) -> None:
        self.header: Header | None = None
        self.collected: Collected | None = None
        self.finished: dict[str, Finished] = {}
        self.answered: Answered | None = None
        self._observe = observe
        self._began = time.monotonic()

    def record(self, event: Event) -> None:
        """Record an event with its text escaped; pass it on unless another worker has already sent the same."""
        event = printable_event(event)
        match event:
            case Refused(message):
                raise LoadError(message)
            case Opened(header):
                known, self.header = self.header, header
                if known is not None:
                    return
            case Collected():
                known_checks, self.collected = self.collected, event
                if known_checks is not None:
                    return
            case Finished(check, status):  # the simplest calls end once in each worker
                before = self.finished.get(check)
                if before is None or status.severity > before.status.severity:
                    self.finished[check] = event
                if before is not None:
                    return
            case Answered(answers, precision):  # each worker asks the parts that failed a check of its share
                known_answers = {} if self.answered is None else self.answered.answers
                self.answered = Answered({**known_answers, **answers}, precision)
        self._observe(event)

    def remaining(self, share: tuple[int, int]) -> list[Check]:
        """Selected checks of a share that have not ended yet."""
        checks = () if self.collected is None else self.collected.checks
        selected = [check for check in checks if check.selected]
        return [check for check in selected[share[0] :: share[1]] if check.id not in self.finished]

    def parts(self, check_id: str) -> frozenset[str]:
        """Parts of the implementation that a check calls; one empty name if it declares none."""
        checks = {} if self.collected is None else {check.id: check for check in self.collected.checks}
        return frozenset(map(part_of, checks[check_id].needs)) or frozenset({""})

    def silent(self) -> frozenset[str]:
        """Capabilities that did not answer their simplest call."""
        checks = () if self.collected is None else self.collected.checks
        return silent(checks, {name: it.status for name, it in self.finished.items()})

    def run(self) -> Run:
        """Everything recorded."""
        if self.collected is None:
            raise IntegrityError("the checks could not be collected; reinstall sdpo-ref")
        seconds = time.monotonic() - self._began
        checks, errors = self.collected.checks, self.collected.errors
        return Run(self.header, checks, self.finished, errors, seconds, self.answered)
