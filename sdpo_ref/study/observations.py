"""From the store back to an experiment: what each of its cells found."""

from collections.abc import Sequence

from sdpo_ref.study.experiment import Experiment, Observation
from sdpo_ref.study.store import Store
from sdpo_ref.study.task import Task


def observations(experiment: Experiment, seeds: Sequence[int], store: Store) -> list[Observation]:
    """What has been found so far, by the code as it is now.

    Args:
        experiment: whose cells.
        seeds: of the repeats.
        store: to read from.

    Returns:
        Finished tasks only, in the order of the cells and then of the seeds; those that ended with an error are there.

    Raises:
        StoreError: if the store cannot be read.
    """
    asked = [(cell, Task(cell.settings, seed)) for cell in experiment.cells for seed in seeds]
    found = store.outcomes({task.key for _, task in asked})
    return [
        Observation(labels=cell.labels, seed=task.seed, outcome=found[task.key])
        for cell, task in asked
        if task.key in found
    ]
