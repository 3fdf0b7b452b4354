"""What remains of SDPO's margin once the student has the reader's features and the baseline reads spans (F13)."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import by_seed, names_along, select
from sdpo_ref.study.report.figures.comparisons import by_regime, mean_of
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.report.figures.marks import sweep, zero
from sdpo_ref.study.report.figures.panels import finished, grid
from sdpo_ref.study.report.figures.style import in_order, label_of, look
from sdpo_ref.study.summary import paired_difference

_STUDENTS = ("table", "features")
_METRICS = {"final_reward": "final reward", "area": "area under the curve"}


def _draw(observations: Sequence[Observation]) -> Figure:
    """Both metrics and SDPO's margin in them, from the table to the features, a column for each regime."""
    regimes, methods = list(by_regime(observations)), in_order(names_along(observations, "method"))
    others = [method for method in methods if method != "sdpo"]
    figure, panels = grid(2 * len(_METRICS), len(regimes), height=7.6, sharey="row")
    for column, (regime, here) in enumerate(regimes):
        for number, metric in enumerate(_METRICS):
            values, margins = panels[2 * number][column], panels[2 * number + 1][column]
            for method in reversed(methods):
                _slope(values, here, metric, method)
            for shift, method in enumerate(others):
                _margin(margins, here, metric, method, offset=0.06 * (shift - (len(others) - 1) / 2))
            zero(margins)
        panels[0][column].set_title(regime)
        panels[-1][column].set_xticks(range(len(_STUDENTS)), _STUDENTS)
        panels[-1][column].set_xlim(-0.35, len(_STUDENTS) - 0.65)
    for number, noun in enumerate(_METRICS.values()):
        panels[2 * number][0].set_ylabel(noun)
        panels[2 * number + 1][0].set_ylabel("SDPO − method")
    figure.supxlabel("what the student's logits are made of")
    return finished(figure, panels, methods)


def _slope(axes: Axes, observations: Sequence[Observation], metric: str, method: str) -> None:
    points = {
        float(place): mean_of(select(observations, method=method, student=student), metric)
        for place, student in enumerate(_STUDENTS)
    }
    sweep(axes, points, look(method))


def _margin(axes: Axes, observations: Sequence[Observation], metric: str, method: str, *, offset: float) -> None:
    points = {}
    for place, student in enumerate(_STUDENTS):
        here = select(observations, student=student)
        own, others = (by_seed(select(here, method=name), metric) for name in ("sdpo", method))
        points[float(place)] = paired_difference(own, others)
    sweep(axes, points, look(method), offset=offset)


def _effects(observations: Sequence[Observation]) -> list[Effect]:
    """SDPO minus each method with each student."""
    found = []
    for regime, here in by_regime(observations):
        for metric, noun in _METRICS.items():
            for student in _STUDENTS:
                cell = select(here, student=student)
                own = by_seed(select(cell, method="sdpo"), metric)
                found += [
                    Effect(
                        f"{regime}, {student}",
                        f"{noun}: SDPO − {label_of(method)}",
                        paired_difference(own, by_seed(select(cell, method=method), metric)),
                    )
                    for method in in_order(names_along(cell, "method"))
                    if method != "sdpo"
                ]
    return found


FIGURE = ReportFigure(
    name="decomposition",
    experiment="F13",
    title="Where the advantage comes from",
    question="What remains of SDPO's margin once the student has the reader's features and the baseline reads spans?",
    caption=(
        "Left in each panel the student is a table of logits, right a table and a learned combination of the "
        "reader's aspect features, so that every method can express what the reader learned. Span RLOO credits each "
        "span of a critique with its own rating, so that it has SDPO's information. Margins are SDPO minus the "
        "method with the same student, paired by seed; at the line nothing remains. Stands first of our own because "
        "every lead below is to be read with it. No baseline is given a rubric's aspects. Means over seeds with 95 % "
        "intervals."
    ),
    draw=_draw,
    effects=_effects,
)
