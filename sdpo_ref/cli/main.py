"""``sdpo-ref``: one sub-command a file, imported when it is called, so that ``--help`` needs no torch."""

import importlib
import sys
from collections.abc import Callable, Mapping

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
    "doctor": "Show what is installed and what can run here.",
}
"""Sub-command to its help; ``sdpo_ref.cli.<name>.app`` is the typer application that serves it."""

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
        typer.main.get_command(serving.app)(args=context.args, prog_name=f"sdpo-ref {name}")

    return run


for _name, _help in _COMMANDS.items():
    app.command(_name, help=_help, add_help_option=False, context_settings=_FORWARD)(_forward(_name))


def main() -> None:
    """Run the command line; an SdpoRefError is one line on standard error, not a traceback."""
    try:
        app()
    except SdpoRefError as error:
        from rich.console import Console
        from rich.text import Text

        from sdpo_ref.verification.isolation.text import printable

        Console(stderr=True).print(Text(printable(f"error: {error}"), style="red"), soft_wrap=True)
        sys.exit(4 if isinstance(error, IntegrityError) else 2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
