"""``sdpo-ref vectors``: look at the golden vectors, derive them again, or replace them for a reason."""

from pathlib import Path
from typing import Annotated

import typer

from sdpo_ref.errors import UsageError
from sdpo_ref.vectors.case import KINDS
from sdpo_ref.vectors.release import derive, difference, replace_files
from sdpo_ref.vectors.store import default_folder, load
from sdpo_ref.verification.suite.golden import record_golden

app = typer.Typer(
    help="Golden vectors: list them, check them against a second derivation, replace them.", no_args_is_help=True
)

Folder = Annotated[
    Path | None, typer.Option(help="Where the vectors are; the installed ones by default.", show_default=False)
]


@app.command("list")
def list_(folder: Folder = None) -> None:
    """Print every vector: id, requirements, what is asked."""
    for kind in KINDS:
        for vector in load(kind, folder):
            typer.echo(f"{vector.id}  [{' '.join(vector.requirements)}]  {vector.comment}")


@app.command()
def check(folder: Folder = None) -> None:
    """Derive every vector anew with 50 digits and compare; exit code 1 if a file says something else."""
    differs = False
    for kind in KINDS:
        derived = derive(kind)
        found = difference(kind, derived, folder or default_folder())
        differs = differs or bool(found)
        typer.echo(f"{kind}: {len(derived)} vectors derived, {found or 'all equal to the files'}")
        for sort, ids in (("added", found.added), ("removed", found.removed), ("changed", found.changed)):
            for id_ in ids:
                typer.echo(f"  {sort}: {id_}")
    if differs:
        typer.echo("The files are not what is derived: restore them, or run `sdpo-ref vectors generate --reason TEXT`.")
        raise typer.Exit(1)


@app.command()
def generate(
    reason: Annotated[str, typer.Option(help="Why released numbers may change; kept in HISTORY.md.")],
    folder: Folder = None,
) -> None:
    """Derive every vector anew and overwrite the files where something differs."""
    target = (folder or default_folder()).resolve()
    try:
        found = replace_files(reason, target)
    except UsageError as error:
        raise typer.BadParameter(str(error), param_hint="--reason") from error
    if found:
        record_golden(target.parent, [f"{target.name}/*"])
    typer.echo(f"Files written: {found}." if found else "Nothing differs; no file was touched.")
