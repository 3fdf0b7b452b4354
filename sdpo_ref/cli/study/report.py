"""``sdpo-ref study report``: what the store holds, as one HTML page and one Markdown file."""

from pathlib import Path
from typing import Annotated

import typer

from sdpo_ref.cli.study.options import DEFAULT_SEEDS, DEFAULT_STORE, Names, Oracle, Seeds, StoreAt, Teacher, Trainer

DEFAULT_FOLDER = Path("study-report")

Out = Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the report goes.")]
FigureName = Annotated[
    str | None, typer.Option("--figure", metavar="NAME", help="Draw this figure alone, such as noise.")
]


def report(
    names: Names = None,
    *,
    seeds: Seeds = DEFAULT_SEEDS,
    store_at: StoreAt = DEFAULT_STORE,
    out: Out = DEFAULT_FOLDER,
    figure: FigureName = None,
    trainer: Trainer = None,
    oracle: Oracle = None,
    teacher: Teacher = None,
) -> None:
    """Write the report of what has been run so far; what is missing is named in it.

    With --figure only that figure's file is written. Exit code 2 if there is no store, no such figure, or nothing to
    show.
    """
    from rich.console import Console
    from rich.text import Text

    from sdpo_ref.cli.study.request import requested
    from sdpo_ref.errors import UsageError
    from sdpo_ref.study.experiment import claim_seeds
    from sdpo_ref.study.extra import needed
    from sdpo_ref.study.store import Store
    from sdpo_ref.study.user_parts import Parts

    for package in ("matplotlib", "scipy", "jinja2"):
        needed(package)
    from sdpo_ref.study.report.contents import contents_of
    from sdpo_ref.study.report.figures import FIGURES
    from sdpo_ref.study.report.files import write_figure, write_report

    console = Console(highlight=False)
    if figure is not None and figure not in FIGURES:
        raise UsageError(f"there is no figure {figure!r}; there are {', '.join(FIGURES)}")
    repeats = claim_seeds(seeds)
    wanted = names or ([] if figure is None else [FIGURES[figure].experiment])
    parts = Parts(trainer=trainer, oracle=oracle, teacher=teacher)
    experiments = requested(console, wanted, parts)
    if not store_at.exists():
        raise UsageError(f"there is no store {store_at}; run `sdpo-ref study run` first, or name it with --store")
    with Store(store_at, read_only=True) as store:
        contents = contents_of(experiments, repeats, store, only=figure, parts=parts.options())
    if not contents.runs or (figure is not None and not contents.figures):
        raise UsageError(
            f"{store_at} has nothing to show for {', '.join(one.name for one in experiments)} at {seeds} seeds and the "
            "code as it is now; `sdpo-ref study status` says what it has"
        )
    for warning in contents.warnings:
        console.print(Text(warning, style="yellow"))
    written = write_report(contents, out) if figure is None else [write_figure(contents.figures[0], out)]
    console.print(Text(f"{contents.runs} runs, {len(contents.figures)} figures: {written[0]}"))
