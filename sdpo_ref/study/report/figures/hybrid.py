"""The hybrids against both parents when feedback is of uneven quality (F10)."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import by_seed, names_along, numbers_along, select
from sdpo_ref.study.report.figures.comparisons import along
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.report.figures.marks import row, sweep, zero
from sdpo_ref.study.report.figures.panels import finished, grid
from sdpo_ref.study.report.figures.style import in_order, label_of, look
from sdpo_ref.study.summary import paired_difference


def _draw(observations: Sequence[Observation]) -> Figure:
    """Reward against the share of spoilt prompts; a corruption without shares as rows."""
    corruptions, methods = names_along(observations, "corruption"), in_order(names_along(observations, "method"))
    figure, [panels] = grid(1, len(corruptions), height=3.3, sharex=False, sharey=False)
    for axes, corruption in zip(panels, corruptions, strict=True):
        here = select(observations, corruption=corruption)
        if len(numbers_along(here, "share")) > 1:
            for method in reversed(methods):
                points = along(select(here, method=method), "share", "final_reward")
                sweep(axes, {100 * share: found for share, found in points.items()}, look(method))
            zero(axes)
            axes.set_xlabel(f"{label_of(corruption)} prompts (%)")
            axes.set_ylabel("final reward (0 base policy, 1 optimum)")
        else:
            _draw_rows(axes, here, methods)
        axes.set_title(label_of(corruption))
    return finished(figure, [panels], methods)


def _draw_rows(axes: Axes, observations: Sequence[Observation], methods: Sequence[str]) -> None:
    for place, method in enumerate(methods):
        row(axes, float(place), by_seed(select(observations, method=method), "final_reward"), look(method))
    axes.set_yticks(range(len(methods)), [label_of(method) for method in methods])
    axes.set_ylim(len(methods) - 0.4, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("final reward (0 base policy, 1 optimum)")


def _effects(observations: Sequence[Observation]) -> list[Effect]:
    """Each hybrid minus each parent, in each setting."""
    found = []
    for corruption in names_along(observations, "corruption"):
        here = select(observations, corruption=corruption)
        shares = numbers_along(here, "share")
        for share in shares:
            cell = select(here, share=share)
            setting = f"{label_of(corruption)} {share:.0%}" if len(shares) > 1 else label_of(corruption)
            values = {name: by_seed(select(cell, method=name), "final_reward") for name in names_along(cell, "method")}
            found += [
                Effect(
                    setting,
                    f"final reward: {label_of(child)} − {label_of(parent)}",
                    paired_difference(values[child], values[parent]),
                )
                for child in ("hybrid", "gated", "kl_gated")
                if child in values
                for parent in ("sdpo", "rloo")
                if parent in values
            ]
    return found


FIGURE = ReportFigure(
    name="hybrid",
    experiment="F10",
    title="Hybrids",
    question="Does a mixture of self-distillation and reward beat both when some feedback cannot be trusted?",
    caption=(
        "Misleading: a share of the prompts gets feedback that points the wrong way, while the scalar reward stays "
        "honest. Mixed regimes: each prompt has its own regime and noise. Hybrid mixes both losses with a fixed "
        "weight; gated counts self-distillation only where the implicit reward agrees with the scalar; KL-gated, as "
        "published, counts it the more, the further the teacher is from the student. Below 0 the policy is worse than "
        "the base policy. Means over seeds with 95 % intervals; small dots are seeds."
    ),
    draw=_draw,
    effects=_effects,
)
