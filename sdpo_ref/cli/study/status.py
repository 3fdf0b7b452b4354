"""``sdpo-ref study status``: what is done, what would be run, and how long that takes."""

from sdpo_ref.cli.study.options import (
    DEFAULT_SEEDS,
    DEFAULT_STORE,
    Jobs,
    Names,
    Oracle,
    Seeds,
    StoreAt,
    Teacher,
    Trainer,
)


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
    from rich.console import Console
    from rich.text import Text

    from sdpo_ref.cli.study.request import requested, stored
    from sdpo_ref.study.experiment import claim_seeds
    from sdpo_ref.study.progress import duration
    from sdpo_ref.study.status import status, status_table
    from sdpo_ref.study.user_parts import Parts
    from sdpo_ref.study.workers import available_jobs

    console = Console(highlight=False)
    repeats = claim_seeds(seeds)
    experiments = requested(console, names or (), Parts(trainer=trainer, oracle=oracle, teacher=teacher))
    workers = jobs or available_jobs()
    found = status(experiments, repeats, stored(store_at))
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
