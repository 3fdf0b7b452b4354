"""What the runner asks of a worker, as one line of JSON on the worker's standard input."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from sdpo_ref.verification.suite.selection import ALL, Selection


@dataclass(frozen=True)
class Request:
    """Which checks to run on which implementation.

    Attributes:
        implementation: ``module:factory``; ``None`` to collect the checks and run none.
        conformance: folder of the checks.
        spec: folder of the specification.
        selection: what the user asked for.
        share: run every ``share[1]``-th selected check, starting at ``share[0]``.
        finished: checks that are already decided and must not be run again.
    """

    implementation: str | None
    conformance: Path
    spec: Path
    selection: Selection = ALL
    share: tuple[int, int] = (0, 1)
    finished: frozenset[str] = frozenset()

    def encode(self) -> str:
        """One line of JSON."""
        fields = asdict(self)
        fields.update(conformance=str(self.conformance), spec=str(self.spec), finished=sorted(self.finished))
        return json.dumps(fields)

    @classmethod
    def decode(cls, line: str) -> "Request":
        """The request that a line stands for."""
        fields = json.loads(line)
        return cls(
            implementation=fields["implementation"],
            conformance=Path(fields["conformance"]),
            spec=Path(fields["spec"]),
            selection=Selection(fields["selection"]["level"], tuple(fields["selection"]["only"])),
            share=(fields["share"][0], fields["share"][1]),
            finished=frozenset(fields["finished"]),
        )
