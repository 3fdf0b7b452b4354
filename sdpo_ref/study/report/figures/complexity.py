"""SDPO's advantage as the world grows at a fixed annotation budget, in both bases of the reader (F09)."""

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import names_along, numbers_along, select
from sdpo_ref.study.report.figures.comparisons import BEST_BASELINE, advantage, advantage_along, along
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.report.figures.marks import sweep, zero
from sdpo_ref.study.report.figures.panels import finished, grid
from sdpo_ref.study.report.figures.style import label_of, look
from sdpo_ref.study.summary import Estimate, paired_ratio

_BASES = ("embedding", "token")
_NAMES = {"vocab": "vocabulary (tokens)", "time": "length (positions)", "aspects": "aspects"}


def _draw(observations: Sequence[Observation]) -> Figure:
    """Advantage, share of it that the token basis keeps, and loading correlation; a column for each axis."""
    axes_of_growth = names_along(observations, "axis")
    figure, panels = grid(3, len(axes_of_growth), height=6.0, sharex="col", sharey="row")
    for column, axis in enumerate(axes_of_growth):
        here = select(observations, axis=axis)
        sizes = numbers_along(here, "size")
        above, middle, below = (line[column] for line in panels)
        for basis in _BASES:
            sweep(above, advantage_along(list(_with_baselines(here, basis)), "size", "final_reward"), look(basis))
            readers = select(here, method="sdpo", basis=basis)
            sweep(below, along(readers, "size", "loading_correlation"), look(basis))
        sweep(middle, {size: _share(here, size) for size in sizes}, look("token"))
        zero(above)
        zero(middle, at=1.0)
        _scale(below, sizes)
        below.set_xlabel(_NAMES.get(axis, axis))
        above.set_title(label_of(axis))
    for line, title in zip(
        panels,
        (
            "final reward:\nSDPO − best baseline",
            "share of the advantage\nin the token basis",
            "loading correlation ρ\nof the reader",
        ),
        strict=True,
    ):
        line[0].set_ylabel(title)
    return finished(figure, panels, _BASES)


def _with_baselines(observations: Sequence[Observation], basis: str) -> Iterator[Observation]:
    """SDPO in one basis, and all that has no reader."""
    return (one for one in observations if one.labels.get("basis") in {basis, "none"})


def _share(observations: Sequence[Observation], size: float) -> Estimate | None:
    """Advantage in the token basis as a share of that in the subspace."""
    here = select(observations, size=size)
    full, subspace = (advantage(list(_with_baselines(here, basis)), "final_reward") for basis in ("token", "embedding"))
    return None if full is None or subspace is None else paired_ratio(full.by_seed, subspace.by_seed)


def _scale(axes: Axes, sizes: Sequence[float]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.minorticks_off()


def _effects(observations: Sequence[Observation]) -> list[Effect]:
    """Advantage in both bases and their ratio, at the least and the greatest size of each axis."""
    found = []
    for axis in names_along(observations, "axis"):
        here = select(observations, axis=axis)
        sizes = numbers_along(here, "size")
        for size in dict.fromkeys((sizes[0], sizes[-1])):
            setting, cell = f"{label_of(axis)} {size:g}", select(here, size=size)
            for basis in _BASES:
                gain = advantage(list(_with_baselines(cell, basis)), "final_reward")
                quantity = f"final reward: SDPO, {basis} basis − {label_of(gain.baseline) if gain else 'best baseline'}"
                found.append(Effect(setting, quantity, gain.difference if gain else None))
            found.append(Effect(setting, "token basis, share of the subspace's advantage", _share(here, size)))
    return found


FIGURE = ReportFigure(
    name="complexity",
    experiment="F09",
    title="Complexity",
    question="Does the advantage shrink as the world grows, and does a reader in the embedding subspace restore it?",
    caption=(
        "The annotated corpus has the same budget throughout. Token: the reader learns a loading for each token; "
        "embedding: in the subspace of the token embeddings. Above: SDPO minus the best baseline. Middle: the "
        "advantage in the token basis divided by that in the subspace (interval by the delta method; left out where "
        "the divisor's own interval holds zero, and noise where it nearly does). Below: correlation of the reader's "
        f"loadings with the true ones. Means over seeds with 95 % intervals. {BEST_BASELINE}"
    ),
    draw=_draw,
    effects=_effects,
)
