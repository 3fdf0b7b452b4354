"""Controls of the published study, C01 to C08, and what hangs on its open constants (P00)."""

from collections.abc import Mapping, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sdpo_ref.published.settings import Constants, PublishedSettings
from sdpo_ref.study.experiment import Label, Observation
from sdpo_ref.study.observations import by_seed, names_along, numbers_along, select
from sdpo_ref.study.report.figures.beside import Cell, Column, column, diamonds, numbers, rows
from sdpo_ref.study.report.figures.comparisons import along, mean_of
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.report.figures.marks import sweep, zero
from sdpo_ref.study.report.figures.panels import finished, grid
from sdpo_ref.study.report.figures.paths import annotate, path, stations
from sdpo_ref.study.report.figures.published import lead, sizes_along
from sdpo_ref.study.report.figures.style import FAINT, INK, in_order, label_of, look
from sdpo_ref.study.report.outside import Published
from sdpo_ref.study.summary import Estimate, differences, estimate, paired_difference, paired_ratio

_REWARD = "final_reward"
_RATE = PublishedSettings().learning_rate
_CONSTANTS = ("strength", "pattern_weight", "neighbour_spread")
"""Of those that the publication leaves open, the ones along which the lead is drawn."""

_ARMS = ("sdpo", "constant feedback", "untold teacher")
_CONTROL = "constant feedback"
"""Whose look has SDPO with something changed, where a figure has one such change."""

_EQUAL_REWARD = 0.7
"""At which C08 compares entropies."""


def _over(observations: Sequence[Observation], own: Mapping[str, Label], base: Mapping[str, Label]) -> dict[int, float]:
    """Reward of a cell minus that of another, seed by seed."""
    one, other = (by_seed(select(observations, **labels), _REWARD) for labels in (own, base))
    return differences(one, other)


def _kept(
    observations: Sequence[Observation], own: Mapping[str, Label], whole: Mapping[str, Label], base: Mapping[str, Label]
) -> Estimate | None:
    """Share of the lead of a cell over the base that another cell keeps."""
    return paired_ratio(_over(observations, own, base), _over(observations, whole, base))


def _says(axes: Axes, text: str, place: tuple[float, float], **how: object) -> None:
    """A few words beside what they are about."""
    axes.annotate(
        text,
        place,
        textcoords="offset points",
        fontsize=7.5,
        color=INK,
        **{"xytext": (4, 4), **how},  # type: ignore[arg-type]
    )


def _chosen(axes: Axes, place: float) -> None:
    axes.axvline(place, color=FAINT, linewidth=0.9, linestyle=(0, (2, 2)), zorder=0.5)


def _constants(observations: Sequence[Observation]) -> Figure:
    """The lead of each arm along each constant, and the hybrid's weight along the gate."""
    figure, [panels] = grid(1, len(_CONSTANTS) + 1, height=3.0, sharex=False, sharey=False)
    for axes, name in zip(panels, _CONSTANTS, strict=False):
        here = select(observations, constant=name)
        if axes is not panels[0]:
            axes.sharey(panels[0])
            axes.tick_params(labelleft=False)
        for arm in reversed(_ARMS):
            points = {
                value: estimate(
                    list(_over(here, {"arm": arm, "value": value}, {"arm": "reinforce", "value": value}).values())
                )
                for value in numbers_along(here, "value")
            }
            sweep(axes, points, look(arm))
        zero(axes)
    gates = select(observations, constant="gate")
    for metric, words, its, side in (
        ("weight_first", "first step", look("hybrid"), -1),
        ("weight_last", "last 20 steps", look("gated"), 1),
    ):
        sweep(panels[-1], along(gates, "value", metric), its, offset=0.004 * side)
        panels[-1].text(0.05, 0.09 - 0.04 * side, words, color=its.color, fontsize=7.5)
    panels[-1].set_ylim(0.0, 1.08)
    panels[-1].set_ylabel("hybrid's weight")
    for axes, name in zip(panels, (*_CONSTANTS, "gate"), strict=True):
        _chosen(axes, getattr(Constants(), name))
        values = numbers_along(select(observations, constant=name), "value")
        axes.set_xticks(values, [f"{value:g}".replace("0.", ".") for value in values])
        axes.set_xlabel(name.replace("_", " "))
    panels[0].set_ylabel("lead over REINFORCE")
    return finished(figure, [panels], [*_ARMS, "hybrid"])


