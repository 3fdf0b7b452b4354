"""The first picture: what each method gains in both worlds, with feedback, without it, and tuned."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.report.figures.panels import grid
from sdpo_ref.study.report.figures.style import FAINT, INK, look
from sdpo_ref.study.report.outside import Arm, World

_TITLES: dict[World, str] = {"published": "In the published study's world", "ours": "In our world"}
_THICK = 0.62
_LONG = 0.6
"""From which gain on a bar has its number inside."""


def _draw(arms: Sequence[Arm]) -> Figure:
    """A bar for each arm, the worlds side by side on the same axis."""
    figure, [panels] = grid(1, len(_TITLES), height=0.85 + 0.3 * len(arms))
    for axes, (world, title) in zip(panels, _TITLES.items(), strict=True):
        for place, arm in enumerate(arms):
            _bar(axes, float(place), arm, world)
        axes.axvline(0.0, color=INK, linewidth=0.8)
        axes.set_title(title)
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(-0.03, 1.02)
        axes.set_xticks([0.0, 0.5, 1.0], ["before training", "half-way", "best possible"])
        first, _, last = axes.get_xticklabels()
        first.set_horizontalalignment("left")
        last.set_horizontalalignment("right")
    panels[0].set_yticks(range(len(arms)), [arm.name for arm in arms])
    panels[0].set_ylim(len(arms) - 0.4, -0.6)
    return figure


def _bar(axes: Axes, place: float, arm: Arm, world: World) -> None:
    """What was gained, with its number at the end of the bar; or why there is nothing."""
    if world not in arm.rewards:
        axes.text(0.012, place, arm.without[world], color=FAINT, fontsize=7.5, va="center", style="italic")
        return
    found, its = arm.rewards[world], look(arm.look)
    shown = found.estimate
    axes.barh(
        place,
        shown.mean,
        height=_THICK,
        color="white" if arm.control else its.color,
        edgecolor=its.color,
        linewidth=1.0,
        hatch="////" if arm.control else None,
    )
    axes.plot([shown.low, shown.high], [place, place], color=INK, linewidth=1.1)
    raw = "" if found.raw is None else f"  (reward {found.raw:.3f})".replace("0.", ".")
    inside = shown.mean > _LONG
    number = f"{shown.mean:.2f}".replace("-0.00", "0.00").replace("0.", ".", 1) if abs(shown.mean) >= 0.005 else "0"
    axes.annotate(
        f"{number}{raw}",
        (shown.low if inside else max(shown.high, 0.0), place),
        xytext=(-4 if inside else 4, 0),
        textcoords="offset points",
        ha="right" if inside else "left",
        va="center",
        fontsize=8,
        color="white" if inside and arm.look == "sdpo" else INK,
    )


def _effects(arms: Sequence[Arm]) -> list[Effect]:
    """Every bar as a number."""
    return [
        Effect(
            arm.name,
            _TITLES[world][0].lower() + _TITLES[world][1:],
            found.estimate,
            "" if found.raw is None else f"mean reward {found.raw:.3f}",
        )
        for arm in arms
        for world, found in arm.rewards.items()
    ]


def lead_figure(arms: Sequence[Arm]) -> ReportFigure:
    """The picture as a figure of the report.

    Args:
        arms: from top to bottom.
    """
    return ReportFigure(
        name="lead",
        experiment="C01, C02, C03, F01, F12",
        title="What is left of the lead",
        question="Is it feedback that SDPO learns from, and do baselines stay behind once they are tuned?",
        caption=(
            "What each method has gained when training ends, as a share of what can be gained: 0 is the policy "
            "before training, 1 the best policy there is, in each seed's own world. Hatched: something was taken "
            "away from SDPO. Left: continuous feedback in the publication's protocol, as published, at one learning "
            "rate for all, and below at the best of seven; in brackets the mean reward on its own scale. Right: "
            "scalar feedback in our world, where no teacher knows the truth and every method is tuned; what "
            "its lead over REINFORCE is made of is the question of F13. Means over 64 seeds, those of the verdicts, "
            "with 95 % intervals."
        ),
        draw=lambda _observations: _draw(arms),
        effects=lambda _observations: _effects(arms),
        again="sdpo-ref claims picture",
    )
