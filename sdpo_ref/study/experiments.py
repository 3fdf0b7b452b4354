"""The study's experiments: one function for each claim, in the order of the claims.

Cells of one experiment differ in what the claim is about and in nothing else. Methods have the settings that tuning
chose for them at the default noise, wherever the sweep goes.
"""

from collections.abc import Callable, Iterator, Mapping

from sdpo_ref.simulation.run_settings import TaskSettings
from sdpo_ref.simulation.settings import RegimeName, RegimeSettings
from sdpo_ref.study.experiment import Cell, Experiment, Experiments, Label
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


_experiment = Experiments()


@_experiment(
    "F01",
    "Reward in five regimes",
    "Does SDPO end with a higher true reward than every baseline, in every regime of feedback?",
)
@_experiment("F02", "Convergence", "Is SDPO ahead from early on, and does it stay ahead?")
@_experiment(
    "F03",
    "Credit assignment",
    "Does the implicit reward track the true advantage of tokens better than what baselines broadcast?",
)
@_experiment("F11", "Reliability", "How much do results differ between seeds, and does any run collapse?")
def every_regime_and_method() -> Iterator[Cell]:
    """The runs behind reward, convergence, credit and spread over seeds."""
    for regime in REGIMES:
        for method in (*SELF_DISTILLING, *BASELINES):
            yield _cell(run_settings(regime, tuned(method, regime)), regime=regime, method=method)


@_experiment("F04", "Diversity", "How much diversity does SDPO cost, at equal learning rates and at equal reward?")
def f04() -> Iterator[Cell]:
    """Diversity at equal learning rates and at each method's own."""
    for method in ("sdpo", *SWEPT_BASELINES):
        for rate in (0.05, 0.1, 0.2, 0.4):
            settings = run_settings("scalar", tuned(method, "scalar", learning_rate=rate))
            yield _cell(settings, method=method, learning_rate=rate)


@_experiment("F05", "The KL knob", "What reward does each method give at each level of diversity?")
def f05() -> Iterator[Cell]:
    """The KL knob."""
    for method in ("sdpo", *SWEPT_BASELINES):
        for weight in (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3):
            settings = run_settings("scalar", tuned(method, "scalar", kl_weight=weight))
            yield _cell(settings, method=method, kl_weight=weight)


@_experiment("F06", "Noise", "Does SDPO stay ahead as ratings get noisier, from none to half of the scale?")
def f06() -> Iterator[Cell]:
    """Noise in the ratings."""
    for regime in REGIMES:
        for noise in (0.0, 0.05, 0.15, 0.3, 0.5):
            for method in ("sdpo", *SWEPT_BASELINES):
                settings = run_settings(regime, tuned(method, regime), noise=noise)
                yield _cell(settings, regime=regime, noise=noise, method=method)


@_experiment(
    "F07",
    "The gradient under noise",
    "Is the implicit reward exact, and does noise leave the expected gradient's direction as it is?",
)
def f07() -> Iterator[Cell]:
    """The direction of the gradient under noise."""
    for regime in REGIMES:
        for noise in (0.05, 0.15, 0.3, 0.5):
            yield _cell(probe_settings(regime, noise=noise), regime=regime, noise=noise)


@_experiment("F08", "Biases", "Does SDPO stay ahead when evaluators are biased, and does positivity widen its lead?")
def f08() -> Iterator[Cell]:
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
    for bias, strengths in biases.items():
        for strength in strengths:
            for regime in ("rubric",) if bias == "halo" else _RICH:
                for method in ("sdpo", *SWEPT_BASELINES):
                    oracle = {} if bias == "none" else {bias: strength}
                    settings = run_settings(regime, tuned(method, regime), oracle=oracle)
                    yield _cell(settings, bias=bias, strength=strength, regime=regime, method=method)


@_experiment(
    "F09", "Complexity", "Does the lead shrink as the world grows, for the same corpus, and does a subspace restore it?"
)
def f09() -> Iterator[Cell]:
    """Complexity at a fixed budget of annotations, with and without the subspace."""
    axes: Mapping[str, tuple[int, ...]] = {"vocab": (16, 32, 64, 128, 256), "time": (4, 8, 16), "aspects": (2, 4, 8)}
    for axis, sizes in axes.items():
        for size in sizes:
            world = {axis: size}
            for basis in ("embedding", "token"):
                settings = run_settings("scalar", tuned("sdpo", "scalar"), world=world, basis=basis, measure_every=20)
                yield _cell(settings, axis=axis, size=float(size), method="sdpo", basis=basis)
            for method in ("rloo", "grpo"):
                settings = run_settings("scalar", tuned(method, "scalar"), world=world, measure_every=20)
                yield _cell(settings, axis=axis, size=float(size), method=method, basis="none")


