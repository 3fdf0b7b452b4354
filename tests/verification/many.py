"""Reports on many implementations from one collection of the released checks, in one process: seconds for dozens.

Up to level 3. Three things differ from ``sdpo-ref verify``: properties try fewer inputs, no other process is started
(LOSS-065 is asked in this one, steps on several processes not at all), and a run may end with its first failure of a
MUST.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import zip_longest
from unittest.mock import patch

import hypothesis
import pytest
from torch import Tensor

from sdpo_ref._resources import content
from sdpo_ref.types import DistillationBatch
from sdpo_ref.verification.checks import outside, processes
from sdpo_ref.verification.checks.processes import STAGES, Outcome, TwoProcesses
from sdpo_ref.verification.checks.settings import Setting
from sdpo_ref.verification.checks.subject import Subject
from sdpo_ref.verification.isolation.events import Check, Collected, Event, Finished, Header
from sdpo_ref.verification.isolation.loader import Loaded, load_object
from sdpo_ref.verification.isolation.plugin import (
    REQUIREMENT,
    SuitePlugin,
    implementation_key,
    marked,
    not_applicable_key,
)
from sdpo_ref.verification.isolation.recorder import Recorder
from sdpo_ref.verification.isolation.run import Request, Run
from sdpo_ref.verification.judge import judge
from sdpo_ref.verification.report import Report
from sdpo_ref.verification.suite.catalogue import Catalogue
from sdpo_ref.verification.suite.manifest import read_manifest
from sdpo_ref.verification.suite.selection import Selection
from sdpo_ref.verification.suite.spec_text import read_catalogue

_SELECTION = Selection(level=3)
_LEFT_OUT = "deterministic algorithms"
"""A check for which PyTorch imports its compiler, for two seconds."""


def reports(implementations: Mapping[str, object], *, first_failure: bool = False) -> dict[str, Report]:
    """The report on each implementation.

    Args:
        implementations: by name.
        first_failure: end each run when a check fails; what was not run is then missing from the report.
    """
    conformance, spec = content("conformance"), content("spec")
    catalogue = read_catalogue(spec)
    many = _Many(catalogue, implementations, first_failure=first_failure)
    both = TwoProcesses((STAGES[-1], STAGES[-1]), ("", ""))
    with (
        patch.object(outside, "loss_outside", many.loss_here),
        patch.object(processes, "run_two_processes", lambda *_: both),
        patch.object(processes, "run_processes", lambda *_, world, **__: (Outcome(not_offered=True),) * world),
    ):
        pytest.main(
            [
                str(conformance),
                f"--config-file={conformance / 'pytest.ini'}",
                f"--rootdir={conformance}",
                "--import-mode=importlib",
                "-pno:terminal",
                "-pno:cacheprovider",
            ],
            plugins=[
                SuitePlugin(catalogue, None),
                many,
                Recorder(Request("many", conformance, spec, _SELECTION), catalogue, many.record),
            ],
        )
    manifest = read_manifest(conformance)
    return {name: judge(run, catalogue, manifest, _SELECTION) for name, run in many.runs.items()}


class _Many:
    """A plugin that runs the collected checks once for each implementation."""

    def __init__(self, catalogue: Catalogue, implementations: Mapping[str, object], *, first_failure: bool) -> None:
        self._catalogue = catalogue
        self._implementations = implementations
        self._first_failure = first_failure
        self._checks: tuple[Check, ...] = ()
        self._finished: dict[str, Finished] = {}
        self._current: object = None
        self.runs: dict[str, Run] = {}

    def record(self, event: Event) -> None:
        match event:
            case Collected(checks):
                self._checks = checks
            case Finished(check):
                self._finished[check] = event

    def loss_here(self, _target: str, batch: DistillationBatch, setting: Setting) -> tuple[Tensor, Tensor]:
        found = Subject(self._current).loss(batch, **setting.options)
        return found.value, found.student

    def pytest_configure(self) -> None:
        hypothesis.settings.register_profile(
            "many",
            hypothesis.settings.get_profile("conformance"),
            phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
            report_multiple_bugs=False,
            max_examples=5,
        )
        hypothesis.settings.load_profile("many")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = [item for item in session.items if _LEFT_OUT not in item.nodeid]
        for name, implementation in self._implementations.items():
            self._finished, self._current = {}, implementation
            loaded = replace(load_object(implementation), spec=name)
            plugin = SuitePlugin(self._catalogue, loaded)
            session.config.pluginmanager.register(plugin)
            session.config.stash[implementation_key] = loaded
            for item, following in zip_longest(items, items[1:]):
                item.stash.setdefault(not_applicable_key, "")
                del item.stash[not_applicable_key]
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=None if self._first_failure else following)
                if self._first_failure and self._finished[item.nodeid].status.is_failure and self._decides(item):
                    break
            session.config.pluginmanager.unregister(plugin)
            self.runs[name] = Run(_header(loaded), self._checks, self._finished, (), 0.0)
        return True

    def _decides(self, item: pytest.Item) -> bool:
        return any(self._catalogue[name].strength == "MUST" for name in marked(item, REQUIREMENT))


def _header(loaded: Loaded) -> Header:
    return Header(loaded.spec, loaded.name, {}, {}, tuple(sorted(loaded.capabilities)), {})