def _constants_effects(observations: Sequence[Observation]) -> list[Effect]:
    """Lead, and share of it that is kept, at each value; and what the other reading of length changes."""
    found = []
    for name in _CONSTANTS:
        here = select(observations, constant=name)
        for value in numbers_along(here, "value"):
            cells: dict[str, dict[str, Label]] = {arm: {"arm": arm, "value": value} for arm in (*_ARMS, "reinforce")}
            base, setting = cells["reinforce"], f"{name.replace('_', ' ')} {value:g}"
            whole = estimate(list(_over(here, cells["sdpo"], base).values()))
            found.append(Effect(setting, "lead over REINFORCE", whole))
            found += [
                Effect(setting, f"share of the lead: {arm}", _kept(here, cells[arm], cells["sdpo"], base))
                for arm in _ARMS[1:]
            ]
    gates = select(observations, constant="gate")
    found += [
        Effect(f"gate {gate:g}", f"hybrid's weight, {words}", mean_of(select(gates, value=gate), metric))
        for gate in numbers_along(gates, "value")
        for metric, words in (("weight_first", "first step"), ("weight_last", "last 20 steps"))
    ]
    lengths = select(observations, constant="effective_length")
    if lengths:
        readings = [by_seed(select(lengths, value=reading), _REWARD) for reading in ("without token 0", "all")]
        what = "final reward under the length bias: without token 0 − all tokens"
        found.append(Effect("effective length", what, paired_difference(readings[0], readings[1])))
    return found


def _placebo(observations: Sequence[Observation]) -> Figure:
    """Share of the lead along the constant that takes the place of all feedback."""
    figure, [[axes]] = grid(1, 1, height=3.3)
    shares = _constant_shares(observations)
    sweep(axes, shares, look("constant feedback"))
    other = _kept(observations, {"arm": "another rollout's"}, *_ENDS)
    own = mean_of(select(observations, arm="sdpo"), "mean_feedback")
    if other is not None and own is not None:
        sweep(axes, {own.mean: other}, look(_CONTROL))
        words = f"another completion's feedback: {other.mean:.3f}\n(at the mean of real feedback, {own.mean:.2f})"
        _says(axes, words, (own.mean, other.mean), xytext=(8, -22))
    _label_each(axes, shares)
    _between_nothing_and_all(axes, left=0.17, right=1.06, nothing_at=0.17)
    axes.set_xlabel("one constant in place of all feedback")
    axes.set_ylabel("share of the published lead that is kept")
    return finished(figure, [[axes]])


_ENDS = ({"arm": "sdpo"}, {"arm": "reinforce"})


def _label_each(axes: Axes, shares: Mapping[float, Estimate | None]) -> None:
    for place, found in shares.items():
        if found is not None:
            _says(axes, f"{found.mean:.2f}".replace("-", "−"), (place, found.mean), xytext=(-5, 5), ha="right")


def _between_nothing_and_all(axes: Axes, *, left: float, right: float, nothing_at: float) -> None:
    """Lines at no lead and at all of it, in words, and the panel's width."""
    for share, place, words in ((0.0, nothing_at, "nothing: REINFORCE"), (1.0, left, "all of the published lead")):
        zero(axes, at=share)
        _says(axes, words, (place, share), xytext=(4, 3))
    axes.set_xlim(left, right)


def _constant_shares(observations: Sequence[Observation]) -> dict[float, Estimate | None]:
    arms = [arm for arm in names_along(observations, "arm") if arm.startswith("constant ")]
    return {float(arm.removeprefix("constant ")): _kept(observations, {"arm": arm}, *_ENDS) for arm in arms}


