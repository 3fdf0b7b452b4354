"""Third parties' parts in the study: a trainer, an oracle, a teacher, beside or in place of the bundled ones.

A factory is called in worker processes, which import it by name. It is looked up once before anything runs, and its
parameters are compared with what it will be given.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sdpo_ref._loading import resolve
from sdpo_ref.errors import LoadError, UsageError
from sdpo_ref.published.settings import Outside, PublishedSettings
from sdpo_ref.simulation.methods import Sdpo, ThirdParty
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.study.experiment import Cell, Experiment, factories

_GIVEN: Mapping[str, tuple[int, str, str]] = {
    "trainer": (2, "learning_rate", "policy, teacher, *, learning_rate"),
    "oracle": (2, "seed", "world, settings, *, seed"),
    "teacher": (2, "", "policy, conditioning"),
}
"""Part to what its factory is given: how many by position, which by name, and both in words."""

_NAMING = ("method", "arm")
"""Labels that say what a cell trains."""


@dataclass(frozen=True)
class Parts:
    """Factories of third parties, each as ``module:factory``.

    Attributes:
        trainer: runs beside SDPO wherever that has no KL penalty, in the same settings and with its learning rate.
        oracle: judges every run of our own world in place of the bundled one.
        teacher: teaches SDPO beside the bundled one, in the same settings.
    """

    trainer: str | None = None
    oracle: str | None = None
    teacher: str | None = None

    def options(self) -> str:
        """As they are typed, each with a space in front.

        Example:
            >>> Parts(oracle="tired:make").options()
            ' --oracle tired:make'
        """
        return "".join(f" --{part} {name}" for part, name in vars(self).items() if name is not None)


def with_parts(
    experiment: Experiment, *, trainer: str | None = None, oracle: str | None = None, teacher: str | None = None
) -> Experiment:
    """An experiment with third parties' parts in it.

    Beside every cell whose label ``method`` or ``arm`` is "sdpo" stands a cell that is labelled with the trainer's
    name, and one that is labelled "sdpo+" with the teacher's. A trainer is not given a KL penalty, so it stands only
    where there is none. In the published world the cells beside SDPO's arms under controls stand as well, and a trainer
    has no pull. The oracle judges all runs of our own world. Probes have the bundled gradient as their subject and the
    bundled oracle as their tool, and the published study is about an evaluator of its own, so with an oracle both are
    left out.
    Implements: SIM-179, SIM-180, PUB-049.

    Args:
        experiment: as the study has it.
        trainer: called as ``factory(policy, teacher, learning_rate=...)``.
        oracle: called as ``factory(world, settings, seed=...)`` with the cell's oracle settings.
        teacher: called as ``factory(policy, conditioning)``.

    Returns:
        The experiment under its own name; its cells have keys of their own in the store.

    Raises:
        UsageError: if there is nothing left to run.
    """
    cells = [made for cell in experiment.cells for made in _beside(cell, trainer, teacher)]
    if oracle is not None:
        cells = [_judged_by(cell, cell.settings, oracle) for cell in cells if isinstance(cell.settings, RunSettings)]
    if not cells:
        raise UsageError(_nothing_to_judge([experiment]))
    return Experiment(name=experiment.name, title=experiment.title, question=experiment.question, cells=tuple(cells))


def all_with_parts(experiments: Sequence[Experiment], parts: Parts) -> tuple[list[Experiment], list[str]]:
    """Several experiments with third parties' parts, and what that leaves out.

    Args:
        experiments: as the study or a user's file has them.
        parts: to put in.

    Returns:
        Experiments that can be run, and a line for each that cannot.

    Raises:
        LoadError: if a factory, also one that a user's file names, cannot be found or does not fit.
        UsageError: if a part has no place in any of the experiments.
    """
    _refuse_what_does_not_fit(experiments, parts)
    kept = [one for one in experiments if parts.oracle is None or any(map(_is_judged, one.cells))]
    if not kept:
        raise UsageError(_nothing_to_judge(experiments))
    left_out = [] if parts.oracle is None else [line for one in experiments for line in _not_judged(one)]
    for option in ("trainer", "teacher"):
        if getattr(parts, option) is None:
            continue
        without = [one.name for one in kept if not any(map(_is_sdpo, one.cells))]
        if len(without) == len(kept):
            raise UsageError(
                f"--{option} stands beside runs labelled method or arm sdpo; {', '.join(without)} has none; "
                "name another experiment, such as F01"
            )
        left_out += [f"{name}: has no run labelled sdpo for --{option} to stand beside" for name in without]
    fitted = [with_parts(one, trainer=parts.trainer, oracle=parts.oracle, teacher=parts.teacher) for one in kept]
    return fitted, left_out


def _beside(cell: Cell, trainer: str | None, teacher: str | None) -> Iterator[Cell]:
    yield cell
    settings = cell.settings
    if isinstance(settings, PublishedSettings) and _is_sdpo(cell):
        if trainer is not None:
            replaced = {"outside": Outside(trainer=trainer), "pull": 0.0}
            yield Cell(labels=_relabelled(cell, trainer), settings=settings.model_copy(update=replaced))
        if teacher is not None:
            replaced = {"outside": Outside(teacher=teacher)}
            yield Cell(labels=_relabelled(cell, f"sdpo+{teacher}"), settings=settings.model_copy(update=replaced))
    if not isinstance(settings, RunSettings) or not _is_sdpo(cell):
        return
    method = settings.method
    if trainer is not None and isinstance(method, Sdpo) and method.kl_weight == 0:
        third_party = ThirdParty(factory=trainer, learning_rate=method.learning_rate, student=method.student)
        yield Cell(labels=_relabelled(cell, trainer), settings=settings.model_copy(update={"method": third_party}))
    if teacher is not None and isinstance(method, Sdpo):
        taught = method.model_copy(update={"teacher_factory": teacher})
        yield Cell(labels=_relabelled(cell, f"sdpo+{teacher}"), settings=settings.model_copy(update={"method": taught}))


def _judged_by(cell: Cell, settings: RunSettings, oracle: str) -> Cell:
    return Cell(labels=cell.labels, settings=settings.model_copy(update={"oracle_factory": oracle}))


def _relabelled(cell: Cell, name: str) -> dict[str, str | float]:
    """The name in place of "sdpo"; behind the name of an arm that is SDPO under a control."""
    labels = dict(cell.labels)
    for axis in _NAMING:
        if labels.get(axis) == "sdpo":
            labels[axis] = name
        elif axis in labels and not _is_called_sdpo(cell):
            labels[axis] = f"{labels[axis]}: {name}"
    return labels


def _is_sdpo(cell: Cell) -> bool:
    """Whether a part can stand beside it: it is called so, or is a control of it in the published world."""
    if isinstance(cell.settings, PublishedSettings):
        return cell.settings.method == "sdpo" and any(axis in cell.labels for axis in _NAMING)
    return _is_judged(cell) and _is_called_sdpo(cell)


def _is_called_sdpo(cell: Cell) -> bool:
    return any(cell.labels.get(axis) == "sdpo" for axis in _NAMING)


def _is_judged(cell: Cell) -> bool:
    """Whether another oracle can judge it."""
    return isinstance(cell.settings, RunSettings)


def _not_judged(experiment: Experiment) -> Iterator[str]:
    """A line for each kind of cell that another oracle cannot judge."""
    published = sum(isinstance(cell.settings, PublishedSettings) for cell in experiment.cells)
    probes = sum(not _is_judged(cell) for cell in experiment.cells) - published
    if probes:
        yield f"{experiment.name}: {probes} probes are left out, because only a run can have another oracle"
    if published:
        yield f"{experiment.name}: {published} runs are left out, because the published study has its own evaluator"


def _nothing_to_judge(experiments: Sequence[Experiment]) -> str:
    names = ", ".join(one.name for one in experiments)
    return (
        f"received --oracle for {names}: probes, and runs of the published study, have no other oracle than their own; "
        "leave it out, or name another experiment, such as F01"
    )


def _refuse_what_does_not_fit(experiments: Iterable[Experiment], parts: Parts) -> None:
    """Look up and try every factory before anything runs. Implements: SIM-181."""
    for part in _GIVEN:
        name = getattr(parts, part)
        if name is not None:
            _check(part, name)
    for experiment in experiments:
        for cell in experiment.cells:
            for name in factories(cell.settings):
                resolve(name)


def _check(part: str, name: str) -> None:
    """Find a factory, and see whether it takes what it will be given."""
    factory: Callable[..., object] = resolve(name)
    if name.count(":") != 1:
        raise LoadError(
            f"--{part} {name} has a second colon; pass that value in another way, or give a factory of its own"
        )
    count, keyword, words = _GIVEN[part]
    try:
        signature = inspect.signature(factory)
    except ValueError:  # some of those written in C have none
        return
    try:
        signature.bind(*range(count), **({keyword: 0} if keyword else {}))
    except TypeError as error:
        shown = factory.func if isinstance(factory, functools.partial) else factory
        raise LoadError(
            f"--{part} {name} does not fit: it will be called as {getattr(shown, '__name__', name)}({words}), and "
            f"{error}; its own parameters are {signature}"
        ) from error
