"""The tuning grid: what is tried for each method, and how a winner is chosen.

Every method gets the same learning rates. Baselines get a second setting where their papers have one that matters; SDPO
gets none, so what it wins it does not win by having more to turn.
"""

import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence

from sdpo_ref.errors import UsageError
from sdpo_ref.simulation.settings.method import (
    Dpo,
    Grpo,
    Hybrid,
    MethodSettings,
    Ppo,
    Reinforce,
    Rloo,
    Sdft,
    Sdpo,
    SpanRloo,
    StudentName,
)
from sdpo_ref.simulation.settings.oracle import RegimeName
from sdpo_ref.study.experiment import Cell, Experiment, Observation
from sdpo_ref.study.provenance import origin
from sdpo_ref.study.seeds import tuning_seeds
from sdpo_ref.study.settings import REGIMES, run_settings
from sdpo_ref.study.tuned import Trial, Tuning, arm_name

LEARNING_RATES = (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Tried for every method."""

SEEDS = 3
"""Repeats of each point of the grid."""

RULE = (
    "highest mean of the normalised reward after the last step over the tuning seeds; "
    "among equals the smallest learning rate"
)


def grid() -> Mapping[str, tuple[MethodSettings, ...]]:
    """Arm to the settings that are tried."""
    arms: dict[str, tuple[MethodSettings, ...]] = {}
    for regime in REGIMES:
        for name, trials in _trials("table").items():
            if name != "span_rloo" or regime == "critique":
                arms[arm_name(name, regime)] = trials
        for name in ("sdpo", "rloo", "grpo", "span_rloo"):
            if name != "span_rloo" or regime == "critique":
                arms[arm_name(name, regime, "features")] = _trials("features")[name]
    return arms


def tuning_experiment() -> Experiment:
    """The grid as an experiment; its labels are the arm and the number of the trial.

    Implements: SIM-137.
    """
    return Experiment(
        name="tuning",
        title="Tuning",
        question="Which settings suit each method best under each regime of feedback?",
        cells=tuple(
            Cell(
                labels={"arm": arm, "trial": number},
                settings=run_settings(_regime(arm), trial, measure_every=100),
            )
            for arm, trials in grid().items()
            for number, trial in enumerate(trials)
        ),
    )


def trials_of(observations: Sequence[Observation]) -> tuple[Trial, ...]:
    """What the grid found; a run that diverged counts as a reward of 0, that of the base policy.

    Args:
        observations: of :func:`tuning_experiment`, every trial with two seeds or more.
    """
    rewards: dict[tuple[str, int], list[float]] = {}
    for seen in observations:
        at = str(seen.labels["arm"]), int(seen.labels["trial"])
        rewards.setdefault(at, []).append(seen.outcome.metrics.get("final_reward", 0.0))
    return tuple(
        Trial(arm=arm, method=grid()[arm][number], mean=statistics.fmean(found), deviation=statistics.stdev(found))
        for (arm, number), found in rewards.items()
    )


def winners_of(trials: Sequence[Trial]) -> Mapping[str, MethodSettings]:
    """The best trial of each arm, by :data:`RULE`.

    Args:
        trials: of the whole grid.
    """
    arms = dict.fromkeys(trial.arm for trial in trials)
    return {
        arm: min(
            (trial for trial in trials if trial.arm == arm), key=lambda trial: (-trial.mean, trial.method.learning_rate)
        ).method
        for arm in arms
    }


def tuning_of(observations: Sequence[Observation]) -> Tuning:
    """The file that the study reads, from the whole grid.

    Args:
        observations: of :func:`tuning_experiment`, every cell with every one of :data:`SEEDS`.

    Raises:
        UsageError: if some of them are missing.
    """
    expected, found = len(tuning_experiment().cells) * SEEDS, len(observations)
    if found != expected:
        raise UsageError(f"received {found} of the grid's {expected} runs; run `sdpo-ref study tune` again, it goes on")
    trials = trials_of(observations)
    return Tuning(
        command="sdpo-ref study tune",
        rule=RULE,
        seeds=tuning_seeds(SEEDS),
        origin=origin(),
        winners=winners_of(trials),
        trials=trials,
    )


def _regime(arm: str) -> RegimeName:
    return next(regime for regime in REGIMES if regime == arm.split("/")[1])


def _trials(student: StudentName) -> Mapping[str, tuple[MethodSettings, ...]]:
    def each(*second: Mapping[str, object]) -> Iterator[dict[str, object]]:
        for rate, options in itertools.product(LEARNING_RATES, second or ({},)):
            yield {"learning_rate": rate, "student": student, **options}

    epochs = ({"epochs": 1}, {"epochs": 4})
    weights = ({"reward_weight": 0.5}, {"reward_weight": 0.9})
    return {
        "sdpo": tuple(Sdpo.model_validate(one) for one in each()),
        "hybrid": tuple(Hybrid.model_validate(one) for one in each(*weights)),
        "gated": tuple(Hybrid.model_validate({**one, "gated": True}) for one in each(*weights)),
        "sdft": tuple(Sdft.model_validate(one) for one in each()),
        "reinforce": tuple(Reinforce.model_validate(one) for one in each()),
        "rloo": tuple(Rloo.model_validate(one) for one in each()),
        "span_rloo": tuple(SpanRloo.model_validate(one) for one in each()),
        "grpo": tuple(Grpo.model_validate(one) for one in each(*epochs)),
        "ppo": tuple(Ppo.model_validate(one) for one in each(*epochs)),
        "dpo": tuple(Dpo.model_validate(one) for one in each({"beta": 0.1}, {"beta": 0.5})),
    }