def _placebo_effects(observations: Sequence[Observation]) -> list[Effect]:
    """The share that each arm keeps."""
    return [
        Effect(arm, "share of the lead", _kept(observations, {"arm": arm}, *_ENDS))
        for arm in names_along(observations, "arm")
        if arm not in ("sdpo", "reinforce")
    ]


def _told(observations: Sequence[Observation]) -> Figure:
    """Share of the lead along the correlation."""
    figure, [[axes]] = grid(1, 1, height=3.3)
    shares = _told_shares(observations)
    sweep(axes, shares, look("sdpo"))
    _label_each(axes, shares)
    _between_nothing_and_all(axes, left=-0.1, right=1.06, nothing_at=0.5)
    axes.set_xticks(list(shares))
    axes.set_xlabel("correlation of what the teacher is told with the truth (published: 1)")
    axes.set_ylabel("share of the published lead that is kept")
    return finished(figure, [[axes]])


def _told_shares(observations: Sequence[Observation]) -> dict[float, Estimate | None]:
    ends: tuple[dict[str, Label], dict[str, Label]] = ({"told": 1.0}, {"told": "reinforce"})
    return {told: _kept(observations, {"told": told}, *ends) for told in numbers_along(observations, "told")}


def _told_effects(observations: Sequence[Observation]) -> list[Effect]:
    """The share at each correlation."""
    return [Effect(f"told {told:g}", "share of the lead", found) for told, found in _told_shares(observations).items()]


def _rates(observations: Sequence[Observation]) -> Figure:
    """Left reward, right entropy, along the learning rate."""
    methods = in_order(names_along(observations, "method"))
    figure, [panels] = grid(1, 2, height=3.2, sharey=False)
    for axes, metric in zip(panels, (_REWARD, "final_entropy"), strict=True):
        for method in reversed(methods):
            sweep(axes, along(select(observations, method=method), "learning_rate", metric), look(method))
        axes.set_xscale("log")
        rates = numbers_along(observations, "learning_rate")
        axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
        axes.minorticks_off()
        _chosen(axes, _RATE)
    panels[0].set_ylabel("final reward")
    panels[1].set_ylabel("entropy (nats)")
    panels[0].annotate(
        "published rate",
        (_RATE, 0.93),
        xycoords=("data", "axes fraction"),
        xytext=(4, 0),
        textcoords="offset points",
        fontsize=7.5,
        color=INK,
    )
    figure.supxlabel("learning rate of plain gradient descent")
    return finished(figure, [panels], methods)


def _best(observations: Sequence[Observation], method: str) -> tuple[float, dict[int, float]]:
    """The rate with the highest mean reward, and the rewards there."""
    own = select(observations, method=method)
    means = {rate: found.mean for rate, found in along(own, "learning_rate", _REWARD).items() if found is not None}
    rate = max(means, key=lambda one: means[one], default=_RATE)
    return rate, by_seed(select(own, learning_rate=rate), _REWARD)


def _rates_effects(observations: Sequence[Observation]) -> list[Effect]:
    """Each method at its best rate, and each baseline against SDPO there and as published."""
    best_of_sdpo, own = _best(observations, "sdpo")
    published = by_seed(select(observations, method="sdpo", learning_rate=_RATE), _REWARD)
    found = []
    for method in in_order(names_along(observations, "method")):
        rate, rewards = _best(observations, method)
        setting = f"{label_of(method)} at its best rate, {rate:g}"
        found.append(Effect(setting, "final reward", estimate(list(rewards.values()))))
        if method != "sdpo":
            found.append(Effect(setting, "final reward: − SDPO as published", paired_difference(rewards, published)))
            quantity = f"final reward: − SDPO at its best rate, {best_of_sdpo:g}"
            found.append(Effect(setting, quantity, paired_difference(rewards, own)))
    return found


