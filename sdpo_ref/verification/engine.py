"""``sdpo-ref verify`` as one function: from an implementation to its report."""

import datetime as dt
import time
from collections.abc import Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sdpo_ref._resources import content
from sdpo_ref.claims.profile import ProfileName
from sdpo_ref.claims.records import read_claims, read_ledger
from sdpo_ref.errors import IntegrityError, UsageError
from sdpo_ref.verification.diagnosis.kill_matrix import FILE as KILL_MATRIX
from sdpo_ref.verification.diagnosis.kill_matrix import KillMatrix, read_kill_matrix
from sdpo_ref.verification.diagnosis.known_answers import FILE as ANSWERS
from sdpo_ref.verification.diagnosis.known_answers import KnownAnswers, read_known_answers
from sdpo_ref.verification.isolation.events import Check, Event, Finished
from sdpo_ref.verification.isolation.limits import Limits
from sdpo_ref.verification.isolation.loader import SHORT_NAMES, load_object
from sdpo_ref.verification.isolation.outcome import BROKE
from sdpo_ref.verification.isolation.run import Request, Run
from sdpo_ref.verification.isolation.runner import default_jobs, run_in_process, run_isolated
from sdpo_ref.verification.judge import NO_CLAIMS, judge
from sdpo_ref.verification.level4 import Level4, decide_claims
from sdpo_ref.verification.report import Repeat, Report
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.catalogue import Catalogue
from sdpo_ref.verification.suite.golden import SUMS, require_golden
from sdpo_ref.verification.suite.manifest import Manifest, read_manifest
from sdpo_ref.verification.suite.selection import Selection
from sdpo_ref.verification.suite.spec_text import read_catalogue
from sdpo_ref.verification.suite.waivers import Waiver, read_waivers, refuse_wrong, today

_STANDARD = Limits()


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
    def at(cls, folder: Path | str | None) -> "Suite":
        """The suite whose ``spec`` and ``conformance`` lie in a folder; the released one for ``None``.

        Raises:
            UsageError: if one of the two is missing.
        """
        if folder is None:
            return cls.released()
        suite = cls((Path(folder) / "spec").resolve(), (Path(folder) / "conformance").resolve())
        for part in (suite.spec, suite.conformance):
            if not part.is_dir():
                raise UsageError(f"{part} is not a folder; a suite is a folder that holds spec/ and conformance/")
        return suite

    def folder(self) -> str | None:
        """Where it lies, as ``Suite.at`` takes it; ``None`` for the released suite, or where the two lie apart."""
        together = self.spec.parent == self.conformance.parent and self != Suite.released()
        return str(self.spec.parent) if together else None

    def catalogue(self, *, study: bool = False) -> Catalogue:
        """Its requirements, on request with those of the simulated world."""
        return read_catalogue(self.spec, study=study)

    def manifest(self) -> Manifest:
        """Its locked denominator."""
        return read_manifest(self.conformance)

    def kill_matrix(self) -> KillMatrix | None:
        """Its results on known defects; ``None`` if it has none."""
        return read_kill_matrix(self.conformance) if (self.conformance / KILL_MATRIX).is_file() else None

    def known_answers(self) -> KnownAnswers | None:
        """The answers of known defects; ``None`` if it has none."""
        return read_known_answers(self.conformance) if (self.conformance / ANSWERS).is_file() else None

    def require_golden(self) -> None:
        """Compare its golden files with those that were released.

        Raises:
            IntegrityError: if one is not, or if the released suite has lost the list of them.
        """
        if self == Suite.released() and not (self.conformance / SUMS).exists():
            raise IntegrityError(f"{self.conformance / SUMS} is missing; reinstall sdpo-ref")
        require_golden(self.conformance)


