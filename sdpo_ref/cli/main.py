"""``sdpo-ref``: one sub-command a file, imported when it is called, so that ``--help`` needs no torch."""

import errno
import importlib
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import typer

from sdpo_ref.errors import IntegrityError, SdpoRefError

_COMMANDS: Mapping[str, str] = {
    "verify": "Check an implementation against the specification.",
    "report": "Saved reports: show one again, compare two, or put several side by side.",
    "spec": "Read the requirements: show one, list them, or lock their checks.",
    "vectors": "Regenerate and compare the golden vectors.",
    "results": "Results of third-party implementations.",
    "study": "The simulation study: run it, see how far it is, list its experiments.",
    "claims": "The study's claims: registered records, results, and stored runs.",
    "selftest": "Run the suite on known-wrong and known-right implementations, and write the kill matrix.",
    "lm": "Language models of transformers: a map of what feedback says about each token.",
    "doctor": "Show what is installed and what can run here.",
}
"""Sub-command to its help; ``sdpo_ref.cli.<name>.app`` is the typer application that serves it."""

NO_VERDICT = 70
"""Exit code where the program itself failed, or could not print: no verdict has it (spec/08-conformance)."""

_CANNOT_PRINT = (errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF, errno.EDQUOT, errno.EFBIG)

_FORWARD = {"allow_extra_args": True, "allow_interspersed_args": False, "ignore_unknown_options": True}

app = typer.Typer(
    name="sdpo-ref",
    help="Reference specification of SDPO, and the suite that checks any implementation against it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(*, wanted: bool) -> None:
    if wanted:
        import platform

        from sdpo_ref import SPEC_VERSION, __version__

        typer.echo(f"sdpo-ref {__version__}, specification {SPEC_VERSION}, Python {platform.python_version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=lambda value: _version(wanted=value), is_eager=True, help="Show versions and exit."
    ),
) -> None:
    """Start with `sdpo-ref verify`, which checks the bundled reference."""


def _forward(name: str) -> Callable[[typer.Context], None]:
    """A command that imports the real one and passes it all arguments."""

    def run(context: typer.Context) -> None:
        serving = importlib.import_module(f"sdpo_ref.cli.{name}")
        serve(serving.app, context.args, f"sdpo-ref {name}")

    return run


class FailedError(Exception):
    """Something that is no error of ours was raised; typer would make exit code 1 of some of them."""


def serve(serving: typer.Typer, arguments: list[str], name: str) -> None:
    """Run the application of a sub-command; it exits.

    Args:
        serving: the application.
        arguments: what was typed after its name.
        name: as the help shows it.

    Raises:
        FailedError: from whatever was raised that the command did not foresee.
    """
    command = typer.main.get_command(serving)
    invoke = command.invoke

    def guarded(context: Any) -> object:
        try:
            return invoke(context)
        except SdpoRefError:
            raise
        except (OSError, EOFError) as error:
            raise FailedError from error

    command.invoke = guarded  # type: ignore[method-assign, assignment]
    command(args=arguments, prog_name=name)


for _name, _help in _COMMANDS.items():
    app.command(_name, help=_help, add_help_option=False, context_settings=_FORWARD)(_forward(_name))


def main() -> None:
    """Run the command line; an SdpoRefError is one line on standard error, not a traceback.

    Whatever else is raised ends with :data:`NO_VERDICT`, so that a build server never takes it for a verdict.
    """
    try:
        code = _run()
        sys.stdout.flush()
    except Exception as error:  # noqa: BLE001 - the last place that can keep it from Python's exit code 1
        code = _failed(error.__cause__ if isinstance(error, FailedError) and error.__cause__ is not None else error)
    sys.exit(code)


def _run() -> int | str | None:
    try:
        app()
    except SystemExit as left:
        if isinstance(left.__context__, OSError):  # typer and rich say 1 where a reader has left
            raise left.__context__ from None
        return left.code
    except SdpoRefError as error:
        from rich.console import Console
        from rich.text import Text

        from sdpo_ref.verification.isolation.text import printable

        Console(stderr=True).print(Text(printable(f"error: {error}"), style="red"), soft_wrap=True)
        return 4 if isinstance(error, IntegrityError) else 2
    except KeyboardInterrupt:
        return 130
    return 0


def _failed(error: BaseException) -> int:
    """Say that there is no verdict, and why."""
    with suppress(Exception):  # what is left in the buffers goes nowhere, or Python would end with a code of its own
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    with suppress(Exception):
        if isinstance(error, OSError) and error.filename is None and error.errno in _CANNOT_PRINT:
            what = f"standard output cannot be written ({error.strerror})"
        else:
            import traceback

            traceback.print_exception(error, file=sys.stderr)
            what = "sdpo-ref itself failed; please report what is above"
        typer.echo(f"error: {what}. This is no verdict on any implementation (exit code {NO_VERDICT}).", err=True)
    return NO_VERDICT


if __name__ == "__main__":
    main()
