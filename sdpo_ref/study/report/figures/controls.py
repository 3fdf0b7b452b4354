"""Controls that SDPO must fail: feedback without information, and a reader with little data (F12)."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import by_seed, names_along, select
from sdpo_ref.study.report.figures.comparisons import by_regime
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.report.figures.panels import dot_panels
from sdpo_ref.study.report.figures.style import in_order, label_of
from sdpo_ref.study.summary import estimate, paired_difference


def draw(observations: Sequence[Observation]) -> Figure:
    """Reward and entropy of each arm, a column for each regime.

    Args:
        observations: of F12.
    """
    metrics = {"final_reward": "final reward", "final_entropy": "final entropy (nats)"}
    return dot_panels(observations, rows="arm", metrics=metrics, from_zero=True)


def effects(observations: Sequence[Observation]) -> list[Effect]:
    """Reward of each placebo, and the weak readers minus RLOO.

    Args:
        observations: of F12.
    """
    found = []
    for regime, here in by_regime(observations):
        values = {arm: by_seed(select(here, arm=arm), "final_reward") for arm in in_order(names_along(here, "arm"))}
        found += [
            Effect(regime, f"final reward: {label_of(arm)}", estimate(list(values[arm].values())))
            for arm in ("sdpo", "constant", "deranged")
            if arm in values
        ]
        found += [
            Effect(regime, f"final reward: {arm} − RLOO", paired_difference(values[arm], values["rloo"]))
            for arm in ("weak reader", "overconfident reader")
            if {arm, "rloo"} <= values.keys()
        ]
    return found


FIGURE = ReportFigure(
    name="controls",
    experiment="F12",
    title="Controls",
    question="Does SDPO lose where it should?",
    caption=(
        "Constant: every attempt gets the same feedback, so there is nothing to learn. Deranged: every prompt gets the "
        "feedback of another prompt. Weak reader: a self-teacher that has read two annotations where the others have "
        "64, and accounts for that; overconfident reader: the same, but it takes what it learned for the truth. "
        "Entropy stands below, because a policy can collapse while it learns nothing. Large marks are means with 95 % "
        "intervals, small dots seeds."
    ),
    draw=draw,
    effects=effects,
)