def _sign(observations: Sequence[Observation], published: Sequence[Published]) -> Figure:
    """Credit of the update and of the gradient, with what is published under continuous feedback in both."""
    methods = in_order(names_along(observations, "method"))
    cells = [Cell(label_of(method), {"method": method}, look(method)) for method in methods]
    credit = [one for one in numbers(published, "P01", "credit") if one.cell["feedback"] == "continuous"]

    def about(cell: Cell) -> list[Published]:
        return [one for one in credit if one.cell["method"] == cell.labels["method"]]

    panels = [
        Column(title, column(observations, metric).values, about, 0.0)
        for metric, title in (
            ("credit", "credit of the update (the definition)"),
            ("credit_of_gradient", "credit of the gradient"),
        )
    ]
    return rows(cells, panels, unit=0.28)


def _means(observations: Sequence[Observation], axis: str, metrics: Mapping[str, str]) -> list[Effect]:
    """Means of metrics for each name on an axis."""
    return [
        Effect(label_of(name), noun, mean_of(select(observations, **{axis: name}), metric))
        for name in names_along(observations, axis)
        for metric, noun in metrics.items()
    ]


_HINTS = {"none": "no hints (continuous)", "position": "at the position (critique)", "token": "at the token"}


def _hints(observations: Sequence[Observation]) -> Figure:
    """Reward, credit and entropy without hints, with them as published, and where they can be seen."""
    cells = [
        Cell(_HINTS[hints], {"hints": hints}, look("sdpo" if hints == "none" else _CONTROL))
        for hints in names_along(observations, "hints")
    ]
    return rows(cells, [column(observations, metric) for metric in (_REWARD, "credit", "final_entropy")], unit=0.28)


def _hints_effects(observations: Sequence[Observation]) -> list[Effect]:
    """Each kind of hint against none."""
    found = []
    for metric in (_REWARD, "credit"):
        none = by_seed(select(observations, hints="none"), metric)
        found += [
            Effect(words, f"{metric.replace('_', ' ')}: − no hints", paired_difference(own, none))
            for hints, words in _HINTS.items()
            if hints != "none" and (own := by_seed(select(observations, hints=hints), metric))
        ]
    return found


_CHANGES = {"positivity": "none", "length": "none", "noise .5": "none", "binary .5": "binary"}
_CHANGED = {"binary .5": "noise .5, binary", "noise .5": "noise .5, continuous"}


def _changed(observations: Sequence[Observation], change: Label, mean: Label) -> dict[int, float]:
    """Reward under a change less that without it."""
    base: dict[str, Label] = {"change": _CHANGES[str(change)], "mean": "own"}
    return _over(observations, {"change": change, "mean": mean}, base)


def _equal_mean(observations: Sequence[Observation]) -> Figure:
    """What each bias and noise change of the reward: as published, and at equal mean feedback."""
    unchanged = [
        Cell(f"nothing changed, {kind}", {"change": base, "mean": "own"}, look("sdpo"))
        for base, kind in (("none", "continuous"), ("binary", "binary"))
    ]
    cells = [
        Cell(
            f"{_CHANGED.get(change, change)}{'' if mean == 'own' else ', equal mean'}",
            {"change": change, "mean": mean},
            look("sdpo" if mean == "own" else _CONTROL),
        )
        for change in _CHANGES
        for mean in ("own", "equal")
    ]
    values = Column(
        "final reward: with the change − without it",
        lambda cell: (
            _changed(observations, cell.labels["change"], cell.labels["mean"])
            if cell.labels["change"] in _CHANGES
            else {}
        ),
        line=0.0,
    )
    feedback = column(observations, "mean_feedback", title="mean feedback")
    return rows([*unchanged, *cells], [values, feedback], gaps=(2, 4, 6, 8))


def _equal_mean_effects(observations: Sequence[Observation]) -> list[Effect]:
    """The same as numbers."""
    return [
        Effect(
            _CHANGED.get(change, change),
            f"final reward: change, {'as published' if mean == 'own' else 'at equal mean feedback'}",
            estimate(list(_changed(observations, change, mean).values())),
        )
        for change in _CHANGES
        for mean in ("own", "equal")
    ]


