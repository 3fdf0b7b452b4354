"""What the cells of an experiment found: read from the store, selected by labels, and as numbers by seed."""

import math
from collections.abc import Sequence

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.study.experiment import Experiment, Label, Observation, Task
from sdpo_ref.study.store import Store


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
    wanted = [(cell, Task(cell.settings, seed)) for cell in experiment.cells for seed in seeds]
    found = store.outcomes({task.key for _, task in wanted})
    return [
        Observation(labels=cell.labels, seed=task.seed, outcome=found[task.key])
        for cell, task in wanted
        if task.key in found
    ]


def select(observations: Sequence[Observation], **labels: Label) -> list[Observation]:
    """Those that have all these labels.

    Args:
        observations: of one experiment.
        **labels: axis to value.
    """
    return [one for one in observations if all(one.labels.get(axis) == value for axis, value in labels.items())]


def names_along(observations: Sequence[Observation], axis: str) -> list[str]:
    """The values of an axis as text, each once, in the order in which they appear.

    Args:
        observations: of one experiment.
        axis: name of a label; observations without it are passed over.
    """
    return list(dict.fromkeys(str(one.labels[axis]) for one in observations if axis in one.labels))


def numbers_along(observations: Sequence[Observation], axis: str) -> list[float]:
    """The numbers on an axis, each once, ascending; values that are names are passed over.

    Args:
        observations: of one experiment.
        axis: name of a label.
    """
    found = {value for one in observations if not isinstance(value := one.labels.get(axis, ""), str)}
    return sorted(float(value) for value in found)


def by_seed(observations: Sequence[Observation], metric: str) -> dict[int, float]:
    """One metric of one cell, seed to value.

    Runs that ended early, and values that are absent or not finite, are left out; the report counts them.

    Args:
        observations: of one cell.
        metric: name in :data:`~sdpo_ref.study.outcome.METRICS`.

    Raises:
        InvalidInputError: if two observations have one seed, so that they are of several cells.
    """
    values: dict[int, float] = {}
    for one in observations:
        value = one.outcome.metrics.get(metric, math.nan)
        if one.outcome.error is not None or not math.isfinite(value):
            continue
        if one.seed in values:
            raise InvalidInputError(
                f"received two observations of {metric} with seed {one.seed}, the second labelled {dict(one.labels)}; "
                "allowed is one cell at a time, so select by every label in which the cells differ"
            )
        values[one.seed] = value
    return values
