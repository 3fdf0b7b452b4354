"""What a worker found out about one implementation, as one line of JSON."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

Margins = dict[str, float]
"""``check|relative|absolute`` to the largest error in units of the tolerance."""


@dataclass
class Finding:
    """What happened to one target.

    Attributes:
        name: of the target.
        failed: checks that failed or raised.
        parts: the part of the implementation that each failed check calls first.
        broken: checks that broke themselves, or what kept the target from being run.
        requirements: requirements of the failed checks.
        decided: requirements of which some check ran.
        margins: how near comparisons came to their tolerances.
        probe: the call that shows a difference from the reference; empty if none does.
        difference: how far apart the two answers are.
        seconds: how long it took.
    """

    name: str
    failed: list[str] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    requirements: list[str] = field(default_factory=list)
    decided: list[str] = field(default_factory=list)
    margins: Margins = field(default_factory=dict)
    probe: str = ""
    difference: str = ""
    seconds: float = 0.0

    def encode(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, line: str) -> "Finding":
        """The finding that a line stands for."""
        fields: dict[str, Any] = json.loads(line)
        return cls(**fields)
