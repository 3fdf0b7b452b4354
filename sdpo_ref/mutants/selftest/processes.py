"""Runs targets in a few worker processes; what may hang or exit gets one of its own, isolated as by ``verify``."""

import contextlib
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sdpo_ref.errors import SdpoRefError
from sdpo_ref.mutants.selftest.targets import Finding, Target
from sdpo_ref.verification.engine import verify
from sdpo_ref.verification.isolation.process import isolated_environment
from sdpo_ref.verification.report import Report
from sdpo_ref.verification.status import Status

_MODULE = "sdpo_ref.mutants.selftest.worker"
_ISOLATED_LIMIT = 2.0
"""Seconds for a check of something that is known to hang."""

Observe = Callable[[Finding], None]


def run_targets(targets: Sequence[Target], *, jobs: int, observe: Observe = lambda _finding: None) -> list[Finding]:
    """Run the suite on each target.

    Args:
        targets: what to run.
        jobs: number of processes.
        observe: called with each finding as it comes.

    Returns:
        One finding for each target, in the order of the targets.
    """
    waiting: queue.SimpleQueue[Target] = queue.SimpleQueue()
    for target in sorted(targets, key=lambda it: (not it.isolated, it.mutant is not None, bool(it.parts))):
        waiting.put(target)
    found: dict[str, Finding] = {}
    lock = threading.Lock()

    def keep(finding: Finding) -> None:
        with lock:
            found[finding.name] = finding
            observe(finding)

    with tempfile.TemporaryDirectory(prefix="sdpo-ref-", ignore_cleanup_errors=True) as home:
        threads = [threading.Thread(target=_serve, args=(waiting, Path(home), keep)) for _ in range(jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return [found[target.key] for target in targets]


def _serve(waiting: "queue.SimpleQueue[Target]", home: Path, keep: Observe) -> None:
    """Take targets until none are left; start another worker when one is lost."""
    worker: _Worker | None = None
    while True:
        try:
            target = waiting.get_nowait()
        except queue.Empty:
            break
        if target.isolated:
            keep(_by_itself(target))
            continue
        worker = _Worker(home) if worker is None else worker
        finding = worker.ask(target)
        if finding is None:
            finding = Finding(target.key, broken=[f"the worker ended; enter it as isolated: {worker.printed()}"])
            worker.close()
            worker = None
        keep(finding)
    if worker is not None:
        worker.close()


class _Worker:
    """One process that runs target after target."""

    def __init__(self, home: Path) -> None:
        self._printed = home / f"selftest-{threading.get_ident()}-{time.monotonic_ns()}.txt"
        with self._printed.open("wb") as printed:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-P", "-m", _MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=printed,
                env={name: text for name, text in isolated_environment(home).items() if name != "PYTEST_CURRENT_TEST"},
                text=True,
                encoding="utf-8",
            )

    def ask(self, target: Target) -> Finding | None:
        """The finding, or ``None`` if the process ended before it had one."""
        if self._process.stdin is None or self._process.stdout is None:
            return None
        try:
            self._process.stdin.write(f"{target.request}\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            return None
        return Finding.decode(line) if line else None

    def printed(self) -> str:
        """The last line of its output."""
        lines = self._printed.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "nothing was printed"

    def close(self) -> None:
        """Let it end."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()


def _by_itself(target: Target) -> Finding:
    """The finding of an implementation that may hang or end its process, through ``sdpo-ref verify``."""
    began = time.monotonic()
    try:
        report = verify(target.address, only=_deciding(target), time_limit=_ISOLATED_LIMIT, jobs=1)
    except SdpoRefError as error:
        return Finding(target.key, broken=[f"could not be loaded: {error}"])
    finding = finding_of(target.key, report)
    finding.seconds = round(time.monotonic() - began, 2)
    return finding


def _deciding(target: Target) -> tuple[str, ...]:
    """The requirements that the mutant names, if its result is on file; if not, none, which selects the whole suite."""
    return target.mutant.caught_by if target.mutant is not None and target.filed else ()


def finding_of(name: str, report: Report) -> Finding:
    """A report as a finding; a check that hung or died is the proof that the mutant differs.

    Args:
        name: of the target.
        report: of ``sdpo-ref verify``.

    Returns:
        The finding.
    """
    checks = {check.id: check for result in report.requirements for check in result.checks}
    failed = [it for it in checks.values() if it.status in (Status.FAIL, Status.ERROR)]
    first = next((it for it in failed if it.status is Status.ERROR and it.failure is not None), None)
    return Finding(
        name,
        failed=[it.id for it in failed],
        broken=list(report.broken),
        requirements=[result.id for result in report.requirements if result.own_status.is_failure],
        decided=[result.id for result in report.requirements if result.own_status is not Status.NA],
        probe="" if first is None else first.id.rpartition("::")[2],
        difference="" if first is None or first.failure is None else first.failure.message.partition(";")[0],
    )
