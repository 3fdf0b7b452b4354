"""``sdpo-ref study``: run the simulation study, say how far it is, report it, tune its methods."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sdpo_ref._resources import content
from sdpo_ref.claims.outside import outside_of
from sdpo_ref.cli.options import Jobs
from sdpo_ref.errors import UsageError
from sdpo_ref.simulation.settings import SimulatorName
from sdpo_ref.study.experiment import Experiment, claim_seeds, tuning_seeds
from sdpo_ref.study.extra import needed
from sdpo_ref.study.observations import observations
from sdpo_ref.study.progress import duration, progress_bar
from sdpo_ref.study.runner import pending, run_tasks
from sdpo_ref.study.simulators import simulator as named
from sdpo_ref.study.status import status, status_table
from sdpo_ref.study.store import Entry, Store
from sdpo_ref.study.tuning import SEEDS, extended, new_arms, tuning, tuning_experiment, tuning_of
from sdpo_ref.study.user_experiment import chosen_experiments
from sdpo_ref.study.user_parts import Parts, all_with_parts
from sdpo_ref.study.workers import available_jobs

app = typer.Typer(
    help="The simulation study: run it, see how far it is, report it, tune its methods.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

DEFAULT_STORE = Path("sdpo-study.sqlite")
DEFAULT_TUNING_STORE = Path("sdpo-tuning.sqlite")
DEFAULT_FOLDER = Path("study-report")
DEFAULT_SEEDS = 5

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME", help="Such as F01, or a file of your own (.toml, .json); none for all."),
]
Seeds = Annotated[int, typer.Option(help="Repeats of every cell.")]
StoreAt = Annotated[Path, typer.Option("--store", metavar="FILE", help="Where finished tasks are kept.")]
Trainer = Annotated[str | None, typer.Option(metavar="MODULE:FACTORY", help="Your trainer, beside SDPO.")]
Oracle = Annotated[str | None, typer.Option(metavar="MODULE:FACTORY", help="Your oracle, in place of the bundled one.")]
Teacher = Annotated[
    str | None,
    typer.Option(metavar="MODULE:FACTORY", help="Your teacher of SDPO, beside the bundled one."),
]
SimulatorOption = Annotated[
    SimulatorName,
    typer.Option("--simulator", help="Many runs as one program, or one by one with plain objects; the same numbers."),
]
Device = Annotated[str, typer.Option(help="Where the batched simulator computes, such as cpu or cuda.")]
Out = Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the report goes.")]
FigureName = Annotated[
    str | None, typer.Option("--figure", metavar="NAME", help="Draw this figure alone, such as noise.")
]
TunedAt = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write the grid and its winners here; without it they are compared."),
]

OnlyNew = Annotated[
    bool, typer.Option("--new", help="Run only what the published grid does not have; the rest stays as published.")
]


@app.command()
def run(
    names: Names = None,
    *,
    seeds: Seeds = DEFAULT_SEEDS,
    jobs: Jobs = None,
    store_at: StoreAt = DEFAULT_STORE,
    trainer: Trainer = None,
    oracle: Oracle = None,
    teacher: Teacher = None,
    simulator: SimulatorOption = "batched",
    device: Device = "cpu",
) -> None:
    """Run experiments; stop it at any time, the same command goes on.

    Every finished task is stored at once. Exit code 0: all is done. 2: the command, a file or a part is wrong, a task
    raised, or the store cannot be written. 130: stopped with Ctrl-C.
    """
    console = Console(highlight=False)
    repeats = claim_seeds(seeds)
    experiments = _requested(console, names or (), Parts(trainer=trainer, oracle=oracle, teacher=teacher))
    workers = jobs or available_jobs()
    with Store(store_at) as store:
        _tell_upgrade(console, store)
        todo = pending((task for one in experiments for task in one.tasks(repeats)), store)
        before = status(experiments, repeats, store.entries()).together
        console.print(
            Text(f"{before.total} tasks, {before.done} of them done; running {len(todo)} with {workers} jobs")
        )
        try:
            with progress_bar(console, total=before.total, done=before.done, jobs=workers) as progress:
                run_tasks(todo, store, jobs=workers, progress=progress, simulator=named(simulator, device=device))
        except KeyboardInterrupt:
            kept = before.total - len(pending(todo, store))
            console.print(Text(f"stopped: {kept} of {before.total} tasks are in {store_at}; the same command goes on"))
            raise typer.Exit(130) from None
        after = status(experiments, repeats, store.entries()).together
    early = f"; {after.failed} of them ended early, as the report says" if after.failed else ""
    console.print(Text(f"done: {after.total} tasks in {store_at}, {duration(after.wall_seconds)} of computing{early}"))


@app.command("status")
def show_status(
    names: Names = None,
    *,
    seeds: Seeds = DEFAULT_SEEDS,
    jobs: Jobs = None,
    store_at: StoreAt = DEFAULT_STORE,
    trainer: Trainer = None,
    oracle: Oracle = None,
    teacher: Teacher = None,
) -> None:
    """Say what is done and what the same arguments to `run` would do; also while a study runs.

    Stale are tasks that an earlier version of the code did; they are run again. Those that ended early, such as a
    policy that is not finite any more, are results and are not.
    """
    console = Console(highlight=False)
    repeats = claim_seeds(seeds)
    experiments = _requested(console, names or (), Parts(trainer=trainer, oracle=oracle, teacher=teacher))
    workers = jobs or available_jobs()
    found = status(experiments, repeats, _stored(store_at))
    if not store_at.exists():
        console.print(Text(f"there is no store {store_at} yet"))
    console.print(status_table(found))
    left = found.together
    if left.done == left.total:
        console.print(Text("all is done"))
        return
    seconds = left.seconds_left
    time = "no task has been timed yet" if seconds is None else f"about {duration(seconds / workers)}"
    console.print(Text(f"left: {left.total - left.done} tasks, {time} with {workers} jobs"))


@app.command("list")
def list_experiments() -> None:
    """List the experiments with their questions and the number of their cells."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("name", no_wrap=True)
    table.add_column("cells", justify="right", no_wrap=True)
    table.add_column("title", no_wrap=True)
    table.add_column("question", overflow="fold")
    for one in chosen_experiments(()):
        table.add_row(one.name, str(len(one.cells)), one.title, one.question)
    Console(highlight=False).print(table)


