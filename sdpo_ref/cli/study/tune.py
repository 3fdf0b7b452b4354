"""``sdpo-ref study tune``: run the tuning grid, and compare or write the winners that the study reads."""

from pathlib import Path
from typing import Annotated

import typer

from sdpo_ref.cli.study.options import Device, Jobs, SimulatorOption, StoreAt

DEFAULT_STORE = Path("sdpo-tuning.sqlite")

Out = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the grid and its winners here; without it they are compared.")
]


def tune(
    *,
    jobs: Jobs = None,
    store_at: StoreAt = DEFAULT_STORE,
    out: Out = None,
    simulator: SimulatorOption = "batched",
    device: Device = "cpu",
) -> None:
    """Tune every method on seeds that no claim uses; stop it at any time, the same command goes on.

    Exit code 1 if the winners differ from the published ones and were not written.
    """
    from rich.console import Console
    from rich.text import Text

    from sdpo_ref.study.experiment import tuning_seeds
    from sdpo_ref.study.observations import observations
    from sdpo_ref.study.progress import progress_bar
    from sdpo_ref.study.runner import pending, run_tasks
    from sdpo_ref.study.simulators import simulator as named
    from sdpo_ref.study.store import Store
    from sdpo_ref.study.tuning import SEEDS, tuning, tuning_experiment, tuning_of
    from sdpo_ref.study.workers import available_jobs

    console = Console(highlight=False)
    grid, seeds, workers = tuning_experiment(), tuning_seeds(SEEDS), jobs or available_jobs()
    tasks = list(grid.tasks(seeds))
    with Store(store_at) as store:
        done = len(tasks) - len(pending(tasks, store))
        with progress_bar(console, total=len(tasks), done=done, jobs=workers) as progress:
            run_tasks(tasks, store, jobs=workers, progress=progress, simulator=named(simulator, device=device))
        found = tuning_of(observations(grid, seeds, store))
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
