"""The isolated process in which a third party's code runs; ``isolation.sandbox`` calls ``main``.

Reads a secret and one :class:`~sdpo_ref.verification.isolation.run.Request` from standard input and writes events, each
after the secret, to what was its standard output when it started. Before the implementation is imported, both are moved
out of its reach, so nothing that it prints or reads can disturb them. On SIGUSR1 it writes its stack to standard error,
so that the runner can report where a check hangs. It terminates when the runner exits.
"""

import contextlib
import faulthandler
import os
import platform
import signal
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TextIO

import hypothesis
import pytest
import torch

from sdpo_ref import SPEC_VERSION, __version__
from sdpo_ref.errors import SdpoRefError
from sdpo_ref.verification.checks.subject import Subject
from sdpo_ref.verification.diagnosis.answers import answers_of
from sdpo_ref.verification.isolation.events import (
    Answered,
    Closed,
    Collected,
    Event,
    Finished,
    Header,
    Opened,
    Refused,
    encode,
)
from sdpo_ref.verification.isolation.loader import Loaded, load
from sdpo_ref.verification.isolation.plugin import SilentPlugin, SuitePlugin
from sdpo_ref.verification.isolation.recorder import Recorder
from sdpo_ref.verification.isolation.run import Request
from sdpo_ref.verification.isolation.sandbox import scratch_folder, terminate_all
from sdpo_ref.verification.suite.capabilities import part_of
from sdpo_ref.verification.suite.spec_text import read_catalogue

_REGULAR_ENDS = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)


_SECONDS_FOR_ANSWERS = 20.0
"""What is answered until then must do for a diagnosis."""

_NOT_ISOLATED: Mapping[str, str] = {}


def run(
    request: Request,
    emit: Callable[[Event], None],
    *,
    loaded: Loaded | None = None,
    capture: bool = True,
    isolation: Mapping[str, str] = _NOT_ISOLATED,
    first_failure: bool = False,
) -> None:
    """Load the implementation and run the selected checks.

    Args:
        request: what to run.
        emit: receives each event as it happens.
        loaded: the implementation, if it is loaded already.
        capture: whether what the implementation prints is kept from the terminal; a debugger needs it off.
        isolation: in force in this process, by subject; nothing for a debugger.
        first_failure: whether to end with the first check that does not pass.
    """
    torch.set_num_threads(1)
    hypothesis.settings.register_profile("sdpo-ref", derandomize=True, database=None, deadline=None)
    hypothesis.settings.load_profile("sdpo-ref")
    catalogue = read_catalogue(request.spec)
    if loaded is None and request.implementation is not None:
        try:
            loaded = load(request.implementation)
        except SdpoRefError as error:
            emit(Refused(str(error)))
            return
    if loaded is not None:
        emit(Opened(_header(loaded, isolation)))
    calls: dict[str, frozenset[str]] = {}
    failed: list[str] = []
    skipping = SilentPlugin(request.silent)

    def noting(event: Event) -> None:
        """Remember which checks fail, and which parts each check calls."""
        match event:
            case Collected(checks):
                calls.update({check.id: frozenset(map(part_of, check.needs)) for check in checks})
                skipping.collected(checks)
            case Finished(check, status) if status.is_failure:
                failed.append(check)
                skipping.failed(check)
        emit(event)

    ended = pytest.main(
        [
            str(request.conformance),
            f"--config-file={request.conformance / 'pytest.ini'}",
            f"--rootdir={request.conformance}",
            "--import-mode=importlib",
            f"--capture={'fd' if capture else 'no'}",
            "--continue-on-collection-errors",
            "-pno:terminal",
            "-pno:cacheprovider",
            *(["--exitfirst"] if first_failure else []),
        ],
        plugins=[SuitePlugin(catalogue, loaded), skipping, Recorder(request, catalogue, noting)],
    )
    if ended in _REGULAR_ENDS:
        emit(Closed())
        if loaded is not None and failed and not request.finished:  # one that hung or ended its process is not asked
            emit(_answered(loaded, {part for check in failed for part in calls[check]}))


def _answered(loaded: Loaded, parts: Collection[str]) -> Answered:
    """What the parts that failed a check answer to the calls of a diagnosis."""
    subject = Subject(loaded.implementation)
    precision = str(subject.precision).removeprefix("torch.")
    answers = answers_of(subject, parts, seconds=_SECONDS_FOR_ANSWERS)
    return Answered({name: (it.words, it.numbers) for name, it in answers.items()}, precision)


def _header(loaded: Loaded, isolation: Mapping[str, str]) -> Header:
    departures = loaded.profile.departures()
    return Header(
        spec=loaded.spec,
        name=loaded.name,
        profile={name: str(value) for name, value in loaded.profile.model_dump().items()},
        departures={name: (str(declared), str(paper)) for name, (declared, paper) in departures.items()},
        capabilities=tuple(sorted(loaded.capabilities)),
        versions={
            "suite": __version__,
            "spec": SPEC_VERSION,
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        isolation=dict(isolation),
    )


def main(isolation: Mapping[str, str]) -> None:
    """Serve one request, then exit.

    Args:
        isolation: in force in this process, by subject.
    """
    commands = os.fdopen(os.dup(0), "r", encoding="utf-8")
    events = os.dup(1)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a device, not a path
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    faulthandler.register(signal.SIGUSR1, file=os.dup(2), all_threads=False)
    secret, _, text = commands.readline().partition(" ")
    request = Request.decode(text)
    threading.Thread(target=_terminate_with_runner, args=(commands, scratch_folder()), daemon=True).start()
    run(request, lambda event: _write(events, secret, event), isolation=isolation)
    with contextlib.suppress(OSError):
        os.close(events)
    os._exit(0)  # threads that the implementation left running must not keep this process alive


def _write(events: int, secret: str, event: Event) -> None:
    line = f"{secret} {encode(event)}\n".encode()
    while line:
        line = line[os.write(events, line) :]


def _terminate_with_runner(commands: TextIO, folder: Path | None) -> None:
    """Wait for the runner's end of the pipe to close, then terminate this process and its children."""
    commands.read()
    terminate_all(folder)
