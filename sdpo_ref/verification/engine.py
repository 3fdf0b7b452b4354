"""``sdpo-ref verify`` as one function: from a name to a report."""

import datetime as dt
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from sdpo_ref._resources import content
from sdpo_ref.claims.ledger import read_ledger
from sdpo_ref.claims.reader import read_claims
from sdpo_ref.errors import IntegrityError, UsageError
from sdpo_ref.verification.diagnosis.diagnosed import diagnosed
from sdpo_ref.verification.diagnosis.kill_matrix import FILE as KILL_MATRIX
from sdpo_ref.verification.diagnosis.kill_matrix import KillMatrix, read_kill_matrix
from sdpo_ref.verification.isolation.events import Check, Event
from sdpo_ref.verification.isolation.limits import Limits
from sdpo_ref.verification.isolation.run import Request
from sdpo_ref.verification.isolation.runner import default_jobs, run_in_process, run_isolated
from sdpo_ref.verification.level4 import Level4, decide_claims
from sdpo_ref.verification.results import Report, judge
from sdpo_ref.verification.suite.catalogue import Catalogue
from sdpo_ref.verification.suite.golden import SUMS, require_golden
from sdpo_ref.verification.suite.manifest import Manifest, read_manifest
from sdpo_ref.verification.suite.selection import ALL, Selection
from sdpo_ref.verification.suite.spec_text import read_catalogue
from sdpo_ref.verification.suite.waivers import Waiver, refuse_wrong, today

_STANDARD_LIMITS = Limits()
_STANDARD_LEVEL4 = Level4()


@dataclass(frozen=True)
class Suite:
    """A specification and the checks that decide it.

    Attributes:
        spec: folder of the chapters.
        conformance: folder of the checks, with ``pytest.ini`` and ``manifest.json``.
    """

    spec: Path
    conformance: Path

    @classmethod
    def released(cls) -> "Suite":
        """The suite that is shipped with this package."""
        return cls(content("spec"), content("conformance"))

    @classmethod
    def at(cls, folder: Path | None) -> "Suite":
        """The suite whose ``spec`` and ``conformance`` lie in a folder; the released one for ``None``.

        Raises:
            UsageError: if one of the two is missing.
        """
        if folder is None:
            return cls.released()
        suite = cls((folder / "spec").resolve(), (folder / "conformance").resolve())
        for part in (suite.spec, suite.conformance):
            if not part.is_dir():
                raise UsageError(f"{part} is not a folder; a suite is a folder that holds spec/ and conformance/")
        return suite

    def catalogue(self, *, study: bool = False) -> Catalogue:
        """Its requirements, on request with those of the simulated world."""
        return read_catalogue(self.spec, study=study)

    def manifest(self) -> Manifest:
        """Its locked denominator."""
        return read_manifest(self.conformance)

    def kill_matrix(self) -> KillMatrix | None:
        """What it says about known defects; ``None`` if nobody has asked it."""
        return read_kill_matrix(self.conformance) if (self.conformance / KILL_MATRIX).is_file() else None

    def require_golden(self) -> None:
        """Look whether its golden files are those that were released.

        Raises:
            IntegrityError: if one is not, or if the released suite has lost the list of them.
        """
        if self == Suite.released() and not (self.conformance / SUMS).exists():
            raise IntegrityError(f"{self.conformance / SUMS} is missing; reinstall sdpo-ref")
        require_golden(self.conformance)


def verify(
    implementation: str,
    *,
    suite: Suite | None = None,
    selection: Selection = ALL,
    limits: Limits = _STANDARD_LIMITS,
    jobs: int | None = None,
    in_process: bool = False,
    observe: Callable[[Event], None] = lambda _event: None,
    level4: Level4 = _STANDARD_LEVEL4,
    waivers: Collection[Waiver] = (),
    on: dt.date | None = None,
) -> Report:
    """Check an implementation against the specification.

    Args:
        implementation: ``module:factory[,key=value]``.
        suite: what to check against; the released suite if left out.
        selection: which part of it.
        limits: how long to wait, and how much memory to give.
        jobs: number of worker processes; chosen by the number of cores if left out.
        in_process: run here, without isolation and limits, for a debugger.
        observe: is told each event as it happens.
        level4: how claims are decided.
        waivers: failures that are announced.
        on: the day on which they must hold; today, if left out.

    Returns:
        The report; :func:`sdpo_ref.verification.verdict.verdict` turns it into a sentence and an exit code.

    Raises:
        LoadError: if the implementation cannot be loaded.
        UsageError: if the selection or a waiver names nothing, or a waiver has expired.
        IntegrityError: if the suite itself is broken, or a golden file is not what was released.
    """
    suite = Suite.released() if suite is None else suite
    suite.require_golden()
    catalogue, manifest, matrix = suite.catalogue(), suite.manifest(), suite.kill_matrix()
    selection.refuse_unmatched(catalogue, manifest)
    refuse_wrong(waivers, catalogue, on or today())
    request = Request(implementation, suite.conformance, suite.spec, selection)
    if in_process:
        run = run_in_process(request, observe=observe)
    else:
        workers = default_jobs(request) if jobs is None else jobs
        run = run_isolated(request, limits=limits, jobs=workers, observe=observe)
    began = time.monotonic()
    level4 = replace(level4, memory=limits.memory)
    decided, verdicts = (
        ((), ()) if run.header is None else decide_claims(request, run.header, catalogue, level4, jobs=jobs)
    )
    report = judge(run, catalogue, manifest, selection, decided, waivers=waivers)
    moved = read_ledger(suite.conformance).differences(read_claims(suite.spec))
    return replace(
        report,
        deviations=(*report.deviations, *moved),
        claims=verdicts,
        profile=level4.profile,
        seconds=report.seconds + time.monotonic() - began,
        diagnosis=None if matrix is None else diagnosed(report, matrix),
    )


def collect(suite: Suite) -> tuple[Check, ...]:
    """Every check of a suite; none is run.

    Raises:
        IntegrityError: if a file of the suite cannot be collected.
    """
    request = Request(None, suite.conformance, suite.spec)
    return run_isolated(request).checks
