"""The study's experiments: one function for each claim, in the order of the claims.

Cells of one experiment differ in what the claim is about and in nothing else. Methods have the settings that tuning
chose for them at the default noise, wherever the sweep goes.
"""

from collections.abc import Callable, Iterator, Mapping

from sdpo_ref.simulation.run_settings import TaskSettings
from sdpo_ref.simulation.settings import RegimeName, RegimeSettings
from sdpo_ref.study.experiment import Cell, Experiment, Label
from sdpo_ref.study.published import PUBLISHED
from sdpo_ref.study.settings import (
    BASELINES,
    REGIMES,
    SELF_DISTILLING,
    SWEPT_BASELINES,
    mixed_settings,
    probe_settings,
    run_settings,
)
from sdpo_ref.study.tuning import tuned

_RICH: tuple[RegimeName, ...] = ("scalar", "critique")
"""Regimes of the sweeps: the poorest continuous feedback, and the richest."""


def _cell(settings: TaskSettings, **labels: Label) -> Cell:
    return Cell(labels=labels, settings=settings)


def _every_regime_and_method() -> Iterator[Cell]:
    for regime in REGIMES:
        for method in (*SELF_DISTILLING, *BASELINES):
            yield _cell(run_settings(regime, tuned(method, regime)), regime=regime, method=method)


def f01() -> Experiment:
    """Reward against every baseline in the four regimes."""
    return Experiment(
        name="F01",
        title="Reward in four regimes",
        question="Does SDPO end with a higher true reward than every baseline, in every regime of feedback?",
        cells=tuple(_every_regime_and_method()),
    )


def f02() -> Experiment:
    """Convergence; the runs of F01."""
    return Experiment(
        name="F02",
        title="Convergence",
        question="Is SDPO ahead from early on, and does it stay ahead?",
        cells=tuple(_every_regime_and_method()),
    )


def f03() -> Experiment:
    """Credit assignment; the runs of F01."""
    return Experiment(
        name="F03",
        title="Credit assignment",
        question="Does the implicit reward track the true advantage of tokens better than what baselines broadcast?",
        cells=tuple(_every_regime_and_method()),
    )


def f04() -> Experiment:
    """Diversity at equal learning rates and at each method's own."""

    def cells() -> Iterator[Cell]:
        for method in ("sdpo", *SWEPT_BASELINES):
            for rate in (0.05, 0.1, 0.2, 0.4):
                settings = run_settings("scalar", tuned(method, "scalar", learning_rate=rate))
                yield _cell(settings, method=method, learning_rate=rate)

    return Experiment(
        name="F04",
        title="Diversity",
        question="How much diversity does SDPO cost, at equal learning rates and at equal reward?",
        cells=tuple(cells()),
    )


def f05() -> Experiment:
    """The KL knob."""

    def cells() -> Iterator[Cell]:
        for method in ("sdpo", *SWEPT_BASELINES):
            for weight in (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3):
                settings = run_settings("scalar", tuned(method, "scalar", kl_weight=weight))
                yield _cell(settings, method=method, kl_weight=weight)

    return Experiment(
        name="F05",
        title="The KL knob",
        question="What reward does each method give at each level of diversity?",
        cells=tuple(cells()),
    )


def f06() -> Experiment:
    """Noise in the ratings."""

    def cells() -> Iterator[Cell]:
        for regime in REGIMES:
            for noise in (0.0, 0.05, 0.15, 0.3, 0.5):
                for method in ("sdpo", *SWEPT_BASELINES):
                    settings = run_settings(regime, tuned(method, regime), noise=noise)
                    yield _cell(settings, regime=regime, noise=noise, method=method)

    return Experiment(
        name="F06",
        title="Noise",
        question="Does SDPO stay ahead as ratings get noisier, from none to half of the scale?",
        cells=tuple(cells()),
    )


