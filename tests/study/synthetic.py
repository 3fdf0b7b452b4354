"""Observations that a study could have made, without running it: every label of every experiment."""

import functools
import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence

from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.study.experiment import Cell, Experiment, Label, Observation
from sdpo_ref.study.outcome import CreditMap, Curve, Outcome
from sdpo_ref.study.published import PUBLISHED

REGIMES = ("binary", "ordinal", "scalar", "rubric", "critique")
SELF_DISTILLED = ("sdpo", "hybrid", "gated", "kl_gated", "sdft")
BASELINES = ("reinforce", "advantage_weighted", "rloo", "grpo", "ppo", "dpo")
_SWEPT = ("sdpo", "reinforce", "rloo", "grpo")
_LEVEL = {
    "sdpo": 0.79,
    "hybrid": 0.77,
    "gated": 0.78,
    "kl_gated": 0.765,
    "sdft": 0.6,
    "reinforce": 0.64,
    "rloo": 0.70,
    "span_rloo": 0.76,
    "grpo": 0.695,
    "ppo": 0.66,
    "dpo": 0.58,
    "constant": 0.0,
    "deranged": 0.25,
    "weak reader": 0.62,
    "overconfident reader": 0.5,
    "advantage_weighted": 0.5,
}
_SIGNAL = {"binary": 0.3, "ordinal": 0.37, "scalar": 0.4, "rubric": 0.54, "critique": 0.7}

Labels = dict[str, Label]


def _product(**axes: Sequence[Label]) -> list[Labels]:
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def _biases() -> Iterator[Labels]:
    strengths = {"none": (0.0,), "positivity": (0.3, 0.6, 0.8), "severity": (0.6,), "central_tendency": (0.6,)}
    for bias, values in {**strengths, "verbosity": (1.0,), "halo": (0.6,)}.items():
        regimes = ("rubric",) if bias == "halo" else ("scalar", "critique")
        yield from _product(bias=(bias,), strength=values, regime=regimes, method=_SWEPT)


def _complexity() -> Iterator[Labels]:
    for axis, sizes in {"vocab": (16.0, 64.0, 256.0), "time": (4.0, 8.0, 16.0), "aspects": (2.0, 4.0, 8.0)}.items():
        yield from _product(axis=(axis,), size=sizes, method=("sdpo",), basis=("embedding", "token"))
        yield from _product(axis=(axis,), size=sizes, method=("rloo", "grpo"), basis=("none",))


_EVERYTHING = _product(regime=REGIMES, method=(*SELF_DISTILLED, *BASELINES))
_HYBRIDS = ("sdpo", "hybrid", "gated", "kl_gated", "rloo", "advantage_weighted")

CELLS: Mapping[str, list[Labels]] = {
    **dict.fromkeys(("F01", "F02", "F03", "F11"), _EVERYTHING),
    "F04": _product(method=_SWEPT, learning_rate=(0.05, 0.1, 0.2, 0.4)),
    "F05": _product(method=_SWEPT, kl_weight=(0.0, 0.001, 0.01, 0.03, 0.1)),
    "F06": _product(regime=REGIMES, noise=(0.0, 0.05, 0.15, 0.3, 0.5), method=_SWEPT),
    "F07": _product(regime=REGIMES, noise=(0.05, 0.15, 0.3, 0.5)),
    "F08": list(_biases()),
    "F09": list(_complexity()),
    "F10": [
        *_product(corruption=("misleading",), share=(0.0, 0.25, 0.5, 0.75), method=_HYBRIDS),
        *_product(corruption=("mixed regimes",), share=(1.0,), method=_HYBRIDS),
    ],
    "F12": _product(
        regime=REGIMES, arm=("sdpo", "constant", "deranged", "weak reader", "overconfident reader", "rloo")
    ),
    "F13": [
        *_product(regime=REGIMES, student=("table", "features"), method=("sdpo", "rloo", "grpo")),
        *_product(regime=("critique",), student=("table", "features"), method=("span_rloo",)),
    ],
    "R01": _product(teacher=("live", "ema", "frozen", "trust_region", "frozen_difference"), regime=REGIMES[2::2]),
    "R02": _product(method=_SWEPT, coherence=(0.0, 0.5, 1.0)),
    "R03": _product(
        regime=("scalar", "rubric"), slope=(1.0, 0.25), method=("sdpo", "rloo", "grpo"), learning_rate=(0.1, 0.2, 0.4)
    ),
    "R04": _product(regime=REGIMES[2::2], noise=(0.5,), arm=("sdpo", "told .15", "rloo")),
    **{name: [dict(cell.labels) for cell in make().cells] for name, make in PUBLISHED.items()},
}
"""Experiment to the labels of its cells."""


def observations(name: str, seeds: Sequence[int] = range(5), *, shift: float = 0.0) -> list[Observation]:
    """All cells of an experiment.

    Args:
        name: of the experiment.
        seeds: of the repeats.
        shift: added to every reward.
    """
    return [Observation(labels, seed, outcome(labels, seed, shift=shift)) for seed in seeds for labels in CELLS[name]]


def experiment(name: str, cells: Sequence[Labels] | None = None) -> Experiment:
    """An experiment whose cells differ in their learning rate, so that each has tasks of its own.

    Args:
        name: of the experiment.
        cells: labels; by default all that it has.
    """
    wanted = CELLS[name] if cells is None else cells
    return Experiment(
        name=name,
        title=f"Experiment {name}",
        question=f"What does {name} ask?",
        cells=tuple(
            Cell(
                labels=labels,
                settings=RunSettings.model_validate({"method": {"method": "rloo", "learning_rate": 0.1 + place / 1e4}}),
            )
            for place, labels in enumerate(wanted)
        ),
    )