@_experiment(
    "F10",
    "Mixed feedback quality",
    "Does a hybrid beat both of its parents where the quality of feedback differs between prompts?",
)
def f10() -> Iterator[Cell]:
    """Heterogeneous feedback: misleading prompts, and regimes that differ from prompt to prompt."""
    mixed = (
        RegimeSettings(regime="critique", noise=0.05),
        RegimeSettings(regime="critique", noise=0.5),
        RegimeSettings(regime="scalar", noise=0.15),
        RegimeSettings(regime="ordinal", noise=0.3),
    )
    for method in ("sdpo", "hybrid", "gated", "kl_gated", "rloo", "advantage_weighted"):
        for share in (0.0, 0.25, 0.5, 0.75):
            settings = run_settings("critique", tuned(method, "critique"), oracle={"misleading_share": share})
            yield _cell(settings, corruption="misleading", share=share, method=method)
        settings = mixed_settings(tuned(method, "scalar"), mixed)
        yield _cell(settings, corruption="mixed regimes", share=1.0, method=method)


@_experiment(
    "F12",
    "Controls",
    "Does SDPO gain nothing from feedback that says nothing, and lose when the reader overrates itself?",
)
def f12() -> Iterator[Cell]:
    """Controls under which SDPO must gain nothing, or lose."""
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


@_experiment(
    "F13",
    "Where the lead comes from",
    "What remains of SDPO's lead once baselines have the reader's knowledge and each span's rating?",
)
def f13() -> Iterator[Cell]:
    """Information, knowledge and density: the same for all methods, one after the other."""
    for regime in REGIMES:
        for student in ("table", "features"):
            for method in ("sdpo", "rloo", "grpo", "span_rloo"):
                if method != "span_rloo" or regime == "critique":
                    settings = run_settings(regime, tuned(method, regime, student))
                    yield _cell(settings, regime=regime, method=method, student=student)


@_experiment("R01", "Teachers", "Does it matter whose weights the teacher has?")
def r01() -> Iterator[Cell]:
    """Robustness: kinds of teacher weights."""
    for regime in _RICH:
        for teacher in ("live", "ema", "frozen", "trust_region", "frozen_difference"):
            yield _cell(run_settings(regime, tuned("sdpo", regime, teacher=teacher)), teacher=teacher, regime=regime)


@_experiment("R02", "Coherence", "Does the picture hold when the worth of a token depends on its neighbour?")
def r02() -> Iterator[Cell]:
    """Robustness: a score that is no sum over single tokens."""
    for method in ("sdpo", *SWEPT_BASELINES):
        for coherence in (0.0, 0.5, 1.0):
            yield _cell(
                run_settings("scalar", tuned(method, "scalar"), world={"coherence": coherence}),
                method=method,
                coherence=coherence,
            )


@_experiment(
    "R03",
    "Without noise",
    "Who is ahead when ratings have no noise, at which learning rate, and does the scale's end matter?",
)
def r03() -> Iterator[Cell]:
    """Robustness: ratings without noise, on a scale whose end the optimum reaches, and on one where it does not."""
    for regime in ("scalar", "rubric"):
        for slope in (1.0, 0.25):
            for method in ("sdpo", "rloo", "grpo"):
                for rate in (0.1, 0.2, 0.4):
                    settings = run_settings(
                        regime, tuned(method, regime, learning_rate=rate), noise=0.0, world={"slope": slope}
                    )
                    yield _cell(settings, regime=regime, slope=slope, method=method, learning_rate=rate)


@_experiment("R04", "Told noise", "Does it matter whether the reader is told how noisy ratings are?")
def r04() -> Iterator[Cell]:
    """Robustness: noise of half of the scale, of which the reader is told less than a third, or the truth."""
    for regime in _RICH:
        arms = {
            "sdpo": run_settings(regime, tuned("sdpo", regime), noise=0.5),
            "told .15": run_settings(regime, tuned("sdpo", regime), noise=0.5, told=0.15),
            "rloo": run_settings(regime, tuned("rloo", regime), noise=0.5),
        }
        for arm, settings in arms.items():
            yield _cell(settings, regime=regime, noise=0.5, arm=arm)


EXPERIMENTS: Mapping[str, Callable[[], Experiment]] = {**dict(sorted(_experiment.items())), **PUBLISHED}
"""Name to the experiment: F01 to F13 of our claims, four checks of robustness, the published study and its controls."""
