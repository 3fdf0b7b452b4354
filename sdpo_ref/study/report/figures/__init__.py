"""The figures of the report, one file each; :data:`FIGURES` has them in the order in which they are shown."""

from collections.abc import Mapping

from sdpo_ref.study.report.figures import (
    bias,
    coherence,
    complexity,
    controls,
    credit,
    credit_maps,
    curves,
    decomposition,
    direction,
    diversity,
    final,
    hybrid,
    information,
    noise,
    noiseless,
    pareto,
    seeds,
    teachers,
)
from sdpo_ref.study.report.figures.figure import ReportFigure

FIGURES: Mapping[str, ReportFigure] = {
    module.FIGURE.name: module.FIGURE
    for module in (
        final,
        curves,
        credit,
        credit_maps,
        diversity,
        pareto,
        noise,
        information,
        direction,
        bias,
        complexity,
        hybrid,
        seeds,
        controls,
        decomposition,
        teachers,
        coherence,
        noiseless,
    )
}
"""Name to figure."""