@app.command()
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
    experiments = _requested(console, wanted, parts)
    if not store_at.exists():
        raise UsageError(f"there is no store {store_at}; run `sdpo-ref study run` first, or name it with --store")
    released = outside_of(content("conformance"), content("spec"))
    with Store(store_at, read_only=True) as store:
        contents = contents_of(experiments, repeats, store, only=figure, parts=parts.options(), outside=released)
    if not contents.runs or (figure is not None and not contents.figures):
        raise UsageError(
            f"{store_at} has nothing to show for {', '.join(one.name for one in experiments)} at {seeds} seeds and the "
            "code as it is now; `sdpo-ref study status` says what it has"
        )
    for warning in contents.warnings:
        console.print(Text(warning, style="yellow"))
    written = write_report(contents, out) if figure is None else [write_figure(contents.figures[0], out)]
    console.print(Text(f"{contents.runs} runs, {len(contents.figures)} figures: {written[0]}"))


@app.command()
def tune(
    *,
    jobs: Jobs = None,
    store_at: StoreAt = DEFAULT_TUNING_STORE,
    out: TunedAt = None,
    new: OnlyNew = False,
    simulator: SimulatorOption = "batched",
    device: Device = "cpu",
) -> None:
    """Tune every method on seeds that no claim uses; stop it at any time, the same command goes on.

    Exit code 1 if the winners differ from the published ones and were not written.
    """
    console = Console(highlight=False)
    grid, seeds, workers = tuning_experiment(new_arms() if new else None), tuning_seeds(SEEDS), jobs or available_jobs()
    tasks = list(grid.tasks(seeds))
    with Store(store_at) as store:
        _tell_upgrade(console, store)
        done = len(tasks) - len(pending(tasks, store))
        with progress_bar(console, total=len(tasks), done=done, jobs=workers) as progress:
            run_tasks(tasks, store, jobs=workers, progress=progress, simulator=named(simulator, device=device))
        seen = observations(grid, seeds, store)
        found = extended(tuning(), seen) if new else tuning_of(seen)
    if out is not None:
        out.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
        console.print(Text(f"wrote {len(found.winners)} winners of {len(found.trials)} trials to {out}"))
        return
    published = tuning().winners
    differing = [arm for arm, winner in found.winners.items() if published.get(arm) != winner]
    for arm in differing:
        console.print(Text(f"{arm}: found {found.winners[arm]!r}, published {published.get(arm)!r}"))
    console.print(Text(f"{len(found.winners)} winners, {len(differing)} differ from the published ones"))
    raise typer.Exit(int(bool(differing)))


def _requested(console: Console, names: Sequence[str], parts: Parts) -> list[Experiment]:
    """Experiments with third parties' parts in them; what those leave out is printed."""
    experiments, left_out = all_with_parts(chosen_experiments(names), parts)
    for line in left_out:
        console.print(Text(line, style="yellow"))
    return experiments


def _stored(path: Path) -> list[Entry]:
    """All rows of a store; none if there is no store yet."""
    if not path.exists():
        return []
    with Store(path, read_only=True) as store:
        return store.entries()


def _tell_upgrade(console: Console, store: Store) -> None:
    if store.upgraded:
        console.print(Text(f"{store.path}: {store.upgraded} rows of an older version now have a hash, and are checked"))
