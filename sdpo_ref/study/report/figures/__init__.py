"""The figures of the report; :data:`FIGURES` has them in the order in which they are shown."""

from collections.abc import Mapping

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
    seeds,
)
from sdpo_ref.study.report.figures.figure import ReportFigure

FIGURES: Mapping[str, ReportFigure] = {
    figure.name: figure
    for figure in (
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
    )
}
"""Name to figure."""
