"""SDPO with each kind of teacher weights (R01)."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import by_seed, names_along, select
from sdpo_ref.study.report.figures.comparisons import by_regime
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.report.figures.panels import dot_panels
from sdpo_ref.study.report.figures.style import in_order, label_of
from sdpo_ref.study.summary import paired_difference


def draw(observations: Sequence[Observation]) -> Figure:
    """Final reward and area of each teacher, a column for each regime.

    Args:
        observations: of R01.
    """
    metrics = {"final_reward": "final reward", "area": "area under the curve"}
    return dot_panels(observations, rows="teacher", metrics=metrics, from_zero=False)


def effects(observations: Sequence[Observation]) -> list[Effect]:
    """Each teacher minus the live one.

    Args:
        observations: of R01.
    """
    found = []
    for regime, here in by_regime(observations):
        live = by_seed(select(here, teacher="live"), "final_reward")
        found += [
            Effect(
                regime,
                f"final reward: {label_of(teacher)} − live teacher",
                paired_difference(by_seed(select(here, teacher=teacher), "final_reward"), live),
            )
            for teacher in in_order(names_along(here, "teacher"))
            if teacher != "live"
        ]
    return found


FIGURE = ReportFigure(
    name="teachers",
    experiment="R01",
    title="Teachers",
    question="Does it matter whose weights the self-teacher has?",
    caption=(
        "SDPO with each kind of teacher weights. Above the reward after the last step, below the area under the "
        "learning curve, both normalised (0 base policy, 1 optimum); the axes do not begin at 0. Large marks are means "
        "with 95 % intervals, small dots seeds."
    ),
    draw=draw,
    effects=effects,
)
