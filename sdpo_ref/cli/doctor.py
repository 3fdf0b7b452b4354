"""``sdpo-ref doctor``: what is installed, whether versions are supported, and what can run here."""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

import typer
from packaging.requirements import Requirement
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sdpo_ref import SPEC_VERSION, __version__
from sdpo_ref.verification.engine import Suite

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
_GIGABYTE = 1e9


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        subject: what was looked at.
        state: what was found.
        fix: what to do; empty if nothing is to be done.
        core: whether ``verify`` of the reference cannot run without it.
    """

    subject: str
    state: str
    fix: str = ""
    core: bool = False


@app.command()
def run() -> None:
    """Show what is installed and what can run here; exit code 1 if the bundled reference cannot be verified."""
    findings = [*_versions(), *_torch(), *_packages(), *_suite(), *_machine()]
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for finding in findings:
        mark, style = (
            ("ok", "green") if not finding.fix else ("broken", "bold red") if finding.core else ("--", "yellow")
        )
        text = finding.state + (f"; {finding.fix}" if finding.fix else "")
        grid.add_row(Text(mark, style=style), finding.subject, Text(text))
    console = Console(highlight=False)
    console.print(grid)
    broken = [finding for finding in findings if finding.fix and finding.core]
    if broken:
        console.print(Text(f"cannot verify: {', '.join(finding.subject for finding in broken)}", style="bold red"))
        raise typer.Exit(1)
    console.print(Text("ready: sdpo-ref verify", style="bold green"))


def _versions() -> Iterator[Finding]:
    yield Finding("sdpo-ref", f"suite {__version__}, specification {SPEC_VERSION}")
    yield Finding("python", f"{platform.python_version()} at {sys.executable}")


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        yield Finding("torch", f"cannot be imported ({error})", "install it with pip", core=True)
        return
    cuda = f"CUDA {torch.version.cuda}" if torch.cuda.is_available() else "no CUDA device (none is needed)"
    yield Finding("torch", f"{torch.__version__}, threads: {torch.get_num_threads()}, {cuda}")
    gloo = torch.distributed.is_available() and torch.distributed.is_gloo_available()
    state = "gloo is available" if gloo else "gloo is not available"
    yield Finding("two processes", state, "" if gloo else "checks with several processes cannot run here")


def _packages() -> Iterator[Finding]:
    """Every requirement of this package, compared with what is installed; peers are optional."""
    try:
        declared = [Requirement(text) for text in requires("sdpo-ref") or ()]
    except PackageNotFoundError:
        yield Finding("sdpo-ref", "runs from a folder, not installed", "pip install -e .", core=False)
        return
    for requirement in declared:
        is_peer = requirement.marker is not None and requirement.marker.evaluate({"extra": "peers"})
        is_core = requirement.marker is None or requirement.marker.evaluate()
        if not (is_core or is_peer):
            continue
        install = (
            "pip install 'sdpo-ref[peers]'" if is_peer else f"pip install '{requirement.name}{requirement.specifier}'"
        )
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            yield Finding(requirement.name, "not installed", install, core=is_core)
            continue
        fits = requirement.specifier.contains(found, prereleases=True)
        state = f"{found}, supported is {requirement.specifier}"
        yield Finding(requirement.name, state, "" if fits else install, core=is_core)


def _suite() -> Iterator[Finding]:
    """Where the suite is and how much of it there is."""
    try:
        suite = Suite.released()
        suite.require_golden()
        catalogue, manifest = suite.catalogue(), suite.manifest()
    except Exception as error:  # noqa: BLE001 - every problem is reported
        yield Finding("suite", str(error), "reinstall sdpo-ref", core=True)
        return
    must = sum(requirement.strength == "MUST" for requirement in catalogue)
    checks = {function for locked in manifest.values() for function in locked.checks}
    levels = f"levels 0 to {catalogue.highest_level}"
    yield Finding("specification", f"{len(catalogue)} requirements, {must} MUST, {levels}, in {suite.spec}")
    yield Finding(
        "checks",
        f"{len(checks)} in {suite.conformance}",
        "" if checks else "run `sdpo-ref spec lock`, or reinstall",
        core=True,
    )
    yield _count_vectors(suite)


def _count_vectors(suite: Suite) -> Finding:
    files = sorted((suite.conformance / "vectors").glob("*.json"))
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    kinds = [document for document in documents if isinstance(document, list)]  # the schema is not a list
    total = sum(map(len, kinds))
    return Finding("vectors", f"{total} cases of {len(kinds)} kinds", "" if total else "reinstall sdpo-ref")


def _isolation() -> Finding:
    """The isolation that is possible here, found in a process that has one thread."""
    sandbox = subprocess.run(
        [sys.executable, "-P", "-m", "sdpo_ref.verification.isolation.sandbox"],
        capture_output=True,
        text=True,
        check=False,
    )
    state = sandbox.stdout.strip() or f"cannot be set up: {sandbox.stderr.strip().splitlines()[-1:]}"
    fix = "" if sandbox.returncode == 0 else "programs that an implementation starts could reach the network"
    return Finding("isolation", state, fix)


def _machine() -> Iterator[Finding]:
    yield _isolation()
    yield Finding("cores", str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()))
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free / _GIGABYTE
    try:
        with tempfile.TemporaryFile():
            yield Finding("temporary files", f"{folder} is writable, {free:.0f} GB free")
    except OSError as error:
        yield Finding(
            "temporary files", f"{folder}: {error}", "set TMPDIR to a folder that you may write to", core=True
        )
