"""From what a user names to experiments: claims of the study, files of their own, or everything."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from sdpo_ref.errors import UsageError
from sdpo_ref.study.experiment import Experiment
from sdpo_ref.study.experiments import EXPERIMENTS
from sdpo_ref.study.user_experiment import SUFFIXES, read_experiment


def chosen(names: Sequence[str]) -> list[Experiment]:
    """The experiments that were named, each once.

    Args:
        names: such as ``F01`` in any case, or files that end in ``.toml`` or ``.json``; none for all of the study.

    Returns:
        Experiments in the order of the names.

    Raises:
        UsageError: if a name is unknown, a file is no experiment, or two files have one name for an experiment.
    """
    found: dict[str, Experiment] = {}
    for name in dict.fromkeys(names or EXPERIMENTS):
        experiment = _one(name)
        if found.setdefault(experiment.name, experiment) != experiment:
            raise UsageError(f"two experiments are called {experiment.name}; give the one in {name} a name of its own")
    return list(found.values())


def _one(name: str) -> Experiment:
    if Path(name).suffix in SUFFIXES:
        return read_experiment(Path(name))
    if name.upper() in EXPERIMENTS:
        return EXPERIMENTS[name.upper()]()
    near = difflib.get_close_matches(name.upper(), EXPERIMENTS, n=1)
    raise UsageError(
        f"no experiment is called {name!r}; {f'did you mean {near[0]}? There' if near else 'there'} are "
        f"{', '.join(EXPERIMENTS)}, or name a file that ends in {' or '.join(SUFFIXES)}"
    )
