"""``sdpo-ref study run``: run what is not in the store yet."""

import typer

from sdpo_ref.cli.study.options import (
    DEFAULT_SEEDS,
    DEFAULT_STORE,
    Device,
    Jobs,
    Names,
    Oracle,
    Seeds,
    SimulatorOption,
    StoreAt,
    Teacher,
    Trainer,
)


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
    from rich.console import Console
    from rich.text import Text

    from sdpo_ref.cli.study.request import requested
    from sdpo_ref.study.experiment import claim_seeds
    from sdpo_ref.study.progress import duration, progress_bar
    from sdpo_ref.study.runner import pending, run_tasks
    from sdpo_ref.study.simulators import simulator as named
    from sdpo_ref.study.status import status
    from sdpo_ref.study.store import Store
    from sdpo_ref.study.user_parts import Parts
    from sdpo_ref.study.workers import available_jobs

    console = Console(highlight=False)
    repeats = claim_seeds(seeds)
    experiments = requested(console, names or (), Parts(trainer=trainer, oracle=oracle, teacher=teacher))
    workers = jobs or available_jobs()
    with Store(store_at) as store:
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
