"""``sdpo-ref`` in the test's own process: the same arguments, texts and exit code as in a terminal, without its start.

Where the process itself is tested (signals, an import that must not happen, file descriptors) a test starts one.
"""

import contextlib
import importlib
import io
import subprocess
import sys
from pathlib import Path

import pytest

from sdpo_ref.cli import main as program


def sdpo_ref(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in the current folder, 80 columns wide.

    Args:
        arguments: what is typed after ``sdpo-ref``.

    Returns:
        The exit code, and what went to standard output and standard error.
    """
    output, errors = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    before = set(sys.modules)
    importlib.invalidate_caches()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["sdpo-ref", *arguments])
        patch.setattr(sys, "path", list(sys.path))
        patch.setattr(sys, "dont_write_bytecode", True)
        if not arguments[0].startswith("-"):
            patch.setattr(program, "app", lambda: _serve(*arguments))
        patch.setenv("COLUMNS", "80")
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            code = _exit_code()
    for name in set(sys.modules) - before:  # modules of the folder; another test has others of the same name
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).is_relative_to(Path.cwd()):
            del sys.modules[name]
    return subprocess.CompletedProcess(["sdpo-ref", *arguments], code, _written(output), _written(errors))


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


def _serve(name: str, *arguments: str) -> None:
    """What ``sdpo_ref.cli.main.app`` does, without the context that beartype does not take for typer's."""
    serving = importlib.import_module(f"sdpo_ref.cli.{name}")
    program.serve(serving.app, list(arguments), f"sdpo-ref {name}")


def _exit_code() -> int:
    try:
        program.main()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    return 0
