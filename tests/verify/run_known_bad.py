"""Run each known-bad implementation through the checks that should notice it; called by test_known_bad."""

import json
import sys
from pathlib import Path

import pytest

from sdpo_ref.verify.plugin import REQUIREMENT, marked
from tests.verify.known_bad import KNOWN_BAD


class Only:
    """Keeps the checks of some requirements, and remembers which requirements failed."""

    def __init__(self, wanted: set[str]) -> None:
        self.wanted, self.failed = wanted, set[str]()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if self.wanted & set(marked(item, REQUIREMENT))]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]  # noqa: ANN201
        report = yield
        if report.failed:
            self.failed |= set(marked(item, REQUIREMENT))
        return report


def main() -> None:
    """Write which requirements failed for each implementation, to the file named second."""
    suite, report = Path(sys.argv[1]), Path(sys.argv[2])
    everything = {name for _, caught_by in KNOWN_BAD.values() for name in caught_by}
    runs = {"reference": everything} | {name: set(caught_by) for name, (_, caught_by) in KNOWN_BAD.items()}
    failed = {}
    for name, wanted in runs.items():
        implementation = name if name == "reference" else f"tests.verify.known_bad:make,name={name}"
        only = Only(wanted)
        options = ["-c", str(suite / "pytest.ini"), "-p", "sdpo_ref.verify.plugin", "-p", "no:cacheprovider"]
        pytest.main([str(suite), *options, "-p", "no:terminal", "--impl", implementation], plugins=[only])
        failed[name] = sorted(only.failed)
    report.write_text(json.dumps(failed))


if __name__ == "__main__":
    main()
