"""The figures of the report, in the order in which they are shown."""

from collections.abc import Mapping, Sequence

from sdpo_ref.study.report.figures import (
    bias,
    coherence,
    complexity,
    credit_maps,
    curves,
    decomposition,
    direction,
    diversity,
    dots,
    hybrid,
    noise,
    noiseless,
    pareto,
    published,
    published_controls,
    seeds,
)
from sdpo_ref.study.report.figures.figure import ReportFigure
from sdpo_ref.study.report.outside import Published

_OURS = (
    decomposition.FIGURE,
    dots.FINAL,
    curves.FIGURE,
    dots.CREDIT,
    credit_maps.FIGURE,
    diversity.FIGURE,
    pareto.FIGURE,
    noise.NOISE,
    noise.INFORMATION,
    direction.FIGURE,
    bias.FIGURE,
    complexity.FIGURE,
    hybrid.FIGURE,
    seeds.FIGURE,
    dots.CONTROLS,
    dots.TEACHERS,
    coherence.FIGURE,
    noiseless.FIGURE,
    dots.TOLD_NOISE,
)


def figures(numbers: Sequence[Published] = ()) -> Mapping[str, ReportFigure]:
    """Name to figure: the published study and its controls, then our own.

    Args:
        numbers: of the publication, to be marked beside ours.
    """
    kinds, pull, noise_, bias_, size, hybrid_, seeds_ = published.published_figures(numbers)
    sign, steps = published_controls.controls_with_numbers(numbers)
    of_published = (
        *(
            kinds,
            published_controls.PLACEBO,
            published_controls.TOLD,
            published_controls.RATES,
            sign,
            published_controls.HINTS,
            published_controls.EQUAL_REWARD,
        ),
        *(
            pull,
            noise_,
            bias_,
            published_controls.EQUAL_MEAN,
            size,
            steps,
            hybrid_,
            seeds_,
            published_controls.CONSTANTS,
        ),
    )
    return {figure.name: figure for figure in (*of_published, *_OURS)}


FIGURES = figures()
"""All of them, without published numbers."""
