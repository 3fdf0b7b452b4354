"""What happened in a run, put together from the events of one worker or of several."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from sdpo_ref.errors import IntegrityError, LoadError
from sdpo_ref.verification.isolation.events import Check, Collected, Event, Finished, Header, Opened, Refused
from sdpo_ref.verification.isolation.neutral import neutral
from sdpo_ref.verification.suite.capabilities import part_of


@dataclass(frozen=True)
class Run:
    """Everything that happened.

    Attributes:
        header: what was verified; ``None`` if checks were only collected.
        checks: all checks in the folder, in order.
        finished: how the selected ones ended, by check id.
        collection_errors: files of the suite that could not be collected.
        seconds: wall-clock time.
    """

    header: Header | None
    checks: tuple[Check, ...]
    finished: dict[str, Finished]
    collection_errors: tuple[str, ...]
    seconds: float


class RunLog:
    """Collects events into a :class:`Run`; the same for one worker, several, or none."""

    def __init__(self, observe: Callable[[Event], None]) -> None:
        self.header: Header | None = None
        self.collected: Collected | None = None
        self.finished: dict[str, Finished] = {}
        self._observe = observe
        self._began = time.monotonic()

    def hear(self, event: Event) -> None:
        """Take note of an event without its power; pass it on unless another worker has already said the same."""
        event = neutral(event)
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
            case Finished(check):
                self.finished[check] = event
        self._observe(event)

    def remaining(self, share: tuple[int, int]) -> list[Check]:
        """Selected checks of a share that have not ended yet."""
        checks = () if self.collected is None else self.collected.checks
        selected = [check for check in checks if check.selected]
        return [check for check in selected[share[0] :: share[1]] if check.id not in self.finished]

    def parts(self, check_id: str) -> frozenset[str]:
        """Parts of the implementation that a check calls; one empty name if it does not say."""
        checks = {} if self.collected is None else {check.id: check for check in self.collected.checks}
        return frozenset(map(part_of, checks[check_id].needs)) or frozenset({""})

    def run(self) -> Run:
        """Everything heard."""
        if self.collected is None:
            raise IntegrityError("the checks could not be collected; reinstall sdpo-ref")
        seconds = time.monotonic() - self._began
        return Run(self.header, self.collected.checks, self.finished, self.collected.errors, seconds)
