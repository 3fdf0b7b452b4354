"""Rewards and SDPO's advantage while raters grow less consistent, by noise and by the bits that remain (F06)."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sdpo_ref.simulation.oracles.information import feedback_information
from sdpo_ref.simulation.settings import RegimeSettings, WorldSettings
from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import names_along, numbers_along, select
from sdpo_ref.study.report.figures.comparisons import (
    BEST_BASELINE,
    SAME_BASELINES,
    advantage_along,
    advantage_effect,
    along,
    by_regime,
)
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure, no_effects
from sdpo_ref.study.report.figures.marks import sweep, zero
from sdpo_ref.study.report.figures.panels import finished, grid
from sdpo_ref.study.report.figures.style import in_order, look
from sdpo_ref.study.summary import Estimate

_Array = npt.NDArray[np.float64]


def _noise(observations: Sequence[Observation]) -> Figure:
    """Above the rewards, below the advantage, a column for each regime."""
    regimes, methods = list(by_regime(observations)), in_order(names_along(observations, "method"))
    figure, panels = grid(2, len(regimes), height=4.6, sharey="row")
    for (above, below), (regime, here) in zip(zip(*panels, strict=True), regimes, strict=True):
        for method in reversed(methods):
            sweep(above, _percent(along(select(here, method=method), "noise", "final_reward")), look(method))
        sweep(below, _percent(advantage_along(here, "noise", "final_reward")), look("sdpo"))
        zero(below)
        for axes in (above, below):
            _widen(axes, numbers_along(here, "noise"))
        above.set_title(regime)
    panels[0][0].set_ylabel("final reward")
    panels[1][0].set_ylabel("SDPO − best baseline")
    figure.supxlabel("noise of each rating (standard deviation, % of the scale)")
    return finished(figure, panels, methods)


def _widen(axes: Axes, noises: Sequence[float]) -> None:
    """In square roots, so that what changes between no noise and a little is seen; a tick at each level."""
    axes.set_xscale("function", functions=(_signed_root, _signed_square))
    axes.set_xticks([100 * noise for noise in noises], [f"{100 * noise:g}" for noise in noises])
    axes.minorticks_off()


def _signed_root(places: _Array) -> _Array:
    return np.sign(places) * np.sqrt(np.abs(places))


def _signed_square(places: _Array) -> _Array:
    return places * np.abs(places)


def _percent(points: dict[float, Estimate | None]) -> dict[float, Estimate | None]:
    return {100 * place: value for place, value in points.items()}


def _noise_effects(observations: Sequence[Observation]) -> list[Effect]:
    """Advantage at each level of noise in each regime."""
    return [
        advantage_effect(
            select(here, noise=noise), "final_reward", setting=f"{regime}, noise {noise:.0%}", noun="final reward"
        )
        for regime, here in by_regime(observations)
        for noise in numbers_along(here, "noise")
    ]


NOISE = ReportFigure(
    name="noise",
    experiment="F06",
    title="Noise",
    question="Does the advantage survive when raters are less and less consistent?",
    caption=(
        "Noise sits on every rating of the oracle. Above: final reward (0 base policy, 1 optimum). Below: SDPO minus "
        "the best baseline; above the line SDPO is ahead. The horizontal axis is in square roots, because order "
        "changes between no noise and a little. To keep more than half of the noiseless reward at the most noise "
        "(F06, 'graceful') tells no method from another: every bundled one does. Means over seeds with 95 % "
        f"intervals. {SAME_BASELINES} {BEST_BASELINE}"
    ),
    draw=_noise,
    effects=_noise_effects,
)


def _information(observations: Sequence[Observation]) -> Figure:
    """Left SDPO's reward, right its advantage; a line for each regime, a mark for each level of noise."""
    figure, [[left, right]] = grid(1, 2, height=3.2, sharey=False)
    regimes = list(by_regime(observations))
    for regime, here in regimes:
        sweep(left, _by_bits(regime, along(select(here, method="sdpo"), "noise", "final_reward")), look(regime))
        sweep(right, _by_bits(regime, advantage_along(here, "noise", "final_reward")), look(regime))
    zero(right)
    left.set_ylabel("final reward of SDPO")
    right.set_ylabel("final reward: SDPO − best baseline")
    figure.supxlabel("information of one completion's feedback about its tokens (bits)")
    return finished(figure, [[left, right]], [regime for regime, _ in regimes])


def _by_bits(regime: str, by_noise: Mapping[float, Estimate | None]) -> dict[float, Estimate | None]:
    """The same estimates along bits; without noise all but the ordinal level have infinitely many and are left out."""
    return {
        feedback_information(
            WorldSettings(), RegimeSettings.model_validate({"regime": regime, "noise": noise})
        ).token_bits: found
        for noise, found in by_noise.items()
        if noise > 0
    }


INFORMATION = ReportFigure(
    name="information",
    experiment="F06",
    title="Informativeness",
    question="Does the amount of information in feedback decide, or its form?",
    caption=(
        "The runs of the noise sweep again, against the mutual information between one completion's feedback and the "
        "qualities of its tokens under the linear-Gaussian model, in bits. Each line is one regime, each mark a level "
        "of noise, the noisiest on the left. Within a line noise is what changes the bits, so that right a line that "
        "falls says that noise hurts the baselines more than SDPO, and not that less information is an advantage; only "
        "lines compared with each other say something about form. Means over seeds with 95 % intervals. "
        f"{BEST_BASELINE}"
    ),
    draw=_information,
    effects=no_effects,
)
