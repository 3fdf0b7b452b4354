"""What noise does to the direction of SDPO's gradient, and the implicit-reward identity (F07)."""

from collections.abc import Sequence
from dataclasses import replace

from matplotlib.figure import Figure

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import by_seed, numbers_along, select
from sdpo_ref.study.report.figures.comparisons import along, by_regime, mean_of
from sdpo_ref.study.report.figures.figure import Effect, ReportFigure
from sdpo_ref.study.report.figures.marks import sweep
from sdpo_ref.study.report.figures.panels import finished, grid
from sdpo_ref.study.report.figures.style import FAINT, look
from sdpo_ref.study.summary import Estimate, estimate

_BOUND = 1e-10
_FLOOR = 1e-17
_POWERS = range(-17, -9, 2)


def _draw(observations: Sequence[Observation]) -> Figure:
    """Cosine of one gradient and of the mean gradient with the one without noise; the identity's error."""
    figure, [panels] = grid(1, 3, height=2.9, sharey=False)
    one, mean, error = panels
    regimes = list(by_regime(observations))
    for regime, here in regimes:
        for axes, metric in ((one, "single_direction"), (mean, "direction")):
            points = along(here, "noise", metric)
            sweep(axes, {100 * noise: found for noise, found in points.items()}, look(regime))
        sweep(error, {100 * noise: _worst(here, noise) for noise in numbers_along(here, "noise")}, look(regime))
    lowest = min(one.get_ylim()[0], mean.get_ylim()[0])
    for axes, title in ((one, "one gradient"), (mean, "mean gradient")):
        axes.set_ylim(min(lowest, 0.95), 1.01)
        axes.set_title(title)
    one.set_ylabel("cosine with the gradient without noise")
    error.set_title("identity")
    error.set_ylabel("largest error (nats)")
    error.set_yscale("log")
    error.set_ylim(_FLOOR / 3, 10 * _BOUND)
    error.set_yticks([10.0**power for power in _POWERS], [f"1e{power}" for power in _POWERS])
    error.minorticks_off()
    error.axhline(_BOUND, color=FAINT, linewidth=0.8, linestyle=(0, (2, 2)))
    error.annotate(
        "bar: 1e-10",
        (0.0, _BOUND),
        xycoords=("axes fraction", "data"),
        xytext=(3, 2),
        textcoords="offset points",
        color=FAINT,
        fontsize=7.5,
    )
    figure.supxlabel("noise of each rating (standard deviation, % of the scale)")
    return finished(figure, [panels], [regime for regime, _ in regimes])


def _worst(observations: Sequence[Observation], noise: float) -> Estimate | None:
    """Largest error over seeds, without interval; zero stands at the lower end of the axis."""
    errors = by_seed(select(observations, noise=noise), "identity_error").values()
    found = estimate([max(_FLOOR, *errors)]) if errors else None
    return None if found is None else replace(found, half_width=None)


def _effects(observations: Sequence[Observation]) -> list[Effect]:
    """Directions at the largest noise."""
    found = []
    for regime, here in by_regime(observations):
        noise = max(numbers_along(here, "noise"))
        for metric, noun in (("direction", "the mean gradient"), ("single_direction", "one gradient")):
            mean, quantity = mean_of(select(here, noise=noise), metric), f"cosine of {noun} with the one without noise"
            found.append(Effect(f"{regime}, noise {noise:.0%}", quantity, mean))
    return found


FIGURE = ReportFigure(
    name="direction",
    experiment="F07",
    title="Direction of the gradient",
    question="Does noise turn SDPO's expected gradient, or only scatter it?",
    caption=(
        "SDPO's first gradient on the same rollouts under many draws of the rating noise, compared with the gradient "
        "without noise: the mean cosine of a single draw, and the cosine of the mean over draws. 1 is the same "
        "direction. Right: the largest difference over all seeds between a completion's implicit reward and its "
        "closed form; exact zeros stand at 1e-17. Left and middle: means over seeds with 95 % intervals. One "
        "gradient does turn (left); only its mean does not (middle). No baseline stands beside it: of a policy "
        "gradient the expectation is not turned by unbiased noise either, so that this sets SDPO apart from nothing."
    ),
    draw=_draw,
    effects=_effects,
)
