"""A pytest plugin that turns what pytest does into the events of :mod:`sdpo_ref.verification.isolation.events`."""

import time
from collections.abc import Callable, Generator
from dataclasses import asdict, replace

import pytest

from sdpo_ref.verification.isolation.events import Check, Collected, Event, Failure, Finished, Started
from sdpo_ref.verification.isolation.outcome import classify
from sdpo_ref.verification.isolation.plugin import REQUIREMENT, marked, needs_of, not_applicable_key
from sdpo_ref.verification.isolation.run import Request
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.catalogue import Catalogue
from sdpo_ref.verification.suite.silent import ANSWERS

_LONGEST_OUTPUT = 2000
_LONGEST_TEXT = 20_000


class Recorder:
    """Reports collection, then the start and the end of each check in this worker's share."""

    def __init__(self, request: Request, catalogue: Catalogue, emit: Callable[[Event], None]) -> None:
        self._request = request
        self._catalogue = catalogue
        self._emit = emit
        self._collection_errors: list[str] = []
        self._outcome: tuple[Status, str, Failure | None] = (Status.PASS, "", None)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember a file that could not be collected: its checks are missing from the denominator."""
        if report.failed:
            self._collection_errors.append(f"{report.nodeid}: {str(report.longrepr).strip().splitlines()[-1]}")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Report every check, and keep those that this worker is to run."""
        config.option.tbstyle = "value"  # exceptions are read here; pytest's own text of each failure takes 0.1 s
        checks = [self._check(item) for item in items]
        self._emit(Collected(tuple(checks), tuple(self._collection_errors)))
        first, step = self._request.share
        selected = [(item, check) for item, check in zip(items, checks, strict=True) if check.selected]
        share = {check.id for _, check in selected[first::step]}
        answers = {check.id for check in checks if ANSWERS in check.requirements}  # every worker makes simplest calls
        mine = [item for item, check in selected if check.id in (share | answers) - self._request.finished]
        items[:] = [] if self._request.implementation is None else mine

    def _check(self, item: pytest.Item) -> Check:
        requirements = marked(item, REQUIREMENT)
        wanted = self._request.selection.wanted(item.nodeid, requirements, self._catalogue)
        return Check(item.nodeid, requirements, needs_of(item, self._catalogue), selected=bool(wanted))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Report that a check began, and how it ended once it is torn down."""
        self._outcome = (Status.PASS, "", None)
        self._emit(Started(item.nodeid))
        began = time.perf_counter()
        result = yield
        status, reason, failure = self._outcome
        self._emit(Finished(item.nodeid, status, reason, time.perf_counter() - began, failure))
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Take the worst of set-up, call and teardown as the check's outcome."""
        report = yield
        phase = _outcome(item, report, call)
        undecided = self._outcome[0] is Status.PASS
        if phase[0] is not Status.PASS and (undecided or phase[0].severity > self._outcome[0].severity):
            self._outcome = phase
        return report


def _outcome(
    item: pytest.Item, report: pytest.TestReport, call: pytest.CallInfo[None]
) -> tuple[Status, str, Failure | None]:
    announced = getattr(report, "wasxfail", None)
    if announced is not None:
        return (
            Status.FAIL,
            "",
            Failure(message=f"ended with pytest.xfail ({_cut(str(announced))}); only a waiver excuses a failure"),
        )
    if call.excinfo is None:
        return (Status.FAIL if report.failed else Status.PASS), "", None
    error = call.excinfo.value
    if not_applicable_key in item.stash:
        return Status.NA, item.stash[not_applicable_key], None
    if report.skipped:
        return Status.NOT_RUN, _cut(str(error)), None
    status, failure = classify(error)
    return status, "", _bounded(replace(failure, output=_printed(report)))


def _printed(report: pytest.TestReport) -> str:
    """The end of what the implementation printed during the check."""
    printed = "\n".join(text.strip() for text in (report.capstdout, report.capstderr) if text.strip())
    return printed if len(printed) <= _LONGEST_OUTPUT else f"[...]{printed[-_LONGEST_OUTPUT:]}"


def _bounded(failure: Failure) -> Failure:
    """With long texts cut, so that none fills the pipe."""
    return Failure(**{name: _cut(text) for name, text in asdict(failure).items()})


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}[...]"
