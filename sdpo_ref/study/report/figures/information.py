"""Rewards and SDPO's advantage against the information in the feedback, in bits (F06 once more)."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from sdpo_ref.simulation.oracles.information import feedback_information
from sdpo_ref.simulation.settings import RegimeSettings, WorldSettings
from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import select
from sdpo_ref.study.report.figures.comparisons import BEST_BASELINE, advantage_along, along, by_regime
from sdpo_ref.study.report.figures.figure import ReportFigure, no_effects
from sdpo_ref.study.report.figures.marks import sweep, zero
from sdpo_ref.study.report.figures.panels import finish, grid, legend
from sdpo_ref.study.report.figures.style import look
from sdpo_ref.study.summary import Estimate


def draw(observations: Sequence[Observation]) -> Figure:
    """Left SDPO's reward, right its advantage; a line for each regime, a mark for each level of noise.

    Args:
        observations: of F06.
    """
    figure, [[left, right]] = grid(1, 2, height=3.2, sharey=False)
    regimes = list(by_regime(observations))
    for regime, here in regimes:
        sweep(left, _by_bits(regime, along(select(here, method="sdpo"), "noise", "final_reward")), look(regime))
        sweep(right, _by_bits(regime, advantage_along(here, "noise", "final_reward")), look(regime))
    zero(right)
    left.set_ylabel("final reward of SDPO")
    right.set_ylabel("final reward: SDPO − best baseline")
    figure.supxlabel("information of one completion's feedback about its tokens (bits)")
    finish([[left, right]])
    legend(figure, [regime for regime, _ in regimes])
    return figure


def _by_bits(regime: str, by_noise: Mapping[float, Estimate | None]) -> dict[float, Estimate | None]:
    """The same estimates along bits; without noise all but the ordinal level have infinitely many and are left out."""
    return {
        feedback_information(
            WorldSettings(), RegimeSettings.model_validate({"regime": regime, "noise": noise})
        ).token_bits: found
        for noise, found in by_noise.items()
        if noise > 0
    }


FIGURE = ReportFigure(
    name="information",
    experiment="F06",
    title="Informativeness",
    question="Does the amount of information in feedback decide, or its form?",
    caption=(
        "The runs of the noise sweep again, against the mutual information between one completion's feedback and the "
        "qualities of its tokens under the linear-Gaussian model, in bits. Each line is one regime, each mark a level "
        f"of noise, the noisiest on the left. Means over seeds with 95 % intervals. {BEST_BASELINE}"
    ),
    draw=draw,
    effects=no_effects,
)
