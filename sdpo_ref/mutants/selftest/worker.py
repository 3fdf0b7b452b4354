"""Runs the suite on one implementation after the other: ``python -P -m sdpo_ref.mutants.selftest.worker``.

Starting Python, importing torch and collecting the checks is paid once. Reads a request a line, writes a finding
a line. An implementation that hangs or ends the process is not given to this worker.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import NoReturn

import hypothesis
import pytest
import torch
from hypothesis import is_hypothesis_test

from sdpo_ref._resources import content
from sdpo_ref.errors import SdpoRefError
from sdpo_ref.mutants.mutant import Mutant
from sdpo_ref.mutants.selftest.difference_from_reference import first_difference, first_difference_in_processes
from sdpo_ref.mutants.selftest.targets import SLOW_CHECKS, Finding, Margins, Target, all_targets, requested
from sdpo_ref.verification.checks.comparison import margins_to
from sdpo_ref.verification.checks.inputs import inputs_of
from sdpo_ref.verification.isolation.events import Check, Collected, Event, Finished, Started
from sdpo_ref.verification.isolation.loader import load
from sdpo_ref.verification.isolation.plugin import SuitePlugin, not_applicable_key
from sdpo_ref.verification.isolation.recorder import Recorder
from sdpo_ref.verification.isolation.run import Request
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.capabilities import part_of
from sdpo_ref.verification.suite.catalogue import Catalogue
from sdpo_ref.verification.suite.spec_text import read_catalogue

ANY = "reference"
"""A request must name an implementation, or no check is kept; each target replaces it."""

_EXAMPLES = 20
"""Inputs of a property, a third of what ``sdpo-ref verify`` tries; what is caught with fewer is caught with more."""


_LIMIT = 30
"""Seconds for a check where every small change is made, so that some never end; mutants that do are marked isolated."""


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    """What takes longer raises, as in ``sdpo-ref verify``; 0 for no limit."""

    def give_up(_signal: int, _frame: object) -> NoReturn:
        raise TimeoutError(f"no answer within {seconds} s")

    if not seconds:
        yield
        return
    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class ManyImplementations:
    """A pytest plugin that runs the collected checks once for each target.

    Args:
        catalogue: the specification.
        targets: what to run, as they become known.
        report: receives each finding.
        first_only: whether one failed check of a target is enough.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        targets: Iterable[Target],
        report: Callable[[Finding], None],
        *,
        first_only: bool = False,
    ) -> None:
        self._first_only = first_only
        self._catalogue = catalogue
        self._targets = targets
        self._report = report
        self._checks: dict[str, Check] = {}
        self._finished: list[Finished] = []
        self._margins: Margins = {}
        self._target: Target | None = None
        self._current = ""
        self._keeps_margins = False
        self._kills: Counter[str] = Counter()

    def record(self, event: Event) -> None:
        """Keep what the recorder reports."""
        match event:
            case Collected(checks):
                self._checks = {check.id: check for check in checks}
            case Started(check):
                started, mutant = self._checks[check], self._target.mutant if self._target else None
                self._current = started.function
                self._keeps_margins = mutant is None or bool(set(started.requirements) & set(mutant.caught_by))
            case Finished():
                self._finished.append(event)

    def pytest_configure(self, config: pytest.Config) -> None:
        """Switch off what is for readers only: tracebacks, and the search for the smallest input that fails."""
        config.option.tbstyle = "value"
        suite = hypothesis.settings.get_profile("conformance")
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile(
            "selftest", suite, phases=phases, report_multiple_bugs=False, max_examples=_EXAMPLES
        )
        hypothesis.settings.load_profile("selftest")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run every target, then say that there is nothing else to run."""
        for target in self._targets:
            began = time.monotonic()
            try:
                with inputs_of(target.repeat):
                    finding = self._run(session, target)
            except SdpoRefError as error:
                finding = Finding(target.key, broken=[f"could not be loaded: {error}"])
            finding.seconds = round(time.monotonic() - began, 2)
            self._report(finding)
        return True

    def _run(self, session: pytest.Session, target: Target) -> Finding:
        self._finished, self._margins, self._target = [], {}, target
        loaded = load(target.address)
        compared = target.mutant is not None and not self._first_only
        found = first_difference(loaded.implementation, target.parts, target.filed_probe) if compared else None
        if compared and found is None and target.with_slow_checks:
            found = first_difference_in_processes(target.address)
        plugin = SuitePlugin(self._catalogue, loaded)
        session.config.pluginmanager.register(plugin)
        items = target.part_of([it for it in session.items if self._concerns(target, self._checks[it.nodeid])])
        try:
            with margins_to(self._note_margin):
                if self._first_only:
                    self._run_until_one_fails(items)
                elif target.mutant is not None and target.filed:
                    self._run_deciding(items, target, target.mutant)
                else:
                    self._run_all(items, target)
        finally:
            session.config.pluginmanager.unregister(plugin)
            torch.set_default_dtype(torch.float32)  # M439 leaves another one to the targets after it
        return self._finding(target.key, found or ("", ""))

    def _run_all(self, items: Sequence[pytest.Item], target: Target) -> None:
        """Run checks one after the other, in the order in which they were collected."""
        for item, following in zip_longest(items, items[1:]):
            _prepare(item, target.repeat)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)

    def _run_deciding(self, items: Sequence[pytest.Item], target: Target, mutant: Mutant) -> None:
        """Run the checks of the requirements that a mutant names: those that fail on file, the others if need be.

        Every check on file is run, and not the first that fails only, so that its margin from each tolerance is found.
        """
        named = [item for item in items if self._decides(item, mutant.caught_by)]
        self._run_all([item for item in named if item.nodeid in target.filed], target)
        failed = self._requirements(self._failed())
        missing = [name for name in mutant.caught_by if name not in failed]
        others = [item for item in named if item.nodeid not in target.filed and self._decides(item, missing)]
        self._run_all(others, target)

    def _decides(self, item: pytest.Item, requirements: Collection[str]) -> bool:
        return not set(self._checks[item.nodeid].requirements).isdisjoint(requirements)

    def _run_until_one_fails(self, items: Sequence[pytest.Item]) -> None:
        """Run checks until one fails, those first that have failed for many targets before."""
        ordered = sorted(items, key=lambda item: -self._kills[item.nodeid])
        for item, following in zip_longest(ordered, ordered[1:]):
            _prepare(item, 0)
            with _limited(_LIMIT):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._finished[-1].status in (Status.FAIL, Status.ERROR):
                self._kills[item.nodeid] += 1
                item.session._setupstate.teardown_exact(None)  # noqa: SLF001 - the next target has a subject of its own
                break

    def _failed(self) -> list[str]:
        return [it.check for it in self._finished if it.status in (Status.FAIL, Status.ERROR)]

    def _note_margin(self, relative: float, absolute: float, units: float) -> None:
        """Keep a margin of a right variant, or of a mutant in a check of the requirements that it names."""
        if not self._keeps_margins:
            return
        key = f"{self._current}|{relative:g}|{absolute:g}"
        self._margins[key] = max(units, self._margins.get(key, 0.0))

    @staticmethod
    def _concerns(target: Target, check: Check) -> bool:
        """Whether this target can fail a check that the reference passes."""
        if check.function in SLOW_CHECKS and not target.with_slow_checks:
            return False
        needs = {part_of(need) for need in check.needs}
        return not target.parts or not needs or bool(needs & target.parts)

    def _finding(self, name: str, difference: tuple[str, str]) -> Finding:
        failed = self._failed()
        ran = [it.check for it in self._finished if it.status not in (Status.NA, Status.NOT_RUN)]
        return Finding(
            name,
            failed=failed,
            parts={check: part_of(next(iter(self._checks[check].needs), "")) for check in failed},
            broken=[
                f"{it.check}: {it.failure.message if it.failure else it.reason}"
                for it in self._finished
                if it.status is Status.INVALID
            ],
            requirements=self._requirements(failed),
            decided=self._requirements(ran),
            margins=self._margins,
            probe=difference[0],
            difference=difference[1],
        )

    def _requirements(self, checks: Iterable[str]) -> list[str]:
        wanted = {name for check in checks for name in self._checks[check].requirements}
        return [requirement.id for requirement in self._catalogue if requirement.id in wanted]


def _prepare(item: pytest.Item, repeat: int) -> None:
    """Make a check forget the target before; repeat 0 gives properties the examples of ``sdpo-ref verify``."""
    function = getattr(item, "function", None)
    if function is not None and is_hypothesis_test(function):
        hypothesis.seed(repeat or None)(function)
    if not_applicable_key in item.stash:
        del item.stash[not_applicable_key]


def run(targets: Iterable[Target], report: Callable[[Finding], None], *, first_only: bool = False) -> None:
    """Run the suite on each target.

    Args:
        targets: what to run; taken one at a time.
        report: receives each finding.
        first_only: whether one failed check of a target is enough.
    """
    torch.set_num_threads(1)
    conformance, spec = content("conformance"), content("spec")
    catalogue = read_catalogue(spec)
    plugin = ManyImplementations(catalogue, targets, report, first_only=first_only)
    pytest.main(
        [
            str(conformance),
            f"--config-file={conformance / 'pytest.ini'}",
            f"--rootdir={conformance}",
            "--import-mode=importlib",
            "--capture=no",
            "-pno:terminal",
            "-pno:logging",
            "-pno:unraisableexception",
            "-pno:threadexception",
            "-pno:cacheprovider",
        ],
        plugins=[
            SuitePlugin(catalogue, None),
            plugin,
            Recorder(Request(ANY, conformance, spec), catalogue, plugin.record),
        ],
    )


def main() -> None:
    """Serve requests from standard input until it ends."""
    commands, findings = os.fdopen(os.dup(0), encoding="utf-8"), os.dup(1)
    os.dup2(2, 1)
    known = {target.name: target for target in all_targets()}

    def requests() -> Iterator[Target]:
        for line in commands:
            yield requested(line, known)

    def report(finding: Finding) -> None:
        line = f"{finding.encode()}\n".encode()
        while line:
            line = line[os.write(findings, line) :]

    run(requests(), report)
    os._exit(0)  # a thread that an implementation left behind must not keep this process alive


if __name__ == "__main__":
    main()
