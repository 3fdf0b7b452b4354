"""How much an implementation may use before it is stopped."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How long to wait, in seconds, and how much memory to give.

    Attributes:
        check: for one check.
        start: for loading the implementation, and for collecting the checks.
        memory: of each process, in GiB.
    """

    check: float = 60.0
    start: float = 120.0
    memory: float = 4.0
