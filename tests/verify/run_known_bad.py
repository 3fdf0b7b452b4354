"""Run each known-bad implementation through the checks that should notice it; called by test_known_bad."""

import json
import sys
from pathlib import Path

import pytest

from sdpo_ref.verify.plugin import REQUIREMENT, marked
from tests.verify.known_bad import BENIGN, KNOWN_BAD


class Only:
    """Keeps the checks of some requirements, and remembers which requirements failed."""

    def __init__(self, wanted: set[str]) -> None:
        self.wanted, self.failed = wanted, set[str]()
        self.requirements: dict[str, set[str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Drop all other checks."""
        self.requirements = {item.nodeid: set(marked(item, REQUIREMENT)) for item in items}
        items[:] = [item for item in items if self.wanted & self.requirements[item.nodeid]]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember what failed."""
        if report.failed:
            self.failed |= self.requirements[report.nodeid]


def main() -> None:
    """Write which requirements failed for each implementation, to the file named second."""
    suite, report = Path(sys.argv[1]), Path(sys.argv[2])
    everything = {name for _, caught_by in KNOWN_BAD.values() for name in caught_by}
    runs = dict.fromkeys(BENIGN, everything) | {name: set(caught_by) for name, (_, caught_by) in KNOWN_BAD.items()}
    failed = {}
    for name, wanted in runs.items():
        only = Only(wanted)
        options = ["-c", str(suite / "pytest.ini"), "-p", "sdpo_ref.verify.plugin", "-p", "no:cacheprovider"]
        pytest.main(
            [str(suite), *options, "-p", "no:terminal", "--impl", f"tests.verify.known_bad:make,name={name}"],
            plugins=[only],
        )
        failed[name] = sorted(only.failed)
    report.write_text(json.dumps(failed))


if __name__ == "__main__":
    main()