def f07() -> Experiment:
    """The direction of the gradient under noise."""
    return Experiment(
        name="F07",
        title="The gradient under noise",
        question="Is the implicit reward exact, and does noise leave the expected gradient's direction as it is?",
        cells=tuple(
            _cell(probe_settings(regime, noise=noise), regime=regime, noise=noise)
            for regime in REGIMES
            for noise in (0.05, 0.15, 0.3, 0.5)
        ),
    )


def f08() -> Experiment:
    """Systematic biases of the evaluator."""
    biases: Mapping[str, tuple[float, ...]] = {
        "none": (0.0,),
        "positivity": (0.3, 0.6, 0.8),
        "severity": (0.6,),
        "central_tendency": (0.6,),
        "verbosity": (1.0,),
        "position": (0.5,),
        "self_preference": (1.0,),
        "halo": (0.6,),
    }

    def cells() -> Iterator[Cell]:
        for bias, strengths in biases.items():
            for strength in strengths:
                for regime in ("rubric",) if bias == "halo" else _RICH:
                    for method in ("sdpo", *SWEPT_BASELINES):
                        oracle = {} if bias == "none" else {bias: strength}
                        settings = run_settings(regime, tuned(method, regime), oracle=oracle)
                        yield _cell(settings, bias=bias, strength=strength, regime=regime, method=method)

    return Experiment(
        name="F08",
        title="Biases",
        question="Does SDPO stay ahead when evaluators are biased, and does positivity widen its lead?",
        cells=tuple(cells()),
    )


def f09() -> Experiment:
    """Complexity at a fixed budget of annotations, with and without the subspace."""
    axes: Mapping[str, tuple[int, ...]] = {"vocab": (16, 32, 64, 128, 256), "time": (4, 8, 16), "aspects": (2, 4, 8)}

    def cells() -> Iterator[Cell]:
        for axis, sizes in axes.items():
            for size in sizes:
                world = {axis: size}
                for basis in ("embedding", "token"):
                    settings = run_settings(
                        "scalar", tuned("sdpo", "scalar"), world=world, basis=basis, measure_every=20
                    )
                    yield _cell(settings, axis=axis, size=float(size), method="sdpo", basis=basis)
                for method in ("rloo", "grpo"):
                    settings = run_settings("scalar", tuned(method, "scalar"), world=world, measure_every=20)
                    yield _cell(settings, axis=axis, size=float(size), method=method, basis="none")

    return Experiment(
        name="F09",
        title="Complexity",
        question="Does the lead shrink as the world grows, for the same corpus, and does a subspace restore it?",
        cells=tuple(cells()),
    )


def f10() -> Experiment:
    """Heterogeneous feedback: misleading prompts, and regimes that differ from prompt to prompt."""
    mixed = (
        RegimeSettings(regime="critique", noise=0.05),
        RegimeSettings(regime="critique", noise=0.5),
        RegimeSettings(regime="scalar", noise=0.15),
        RegimeSettings(regime="ordinal", noise=0.3),
    )

    def cells() -> Iterator[Cell]:
        for method in ("sdpo", "hybrid", "gated", "rloo"):
            for share in (0.0, 0.25, 0.5, 0.75):
                settings = run_settings("critique", tuned(method, "critique"), oracle={"misleading_share": share})
                yield _cell(settings, corruption="misleading", share=share, method=method)
            settings = mixed_settings(tuned(method, "scalar"), mixed)
            yield _cell(settings, corruption="mixed regimes", share=1.0, method=method)

    return Experiment(
        name="F10",
        title="Mixed feedback quality",
        question="Does a hybrid beat both of its parents where the quality of feedback differs between prompts?",
        cells=tuple(cells()),
    )


def f11() -> Experiment:
    """Spread over seeds; the runs of F01."""
    return Experiment(
        name="F11",
        title="Reliability",
        question="How much do results differ between seeds, and does any run collapse?",
        cells=tuple(_every_regime_and_method()),
    )


