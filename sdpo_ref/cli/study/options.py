"""Arguments that the sub-commands of ``sdpo-ref study`` share."""

from pathlib import Path
from typing import Annotated

import typer

from sdpo_ref.simulation.run_settings import SimulatorName

DEFAULT_STORE = Path("sdpo-study.sqlite")
DEFAULT_SEEDS = 5

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME", help="Such as F01, or a file of your own (.toml, .json); none for all."),
]
Seeds = Annotated[int, typer.Option(help="Repeats of every cell.")]
StoreAt = Annotated[Path, typer.Option("--store", metavar="FILE", help="Where finished tasks are kept.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Worker processes; by default one for each core.")]
Trainer = Annotated[
    str | None,
    typer.Option(metavar="MODULE:FACTORY", help="Your trainer, beside SDPO."),
]
Oracle = Annotated[
    str | None,
    typer.Option(metavar="MODULE:FACTORY", help="Your oracle, in place of the bundled one."),
]
Teacher = Annotated[
    str | None,
    typer.Option(metavar="MODULE:FACTORY", help="Your teacher of SDPO, beside the bundled one."),
]
SimulatorOption = Annotated[
    SimulatorName,
    typer.Option("--simulator", help="Many runs as one program, or one by one with plain objects; the same numbers."),
]
Device = Annotated[str, typer.Option(help="Where the batched simulator computes, such as cpu or cuda.")]