def _equal_steps(observations: Sequence[Observation], published: Sequence[Published]) -> Figure:
    """The lead along the vocabulary, beside what was published at one rate for all."""
    sizes = numbers_along(observations, "vocab")
    methods = in_order(names_along(observations, "method"))
    figure, [[left, right]] = grid(1, 2, height=3.1, sharey=False)
    for method in reversed(methods):
        sweep(left, along(select(observations, method=method), "vocab", _REWARD), look(method))
    sweep(right, _leads(observations), look("sdpo"))
    diamonds(right, [one for one in numbers(published, "P05", _REWARD, "lead") if one.cell.get("time") == 6], "vocab")
    right.set_ylim(bottom=0.0)
    for axes in (left, right):
        sizes_along(axes, sizes)
    left.set_ylabel("final reward")
    right.set_ylabel("lead over REINFORCE")
    figure.supxlabel("size of the vocabulary (tokens), at a rate in proportion to it")
    named = [*methods, *(["published"] if published else [])]
    return finished(figure, [[left, right]], named)


def _leads(observations: Sequence[Observation]) -> dict[float, Estimate | None]:
    return {size: lead(select(observations, vocab=size)) for size in numbers_along(observations, "vocab")}


def _equal_steps_effects(observations: Sequence[Observation]) -> list[Effect]:
    """The lead with each vocabulary."""
    return [Effect(f"{size:g} tokens", "lead over REINFORCE", found) for size, found in _leads(observations).items()]


def _equal_reward(observations: Sequence[Observation]) -> Figure:
    """Entropy against reward, a line for each method over the learning rates."""
    methods = in_order(names_along(observations, "method"))
    figure, [[axes]] = grid(1, 1, height=3.8)
    knob, across, up = "learning_rate", _REWARD, "final_entropy"
    for method in reversed(methods):
        path(axes, select(observations, method=method), knob=knob, across=across, up=up, look=look(method))
    for method, above in (("reinforce", True), ("sdpo", False)):
        found = stations(select(observations, method=method), knob, across, up)
        annotate(axes, found, look(method), above=above)
    _chosen(axes, _EQUAL_REWARD)
    axes.set_xlabel("final reward")
    axes.set_ylabel("entropy (nats)")
    return finished(figure, [[axes]], methods)


def _equal_reward_effects(observations: Sequence[Observation]) -> list[Effect]:
    """Entropy and reward at each rate, method by method."""
    return [
        Effect(
            f"{label_of(method)} at {rate:g}",
            "entropy (nats)",
            mean_of(cell, "final_entropy"),
            "" if (reward := mean_of(cell, _REWARD)) is None else f"at a reward of {reward.mean:.3f}",
        )
        for method in in_order(names_along(observations, "method"))
        for rate in numbers_along(observations, "learning_rate")
        if (cell := select(observations, method=method, learning_rate=rate))
    ]


_SHARE = (
    "1 is SDPO's lead over REINFORCE as published, 0 is none; ratios of means over the same seeds, with 95 % intervals."
)

CONSTANTS = ReportFigure(
    name="open_constants",
    experiment="P00",
    title="What is left open (published study)",
    question="How much do the published lead and its controls depend on what the publication does not state?",
    caption=(
        "SDPO's final reward minus REINFORCE's with the same constant: as published, with one constant (.5) in place "
        "of all feedback, and with a teacher that is told nothing of the truth. Right: the hybrid's weight in its "
        "first step and at the end, along the gate. Dashed: the constant that was fixed, on other seeds, before "
        "anything was decided. Means over seeds with 95 % intervals."
    ),
    draw=_constants,
    effects=_constants_effects,
)

