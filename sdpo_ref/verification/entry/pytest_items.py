"""The items that the pytest plugin adds: each shows what one run of the engine found about one requirement."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdpo_ref.errors import SdpoRefError
from sdpo_ref.verification.engine import Suite, verify
from sdpo_ref.verification.entry.pytest_outcomes import SHARED, VERDICT, Outcome, Outcomes, outcomes, shared
from sdpo_ref.verification.isolation.events import Check
from sdpo_ref.verification.suite.selection import Selection

_NAME = "sdpo-ref"
_found = pytest.StashKey[Outcomes]()


class NotConformantError(Exception):
    """A requirement does not hold; the text is what the command line prints about it."""


class Requirements(pytest.Collector):
    """The parent of the items; runs the suite once for all of them."""

    def __init__(self, *, implementation: str, selection: Selection, **of_pytest: Any) -> None:
        super().__init__(**of_pytest)
        self._implementation = implementation
        self._selection = selection
        self._names = (VERDICT, *_asked_for(selection, Suite.released()))

    def collect(self) -> Iterable["RequirementItem"]:
        """One item for each selected requirement, the verdict first."""
        return [RequirementItem.from_parent(self, name=name) for name in self._names]

    def outcome(self, name: str) -> Outcome:
        """What the run found about one requirement; the first call runs the suite."""
        if _found not in self.config.stash:
            folder = getattr(self.config, "workerinput", {}).get(SHARED)
            self.config.stash[_found] = self._run() if folder is None else shared(Path(folder), self._run)
        return self.config.stash[_found].get(name, Outcome("skipped", "no check of it was selected"))

    def _run(self) -> Outcomes:
        try:
            with _importable_as_here(self.config):
                return outcomes(verify(self._implementation, level=self._selection.level, only=self._selection.only))
        except SdpoRefError as error:  # nothing was checked, and no other item tries again
            return dict.fromkeys(self._names, Outcome("failed", str(error)))


class RequirementItem(pytest.Item):
    """One requirement."""

    def runtest(self) -> None:
        """End as the run did.

        Raises:
            NotConformantError: if the requirement does not hold.
        """
        assert isinstance(self.parent, Requirements)  # noqa: S101 - made there; for mypy
        found = self.parent.outcome(self.name)
        if found.kind == "skipped":
            pytest.skip(found.text)
        if found.kind == "xfail":
            pytest.xfail(found.text)
        if found.kind != "passed":
            raise NotConformantError(found.text)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The block that the command line prints, or one line if there was no run; no traceback of the suite."""
        if isinstance(excinfo.value, NotConformantError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the requirement is written, and its name."""
        return self.path, None, f"{_NAME}::{self.name}"


def collect(session: pytest.Session, implementation: str, *, level: int, only: tuple[str, ...]) -> list[pytest.Item]:
    """The items that a session is to show.

    Args:
        session: of pytest.
        implementation: ``module:factory[,key=value]``.
        level: highest level.
        only: beginnings of requirement ids and pieces of check ids; empty for all.

    Raises:
        pytest.UsageError: if the selection names nothing.
    """
    suite, selection = Suite.released(), Selection(level, only)
    try:
        selection.refuse_unmatched(suite.catalogue(), suite.manifest())
    except SdpoRefError as error:
        raise pytest.UsageError(str(error).replace("--only", "--sdpo-only")) from error
    above = Requirements.from_parent(
        session, name=_NAME, nodeid=_NAME, implementation=implementation, selection=selection
    )
    report = session.ihook.pytest_make_collect_report(collector=above)
    session.ihook.pytest_collectreport(report=report)  # so that the items are counted among the collected
    return list(report.result)


def _asked_for(selection: Selection, suite: Suite) -> tuple[str, ...]:
    """Ids of the selected requirements; their checks are those of the manifest, so none is collected."""
    locked = suite.manifest().items()
    checks = [Check(check, (name,), (), selected=True) for name, entry in locked for check in entry.checks]
    without_parameters = replace(selection, only=tuple(only.partition("[")[0] for only in selection.only))
    return without_parameters.requirements(suite.catalogue(), checks)


@contextlib.contextmanager
def _importable_as_here(config: pytest.Config) -> Iterator[None]:
    """Let the worker import from where this session does, the folders of the setting ``pythonpath`` included."""
    before = os.environ.get("PYTHONPATH")
    folders = [str(config.rootpath / folder) for folder in config.getini("pythonpath")]
    os.environ["PYTHONPATH"] = os.pathsep.join([*folders, *filter(None, [before])])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
