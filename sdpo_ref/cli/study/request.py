"""The experiments and parts that a user names, checked before anything runs."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from sdpo_ref.study.experiment import Experiment
from sdpo_ref.study.store import Entry, Store
from sdpo_ref.study.user_experiment import chosen_experiments
from sdpo_ref.study.user_parts import Parts, all_with_parts


def requested(console: Console, names: Sequence[str], parts: Parts) -> list[Experiment]:
    """Experiments with third parties' parts in them; what those leave out is printed.

    Args:
        console: to print on.
        names: of experiments, or files.
        parts: of third parties.
    """
    experiments, left_out = all_with_parts(chosen_experiments(names), parts)
    for line in left_out:
        console.print(Text(line, style="yellow"))
    return experiments


def stored(path: Path) -> list[Entry]:
    """All rows of a store; none if there is no store yet.

    Args:
        path: of the store.
    """
    if not path.exists():
        return []
    with Store(path, read_only=True) as store:
        return store.entries()