def outcome(labels: Labels, seed: int, *, shift: float = 0.0) -> Outcome:
    """What a cell could have found; a seed's luck is shared by all cells.

    Args:
        labels: of the cell.
        seed: of the repeat.
        shift: added to the reward.
    """
    own = random.Random(f"{sorted(labels.items(), key=str)} {seed}")  # noqa: S311  # no secret
    if not {"method", "arm"} & labels.keys() and "noise" in labels:
        return _probe(labels, own)
    reward = _reward(labels) + shift + 0.02 * math.sin(seed * 2.4) + own.gauss(0, 0.008)
    distinctness = _distinctness(labels) + own.gauss(0, 0.01)
    credit = _credit(labels) + own.gauss(0, 0.02)
    curve = _curve(labels, reward, distinctness)
    metrics = {
        "final_reward": reward,
        "area": sum(curve.reward) / len(curve.reward),
        "final_entropy": 9.0 * distinctness,
        "final_distinctness": distinctness,
        "final_kl": 12 * (1 - distinctness),
        "credit": credit,
        "credit_first": credit + 0.05,
        "credit_of_gradient": -credit,
        "mean_feedback": reward,
        "weight_first": distinctness,
        "weight_last": distinctness + 0.05,
        "loading_correlation": _loading_correlation(labels),
    }
    return Outcome(metrics=metrics, curve=curve, credit_map=_map(labels, seed))


def _reward(labels: Labels) -> float:
    name = str(labels.get("arm", labels.get("method", "sdpo")))
    level = _LEVEL.get(name, 0.5)
    if "told" in labels:
        level = 0.3 if labels["told"] == "reinforce" else 0.3 + 0.4 * float(labels["told"])
    teaches = name not in BASELINES
    if teaches and labels.get("regime") == "critique":
        level += 0.12
    if "noise" in labels:
        level -= (0.25 if teaches else 0.45) * float(labels["noise"])
    if "kl_weight" in labels:
        level -= 3.5 * float(labels["kl_weight"]) ** 0.8
    if labels.get("corruption") == "misleading" and name in {"sdpo", "hybrid"}:
        level -= 2.4 * float(labels["share"]) ** 2
    if labels.get("bias") == "positivity" and not teaches:
        level -= 0.15 * float(labels.get("strength", 0.6))
    if labels.get("basis") == "token":
        level -= 0.02 * math.log2(float(labels["size"]) / 2)
    if labels.get("student") == "features" and not teaches:
        level += 0.07
    if labels.get("teacher") in {"frozen", "ema"}:
        level -= 0.08
    return level - 0.1 * float(labels.get("coherence", 0.0))


def _distinctness(labels: Labels) -> float:
    rate, weight = float(labels.get("learning_rate", 0.1)), float(labels.get("kl_weight", 0.0))
    return 0.9 - (0.35 if labels.get("method") == "sdpo" else 0.45) * (1 + math.log10(rate / 0.05)) / (1 + 30 * weight)


def _credit(labels: Labels) -> float:
    name = str(labels.get("method", "sdpo"))
    return _SIGNAL.get(str(labels.get("regime")), 0.4) if name in SELF_DISTILLED else 0.22


def _loading_correlation(labels: Labels) -> float:
    return 0.88 if labels.get("basis") != "token" else 0.9 - 0.08 * math.log2(float(labels["size"]) / 4)


def _curve(labels: Labels, reward: float, distinctness: float) -> Curve:
    pace = 40 if labels.get("method") == "sdpo" else 60
    steps = tuple(range(0, 201, 10))
    grown = [1 - math.exp(-step / pace) for step in steps]
    return Curve(
        step=steps,
        reward=tuple(reward * share for share in grown),
        entropy=tuple(20 - 10 * share for share in grown),
        distinctness=tuple(0.93 + (distinctness - 0.93) * share for share in grown),
        kl_to_base=tuple(8 * share for share in grown),
    )


@functools.cache
def _truth(seed: int) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[float, ...], ...]]:
    drawn = random.Random(seed)  # noqa: S311
    tokens = tuple(tuple(drawn.randrange(32) for _ in range(8)) for _ in range(8))
    return tokens, tuple(tuple(drawn.gauss(0, 0.4) for _ in row) for row in tokens)


def _map(labels: Labels, seed: int) -> CreditMap:
    tokens, truth = _truth(seed)
    noise = random.Random(f"{labels.get('regime')} {seed}")  # noqa: S311
    share = _credit(labels)
    if labels.get("method") in SELF_DISTILLED:
        credit = tuple(tuple(share * value + (1 - share) * noise.gauss(0, 0.4) for value in row) for row in truth)
    else:
        credit = tuple((sum(row) / len(row),) * len(row) for row in truth)
    return CreditMap(tokens=tokens, credit=credit, truth=truth)


def _probe(labels: Labels, own: random.Random) -> Outcome:
    noise = float(labels["noise"])
    single = 1 / math.sqrt(1 + (3 * noise / _SIGNAL[str(labels["regime"])]) ** 2)
    return Outcome(
        metrics={
            "direction": 1 - 0.02 * noise + own.gauss(0, 0.001),
            "single_direction": single + own.gauss(0, 0.01),
            "identity_error": 0.0 if noise < 0.1 else 3e-15 * own.random(),
        }
    )
