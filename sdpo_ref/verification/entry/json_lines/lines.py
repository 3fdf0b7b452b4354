"""A child process that answers each line with one line, within limits of time and size; its standard error is kept."""

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import tempfile
import time
import weakref
from typing import IO

LONGEST_LINE = 2**26
"""Bytes of an answer, 64 MiB; a program that writes on without a line break is stopped there."""

_CHUNK = 2**16
_SHOWN = 200
_LONGEST_ERRORS = 2000
_SECONDS_TO_END = 1.0


class NoLineError(Exception):
    """No line came back; the message has the cause."""


class SilenceError(NoLineError):
    """No line came back in time."""


def excerpt(received: bytes) -> str:
    r"""The beginning of what was received, as text that can be printed.

    Example:
        >>> print(excerpt(b"oops\x1b"))
        'oops\x1b'
    """
    shown = ascii(received[:_SHOWN].decode("utf-8", errors="replace"))
    return shown if len(received) <= _SHOWN else f"{shown} and {len(received) - _SHOWN} more bytes"


class LineProcess:
    """One running program.

    It stays in the process group of its parent, so that it ends with the worker that it serves. Its standard
    error goes to a file, so that it never waits for a reader. Its environment does not say which check is running.
    """

    def __init__(self, command: str) -> None:
        """Start it.

        Raises:
            NoLineError: if the command cannot be read, or names nothing that can be run.
        """
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise NoLineError(f"the command {command!r} cannot be split into words: {error}") from error
        if not words:
            raise NoLineError("the command is empty; name a program and its arguments")
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process, closed with it
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the program that the user named
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
                env={name: text for name, text in os.environ.items() if not name.startswith("PYTEST")},
            )
        except OSError as error:
            self._errors.close()
            raise NoLineError(f"{words[0]!r} cannot be started: {error.strerror}") from error
        self._shown = 0
        self._extra = b""
        self.stop = weakref.finalize(self, _stop, self._process, self._errors)

    def ask(self, line: bytes, *, limit: float) -> bytes:
        """Write a line and wait for one.

        Args:
            line: without its line break.
            limit: seconds for both.

        Returns:
            The answer without its line break.

        Raises:
            SilenceError: if it does not answer in time.
            NoLineError: if it ends, or writes something that is not one line.
        """
        if self._extra:
            raise NoLineError(f"it wrote a line without a request: {excerpt(self._extra)}")
        assert self._process.stdin is not None  # noqa: S101 - both are pipes; for mypy
        assert self._process.stdout is not None  # noqa: S101
        stdin, stdout = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(stdin, False)
        deadline = time.monotonic() + limit
        unsent, received = memoryview(line + b"\n"), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(stdin, selectors.EVENT_WRITE)
            selector.register(stdout, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select(max(0.0, deadline - time.monotonic()))}
                if stdin in ready:
                    unsent = _send(stdin, unsent)
                    if not unsent:
                        selector.unregister(stdin)
                if stdout in ready:
                    chunk = os.read(stdout, _CHUNK)
                    received += chunk
                    if not chunk:
                        raise NoLineError(self._ending() + _unfinished(bytes(received)))
                    if b"\n" in chunk:
                        break
                    if len(received) > LONGEST_LINE:
                        shown = excerpt(bytes(received))
                        raise NoLineError(f"it wrote {len(received)} bytes without a line break: {shown}")
                if time.monotonic() >= deadline:
                    raise SilenceError(f"it did not answer within {limit:g} s{_unfinished(bytes(received))}")
        answer, _, self._extra = bytes(received).partition(b"\n")
        return answer

    def new_errors(self) -> str:
        """What it wrote to standard error since the last call; of a long text, the end."""
        written = os.fstat(self._errors.fileno()).st_size
        since, self._shown = max(self._shown, written - _LONGEST_ERRORS), written
        # the offset is shared with the process, so it must not be moved
        return os.pread(self._errors.fileno(), written - since, since).decode("utf-8", errors="replace")

    def _ending(self) -> str:
        try:
            code = self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            return "it closed its standard output"
        if code >= 0:
            return f"it ended with exit code {code}"
        with contextlib.suppress(ValueError):
            return f"it ended with signal {signal.Signals(-code).name}"
        return f"it ended with signal {-code}"


def _send(pipe: int, unsent: memoryview) -> memoryview:
    """What is left after one write; nothing once the reader is gone: the process's end then shows on its output."""
    try:
        return unsent[os.write(pipe, unsent) :]
    except BlockingIOError:
        return unsent
    except BrokenPipeError:
        return unsent[:0]


def _unfinished(received: bytes) -> str:
    return f", after a line without an end: {excerpt(received)}" if received else ""


def _stop(process: "subprocess.Popen[bytes]", errors: IO[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, errors):
        if stream is not None:
            stream.close()