PLACEBO = ReportFigure(
    name="placebo",
    experiment="C01",
    title="Without feedback (control)",
    question="How much of the published lead is left without feedback?",
    caption=f"{_SHARE} A constant says nothing about a completion: it only sets how large the teacher's tilt is.",
    draw=_placebo,
    effects=_placebo_effects,
)

TOLD = ReportFigure(
    name="told",
    experiment="C02",
    title="What the teacher is told (control)",
    question="How does the lead follow the correlation of what the teacher is told with the truth?",
    caption=f"{_SHARE} Feedback is real everywhere; what changes is the quality that the teacher is told.",
    draw=_told,
    effects=_told_effects,
)

RATES = ReportFigure(
    name="rates",
    experiment="C03",
    title="Tuned rates (control)",
    question="What does every method reach at its own best learning rate on the published budget?",
    caption=(
        "Dashed: the one rate at which the publication runs all methods. There the baselines have kept all of their "
        "entropy, because they have not started. Means over seeds with 95 % intervals. The table takes each method's "
        "best rate on the same seeds."
    ),
    draw=_rates,
    effects=_rates_effects,
)

HINTS = ReportFigure(
    name="hints",
    experiment="C05",
    title="Hints (control)",
    question="Does a critique's hint change anything, as published and at the sampled token alone?",
    caption=(
        "As published a hint is one number for all tokens of a position, which a softmax does not see. Large marks "
        "are means with 95 % intervals, small dots seeds."
    ),
    draw=_hints,
    effects=_hints_effects,
)

EQUAL_MEAN = ReportFigure(
    name="equal_mean",
    experiment="C06",
    title="Equal mean feedback (control)",
    question="What is left of the effects of bias and noise once the mean feedback is the same?",
    caption=(
        "Left: SDPO's final reward under a bias or noise minus that without it, as published and with feedback "
        "shifted in every step to the mean that it would have without. Right: the mean feedback. Large marks are "
        "means with 95 % intervals, small dots seeds."
    ),
    draw=_equal_mean,
    effects=_equal_mean_effects,
)

EQUAL_REWARD = ReportFigure(
    name="equal_reward",
    experiment="C08",
    title="Entropy at equal reward (control)",
    question="How much entropy has each method left at the same reward?",
    caption=(
        "Each line is a method over the learning rates of C03, some of which are written beside it. Up and to the "
        "right is better; the dashed line is the reward at which C08 compares. Means over seeds with 95 % intervals "
        "both ways."
    ),
    draw=_equal_reward,
    effects=_equal_reward_effects,
)


def controls_with_numbers(published: Sequence[Published]) -> tuple[ReportFigure, ...]:
    """The two controls that are drawn beside published numbers: C04 and C07.

    Args:
        published: numbers to be marked in them.
    """
    return (
        ReportFigure(
            name="credit_sign",
            experiment="C04",
            title="The sign of credit (control)",
            question="Is the published credit of REINFORCE that of the gradient in place of its negative?",
            caption=(
                "The same runs twice: left the credit of the update, as the publication defines it, right that of "
                "the gradient, which the update goes against. Hollow diamonds are the published numbers under "
                "continuous feedback, the same in both: SDPO's lies among our dots on the left, REINFORCE's on the "
                "right. Large marks are means with 95 % intervals, small dots seeds."
            ),
            draw=partial(_sign, published=published),
            effects=partial(_means, axis="method", metrics={"credit": "credit"}),
        ),
        ReportFigure(
            name="equal_steps",
            experiment="C07",
            title="Size at equal steps (control)",
            question="Does the lead shrink with the vocabulary when the learning rate grows with it?",
            caption=(
                "A logit's gradient is in proportion to its probability, so that at one rate a large vocabulary has "
                "not arrived. Here the rate grows with the vocabulary (.02 at 8 tokens). Hollow diamonds are the "
                "published leads at one rate for all, with completions of 6 tokens like these. Means over seeds with "
                "95 % intervals."
            ),
            draw=partial(_equal_steps, published=published),
            effects=_equal_steps_effects,
        ),
    )
