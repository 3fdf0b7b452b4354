"""What is in the report, before it has a form: provenance, warnings, figures with their numbers, and every cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sdpo_ref.study.experiment import Experiment, Observation
from sdpo_ref.study.observations import by_seed, observations
from sdpo_ref.study.provenance import Provenance
from sdpo_ref.study.report.figures import figures
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.report.figures.lead import lead_figure
from sdpo_ref.study.report.figures.style import label_of
from sdpo_ref.study.report.figures.svg import svg
from sdpo_ref.study.report.outside import Arm, Outside
from sdpo_ref.study.store import Store
from sdpo_ref.study.summary import Estimate, estimate

SHOWN_METRICS = ("final_reward", "area", "final_distinctness", "credit")
"""Columns of the table of cells; those that a cell does not have stay empty."""


@dataclass(frozen=True)
class Drawn:
    """A figure as it stands in the report.

    Attributes:
        figure: title, question, caption and command.
        svg: the drawing.
        effects: its numbers.
        verdicts: on the findings that it is about, a line each; decided elsewhere, from other seeds.
    """

    figure: ReportFigure
    svg: str
    effects: tuple[Effect, ...]
    verdicts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A cell in the table of cells.

    Attributes:
        experiment: its name.
        labels: of the cell, in words.
        finished: seeds that ended well.
        failed: seeds that ended early.
        estimates: metric to mean and interval.
    """

    experiment: str
    labels: str
    finished: int
    failed: int
    estimates: Mapping[str, Estimate | None]


@dataclass(frozen=True)
class Contents:
    """All that the report contains.

    Attributes:
        seeds: of the repeats.
        runs: tasks that it rests on; what two experiments share counts once.
        origins: of the code and the machine, what differs between rows being named with all its values.
        warnings: what a reader must consider first.
        parts: options that name third parties' parts, as they are typed; empty without.
        figures: in their order.
        rows: every cell of every experiment.
    """

    seeds: tuple[int, ...]
    runs: int
    origins: Mapping[str, str]
    warnings: tuple[str, ...]
    parts: str
    figures: tuple[Drawn, ...]
    rows: tuple[Row, ...]


_NOTHING = Outside()


def contents_of(
    experiments: Sequence[Experiment],
    seeds: Sequence[int],
    store: Store,
    *,
    only: str | None = None,
    parts: str = "",
    outside: Outside = _NOTHING,
) -> Contents:
    """Read everything that the report needs.

    An experiment without any finished task is named as missing and not drawn.
    Implements: SIM-155, SIM-156.

    Args:
        experiments: to report.
        seeds: of the repeats.
        store: to read from.
        parts: options that name the third parties' parts in the experiments.
        only: name of the one figure to draw; ``None`` for all.
        outside: what it shows beside these runs. The first picture is of that alone, and is left out with ``only``.
    """
    seen = {one.name: observations(one, seeds, store) for one in experiments}
    keys = {task.key for one in experiments for task in one.tasks(seeds)}
    records = store.records(keys)
    drawn = [
        Drawn(
            figure,
            svg(figure, seen[figure.experiment]),
            tuple(figure.effects(seen[figure.experiment])),
            tuple(outside.verdicts.get(figure.experiment, ())),
        )
        for figure in figures(outside.published).values()
        if only in (None, figure.name) and any(one.outcome.error is None for one in seen.get(figure.experiment, ()))
    ]
    first = [picture(outside.arms)] if outside.arms and only is None else []
    return Contents(
        seeds=tuple(seeds),
        runs=len(records),
        origins=_origins([record.provenance for record in records]),
        warnings=(*_missing(experiments, seeds, seen, parts), *_mixed([record.provenance for record in records])),
        parts=parts,
        figures=(*first, *drawn),
        rows=tuple(_row(one.name, cell.labels, seen[one.name]) for one in experiments for cell in one.cells),
    )


def picture(arms: Sequence[Arm]) -> Drawn:
    """The first picture.

    Args:
        arms: from top to bottom.
    """
    figure = lead_figure(arms)
    return Drawn(figure, svg(figure, ()), tuple(figure.effects(())))


def effect_words(effect: Effect) -> str:
    """The number of an effect with its interval, as the tables show it.

    Args:
        effect: to be shown.

    Example:
        >>> effect_words(Effect("scalar", "final reward", Estimate(0.0512, 0.01, 5)))
        '0.051 [0.041, 0.061], n = 5'
    """
    found = effect.estimate
    if found is None:
        return "–" if effect.note else "not determined"
    interval = "" if found.half_width is None else f" [{_number(found.low)}, {_number(found.high)}]"
    return f"{_number(found.mean)}{interval}, n = {found.count}"


def estimate_words(found: Estimate | None) -> str:
    """A mean with half the width of its interval, as the table of cells shows it.

    Args:
        found: to be shown; ``None`` gives a dash.

    Example:
        >>> estimate_words(Estimate(0.75, 0.012, 5)), estimate_words(None)
        ('0.750 ± 0.012', '–')
    """
    if found is None:
        return "–"
    return _number(found.mean) if found.half_width is None else f"{_number(found.mean)} ± {found.half_width:.3f}"


def _number(value: float) -> str:
    """With a minus that is as wide as a digit; without a sign where three digits leave zero."""
    text = f"{value:.3f}"
    return "0.000" if text == "-0.000" else text.replace("-", "−")


def _row(experiment: str, labels: Mapping[str, str | float], seen: Sequence[Observation]) -> Row:
    own = [one for one in seen if one.labels == labels]
    finished = [one for one in own if one.outcome.error is None]
    return Row(
        experiment=experiment,
        labels=", ".join(f"{label_of(axis)} {_words(value)}" for axis, value in labels.items()),
        finished=len(finished),
        failed=len(own) - len(finished),
        estimates={metric: estimate(list(by_seed(own, metric).values())) for metric in SHOWN_METRICS},
    )


def _words(value: str | float) -> str:
    return label_of(value) if isinstance(value, str) else f"{value:g}"


def _missing(
    experiments: Sequence[Experiment], seeds: Sequence[int], seen: Mapping[str, Sequence[Observation]], parts: str
) -> list[str]:
    found = []
    for one in experiments:
        expected, there = len(one.cells) * len(seeds), len(seen[one.name])
        failed = sum(observation.outcome.error is not None for observation in seen[one.name])
        if there < expected:
            found.append(
                f"{one.name} is incomplete: {there} of {expected} runs are there; "
                f"run `sdpo-ref study run {one.name} --seeds {len(seeds)}{parts}`"
            )
        if failed:
            found.append(f"{one.name}: {failed} runs ended early and are left out of its means")
    return found


def _mixed(provenances: Sequence[Provenance]) -> list[str]:
    """Rows of one report always come from code of one meaning; what else may differ is worth a word."""
    found = []
    if any(one.git_dirty for one in provenances):
        found.append("some runs come from a checkout with changes that were not committed")
    for name in ("torch", "platform"):
        values = sorted({str(getattr(one, name)) for one in provenances})
        if len(values) > 1:
            found.append(f"runs come from several versions of {name}: {', '.join(values)}")
    return found


def _origins(provenances: Sequence[Provenance]) -> dict[str, str]:
    names = ("package", "specification", "code", "git_revision", "python", "torch", "numpy", "platform")
    return {name: ", ".join(sorted({str(getattr(one, name)) for one in provenances})) for name in names}