def f12() -> Experiment:
    """Controls under which SDPO must gain nothing, or lose."""

    def cells() -> Iterator[Cell]:
        for regime in REGIMES:
            arms = {
                "sdpo": run_settings(regime, tuned("sdpo", regime)),
                "constant": run_settings(regime, tuned("sdpo", regime, placebo="constant")),
                "deranged": run_settings(regime, tuned("sdpo", regime, placebo="deranged")),
                "weak reader": run_settings(regime, tuned("sdpo", regime), world={"annotations": 2}),
                "overconfident reader": run_settings(
                    regime, tuned("sdpo", regime), world={"annotations": 2}, overconfident=True
                ),
                "rloo": run_settings(regime, tuned("rloo", regime)),
            }
            for arm, settings in arms.items():
                yield _cell(settings, regime=regime, arm=arm)

    return Experiment(
        name="F12",
        title="Controls",
        question="Does SDPO gain nothing from feedback that says nothing, and lose when the reader overrates itself?",
        cells=tuple(cells()),
    )


def f13() -> Experiment:
    """Information, knowledge and density: the same for all methods, one after the other."""

    def cells() -> Iterator[Cell]:
        for regime in REGIMES:
            for student in ("table", "features"):
                for method in ("sdpo", "rloo", "grpo", "span_rloo"):
                    if method != "span_rloo" or regime == "critique":
                        settings = run_settings(regime, tuned(method, regime, student))
                        yield _cell(settings, regime=regime, method=method, student=student)

    return Experiment(
        name="F13",
        title="Where the lead comes from",
        question="What remains of SDPO's lead once baselines have the reader's knowledge and each span's rating?",
        cells=tuple(cells()),
    )


def r01() -> Experiment:
    """Robustness: kinds of teacher weights."""
    return Experiment(
        name="R01",
        title="Teachers",
        question="Does it matter whose weights the teacher has?",
        cells=tuple(
            _cell(run_settings(regime, tuned("sdpo", regime, teacher=teacher)), teacher=teacher, regime=regime)
            for regime in _RICH
            for teacher in ("live", "ema", "frozen", "trust_region", "frozen_difference")
        ),
    )


def r02() -> Experiment:
    """Robustness: a score that is no sum over single tokens."""
    return Experiment(
        name="R02",
        title="Coherence",
        question="Does the picture hold when the worth of a token depends on its neighbour?",
        cells=tuple(
            _cell(
                run_settings("scalar", tuned(method, "scalar"), world={"coherence": coherence}),
                method=method,
                coherence=coherence,
            )
            for method in ("sdpo", *SWEPT_BASELINES)
            for coherence in (0.0, 0.5, 1.0)
        ),
    )


def r03() -> Experiment:
    """Robustness: ratings without noise, on a scale whose end the optimum reaches, and on one where it does not."""

    def cells() -> Iterator[Cell]:
        for regime in ("scalar", "rubric"):
            for slope in (1.0, 0.25):
                for method in ("sdpo", "rloo", "grpo"):
                    for rate in (0.1, 0.2, 0.4):
                        settings = run_settings(
                            regime, tuned(method, regime, learning_rate=rate), noise=0.0, world={"slope": slope}
                        )
                        yield _cell(settings, regime=regime, slope=slope, method=method, learning_rate=rate)

    return Experiment(
        name="R03",
        title="Without noise",
        question="Who is ahead when ratings have no noise, at which learning rate, and does the scale's end matter?",
        cells=tuple(cells()),
    )


EXPERIMENTS: Mapping[str, Callable[[], Experiment]] = {
    **{
        made.__name__.upper(): made
        for made in (f01, f02, f03, f04, f05, f06, f07, f08, f09, f10, f11, f12, f13, r01, r02, r03)
    },
    **PUBLISHED,
}
"""Name to the experiment: our claims F01 to F13, three checks of robustness, the published study and its controls."""