def verify(
    implementation: object = "reference",
    *,
    level: int | None = None,
    only: Sequence[str] = (),
    profile: ProfileName = "standard",
    budget: float | None = None,
    time_limit: float = _STANDARD.check,
    start_limit: float = _STANDARD.start,
    memory_limit: float = _STANDARD.memory,
    jobs: int | None = None,
    in_process: bool = False,
    first_failure: bool = False,
    waivers: Path | str | Collection[Waiver] = (),
    suite: Suite | Path | str | None = None,
    observe: Callable[[Event], None] = lambda _event: None,
    progress: Callable[[int, int], None] = lambda _done, _requested: None,
    on: dt.date | None = None,
) -> Report:
    """Check an implementation against the specification.

    ``print(report)`` shows what ``sdpo-ref verify`` prints. A name is loaded in isolated processes. An object is
    checked in this process, without isolation and limits, and what it prints is shown; requirements that have to load
    the implementation in another process (LOSS-065, TRAIN-005, level 4) stay undecided for it.

    Args:
        implementation: ``module:factory[,key=value]``, or an object with some of the parts of
            :class:`~sdpo_ref.protocols.parts.Implementation`.
        level: only requirements up to this level, 0 to 4; all if left out. Level 4 trains for minutes.
        only: beginnings of requirement ids, and pieces of check ids; empty for all.
        profile: of level 4: ``smoke``, ``standard`` or ``certify``.
        budget: seconds after which level 4 ends, and says what was not reached; no limit if left out.
        time_limit: seconds for each check.
        start_limit: seconds for loading the implementation.
        memory_limit: of each process of the implementation, in GiB; Linux only.
        jobs: number of worker processes; chosen by the number of cores if left out.
        in_process: run a name in this process, too, for a debugger.
        first_failure: end the run with the first MUST that fails and is not waived; what is left is not run.
        waivers: failures that are known, or the TOML file that lists them.
        suite: folder with ``spec/`` and ``conformance/``; the released suite if left out.
        observe: called with each event of the run as it happens.
        progress: called with the numbers of level 4's runs that are done and requested.
        on: the day on which the waivers must hold; today, if left out.

    Returns:
        The report: ``report.verdict.exit_code``, ``report.verdict.sentence``, ``report.requirements`` and so on.

    Raises:
        LoadError: if the implementation cannot be loaded.
        UsageError: if the selection or a waiver names nothing, or a waiver has expired.
        IntegrityError: if the suite itself is broken, or a golden file is not what was released.

    Example:
        >>> report = verify("reference", level=0, only=["LOSS-001"])  # doctest: +SKIP
        >>> report.verdict.sentence  # doctest: +SKIP
        'partial run, no verdict on conformance: 1 of 1 MUST passed'
    """
    selection = Selection(level, (only,) if isinstance(only, str) else tuple(only))
    suite = suite if isinstance(suite, Suite) else Suite.at(suite)
    suite.require_golden()
    catalogue, manifest, matrix = suite.catalogue(), suite.manifest(), suite.kill_matrix()
    selection.refuse_unmatched(catalogue, manifest)
    known = read_waivers(Path(waivers)) if isinstance(waivers, (str, Path)) else tuple(waivers)
    refuse_wrong(known, catalogue, on or today())
    decisive = {it.id for it in catalogue if it.strength == "MUST"} - {waiver.id for waiver in known}
    if isinstance(implementation, str):
        request, loaded = Request(implementation, suite.conformance, suite.spec, selection), None
    else:
        loaded = load_object(implementation)
        request = Request(loaded.name, suite.conformance, suite.spec, selection)
    if in_process or loaded is not None:
        run = run_in_process(request, loaded=loaded, observe=observe, first_failure=first_failure)
    else:
        limits = Limits(check=time_limit, start=start_limit, memory=memory_limit)
        workers = default_jobs(request) if jobs is None else jobs
        run = run_isolated(
            request,
            limits=limits,
            jobs=workers,
            observe=observe,
            ends=partial(_is_the_end, decisive) if first_failure else lambda _check, _finished: False,
        )
        run = _blamed(run, request, limits)
    began = time.monotonic()
    level4 = Level4(profile=profile, budget=budget, memory=memory_limit, progress=progress)
    has_ended = first_failure and any(
        _is_the_end(decisive, it, run.finished[it.id]) for it in run.checks if it.selected
    )
    results, claims = (
        ((), NO_CLAIMS)
        if run.header is None or has_ended
        else decide_claims(request, run.header, catalogue, level4, jobs=jobs, silent=run.silent())
    )
    return judge(
        replace(run, seconds=run.seconds + time.monotonic() - began),
        catalogue,
        manifest,
        selection,
        results,
        claims=claims,
        waivers=known,
        matrix=matrix,
        known_answers=suite.known_answers() if run.answered is not None else None,
        deviations=read_ledger(suite.conformance).differences(read_claims(suite.spec)),
        repeat=Repeat(suite=suite.folder(), budget=budget, jobs=jobs),
    )


def _blamed(run: Run, request: Request, limits: Limits) -> Run:
    """The run, in which a check that broke is the implementation's error if it holds for the bundled reference.

    What an implementation does to its process (a module that it alters, a global setting) can break any check; the same
    check in another process tells that from a fault of the suite.
    """
    broken = {name: it for name, it in run.finished.items() if it.failure and it.failure.message.startswith(BROKE)}
    if not broken or request.implementation in SHORT_NAMES:
        return run
    selection = Selection(only=tuple(broken))
    control = run_isolated(replace(request, implementation="reference", selection=selection), limits=limits)
    finished = dict(run.finished)
    for name, it in broken.items():
        if it.failure is not None and name in control.finished and control.finished[name].status is Status.PASS:
            says = it.failure.message.removeprefix(BROKE)
            message = (
                f"the check broke in the process of this implementation{says}; it holds for the bundled reference in "
                "another, so something that this implementation does to its process, or returns, is in its way"
            )
            finished[name] = replace(it, status=Status.ERROR, failure=replace(it.failure, message=message))
    return replace(run, finished=finished)


def _is_the_end(decisive: AbstractSet[str], check: Check, finished: Finished) -> bool:
    """Whether a check decides something that counts, and does not hold."""
    is_failure = finished.status.is_failure or finished.status is Status.INVALID
    return is_failure and not decisive.isdisjoint(check.requirements)


def collect(suite: Suite) -> tuple[Check, ...]:
    """Every check of a suite; none is run.

    Raises:
        IntegrityError: if a file of the suite cannot be collected.
    """
    request = Request(None, suite.conformance, suite.spec)
    return run_isolated(request).checks
