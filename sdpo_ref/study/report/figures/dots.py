"""Figures with a row of dots for each method, teacher or arm: F01, F03, R01, F12 and R04."""

from collections.abc import Sequence
from functools import partial

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import by_seed, names_along, select
from sdpo_ref.study.report.figures.comparisons import (
    BEST_BASELINE,
    SAME_BASELINES,
    advantage_by_regime,
    advantage_effect,
    by_regime,
    mean_of,
)
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.report.figures.panels import dot_panels
from sdpo_ref.study.report.figures.style import in_order, label_of
from sdpo_ref.study.summary import estimate, paired_difference

FINAL = ReportFigure(
    name="final",
    experiment="F01",
    title="Final reward",
    question="Which method ends highest in which regime of feedback?",
    caption=(
        "Normalised reward after the last step: 0 is the base policy, 1 the optimum. Large marks are means with 95 % "
        f"intervals, the small dots below them single seeds; the axis does not begin at 0. {BEST_BASELINE} "
        f"{SAME_BASELINES} What these margins are made of is the question of F13."
    ),
    draw=partial(dot_panels, rows="method", metrics={"final_reward": "final reward"}, from_zero=False),
    effects=partial(advantage_by_regime, metric="final_reward", noun="final reward"),
)


def _credit_effects(observations: Sequence[Observation]) -> list[Effect]:
    """SDPO's correlation in each regime, and its advantage."""
    found = []
    for regime, here in by_regime(observations):
        for metric, noun in (("credit_first", "credit, first step"), ("credit", "credit, mean over run")):
            found.append(Effect(regime, f"{noun}: SDPO", mean_of(select(here, method="sdpo"), metric)))
            found.append(advantage_effect(here, metric, setting=regime, noun=noun))
    return found


CREDIT = ReportFigure(
    name="credit",
    experiment="F03",
    title="Credit assignment",
    question="Whose per-token signal tracks what a token was truly worth?",
    caption=(
        "Correlation r of the signal that a method gives each sampled token with that token's true advantage: the "
        "implicit reward for methods with a teacher, the advantage (mostly one number for a whole completion) for the "
        "others. Above: the first step, where all methods judge the same rollouts. Below: mean over the run, "
        "each method on its own rollouts; it falls as a method succeeds, because a good policy samples tokens that "
        "hardly differ in worth. So read the two apart: SDPO's lead on the first rollouts says nothing about the mean "
        "over the run, in which it need not lead. Methods with the same signal have the same value above. Large marks "
        f"are means with 95 % intervals, small dots seeds. {BEST_BASELINE}"
    ),
    draw=partial(
        dot_panels,
        rows="method",
        metrics={"credit_first": "r, first step", "credit": "r, mean over the run"},
        from_zero=True,
    ),
    effects=_credit_effects,
)


def _teachers_effects(observations: Sequence[Observation]) -> list[Effect]:
    """Each teacher minus the live one."""
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


TEACHERS = ReportFigure(
    name="teachers",
    experiment="R01",
    title="Teachers",
    question="How much is lost by a self-teacher that does not follow the student?",
    caption=(
        "SDPO with each kind of teacher weights. Above the reward after the last step, below the area under the "
        "learning curve, both normalised (0 base policy, 1 optimum); the axes do not begin at 0. What feedback adds to "
        "the scores here comes from a reader without weights, so that live and frozen difference are the same by "
        "construction and no teacher can drift: whether a live teacher drifts cannot be seen in this world. Large "
        "marks are means with 95 % intervals, small dots seeds."
    ),
    draw=partial(
        dot_panels,
        rows="teacher",
        metrics={"final_reward": "final reward", "area": "area under the curve"},
        from_zero=False,
    ),
    effects=_teachers_effects,
)


def _controls_effects(observations: Sequence[Observation]) -> list[Effect]:
    """Reward of each placebo, and the weak readers minus RLOO."""
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


CONTROLS = ReportFigure(
    name="controls",
    experiment="F12",
    title="Controls",
    question="Does SDPO lose where it should?",
    caption=(
        "Constant: every attempt gets the same feedback, so there is nothing to learn. Deranged: every prompt gets the "
        "feedback of another prompt. Weak reader: a self-teacher that has read two annotations where the others have "
        "64, and accounts for that; overconfident reader: the same, but it takes what it learned for the truth. "
        "Entropy stands below, because a policy can collapse while it learns nothing, and because SDPO itself may end "
        "near zero where its reward is kept (F11 is about reward). Large marks are means with 95 % intervals, small "
        "dots seeds."
    ),
    draw=partial(
        dot_panels,
        rows="arm",
        metrics={"final_reward": "final reward", "final_entropy": "final entropy (nats)"},
        from_zero=True,
    ),
    effects=_controls_effects,
)


def _told_effects(observations: Sequence[Observation]) -> list[Effect]:
    """The reader that is told less noise than there is minus the one that is told the truth."""
    return [
        Effect(
            regime,
            "final reward: told .15 − told the truth",
            paired_difference(*(by_seed(select(here, arm=arm), "final_reward") for arm in ("told .15", "sdpo"))),
        )
        for regime, here in by_regime(observations)
    ]


TOLD_NOISE = ReportFigure(
    name="told_noise",
    experiment="R04",
    title="Told noise",
    question="Does it matter whether the reader is told how noisy ratings are?",
    caption=(
        "Ratings with noise of half of the scale. SDPO: its reader is told so. Told .15: its reader takes them for the "
        "default noise, less than a third of what there is. RLOO has no reader. Above the reward after the last step, "
        "below the area under the learning curve, both normalised (0 base policy, 1 optimum); the axes do not begin at "
        "0. Large marks are means with 95 % intervals, small dots seeds."
    ),
    draw=partial(
        dot_panels,
        rows="arm",
        metrics={"final_reward": "final reward", "area": "area under the curve"},
        from_zero=False,
    ),
    effects=_told_effects,
)
