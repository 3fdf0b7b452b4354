"""The tuning grid: what is tried for each method, and how a winner is chosen.

Every method gets the same learning rates. Baselines get a second setting where their papers have one that matters; SDPO
gets none, so what it wins it does not win by having more to turn.
The winners lie beside this module in ``tuned.json`` (``sdpo-ref study tune``), tuned on seeds that no claim uses.
"""

import functools
import itertools
import json
import statistics
from collections.abc import Collection, Mapping, Sequence
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from sdpo_ref.errors import IntegrityError, UsageError
from sdpo_ref.simulation.methods import METHODS, MethodSettings
from sdpo_ref.simulation.settings import RegimeName, StudentName
from sdpo_ref.study.experiment import Cell, Experiment, Observation, tuning_seeds
from sdpo_ref.study.provenance import Origin, origin
from sdpo_ref.study.settings import REGIMES, run_settings

FILE_NAME = "tuned.json"
"""In this package."""


class Trial(BaseModel):
    """One point of the grid.

    Attributes:
        arm: what is tuned, as :func:`arm_name` writes it.
        method: its settings at this point.
        mean: of the normalised reward after the last step, over the tuning seeds.
        deviation: between seeds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    arm: str
    method: MethodSettings = Field(discriminator="method")
    mean: float
    deviation: float


class Tuning(BaseModel):
    """The whole grid and its winners.

    Attributes:
        command: that made it.
        rule: by which winners were chosen.
        seeds: that were used; no claim uses them.
        origin: the code that made it.
        joined: arm to the code that made its trials, for arms that came to the grid later.
        winners: arm to settings.
        trials: every point of the grid.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str
    rule: str
    seeds: tuple[int, ...]
    origin: Origin
    joined: Mapping[str, Origin] = {}
    winners: Mapping[str, MethodSettings]
    trials: tuple[Trial, ...]


def arm_name(method: str, regime: RegimeName, student: StudentName = "table") -> str:
    """What is tuned: a method under a regime, with a student.

    Example:
        >>> arm_name("sdpo", "scalar"), arm_name("rloo", "rubric", "features")
        ('sdpo/scalar', 'rloo/rubric/features')
    """
    return "/".join((method, regime, *(() if student == "table" else (student,))))


def tuned(method: str, regime: RegimeName, student: StudentName = "table", **changes: object) -> MethodSettings:
    """The settings that won the grid.

    Args:
        method: as experiments call it; ``gated`` is the hybrid with a gate.
        regime: of the feedback.
        student: what the student's logits are made of.
        changes: settings that differ on purpose, such as ``kl_weight``.

    Returns:
        Settings of the method.

    Raises:
        UsageError: if that is not tuned.
        IntegrityError: if the file of the winners cannot be read.
    """
    arm = arm_name(method, regime, student)
    winners = tuning().winners
    if arm not in winners:
        raise UsageError(f"{arm} is not tuned; tuned are {', '.join(winners)}. Add it to study/tuning.py and run it")
    settings: dict[str, Any] = {**winners[arm].model_dump(), **changes}
    chosen: MethodSettings = TypeAdapter(MethodSettings).validate_python(settings)
    return chosen


@functools.cache
def tuning() -> Tuning:
    """The published grid, as it lies in the package.

    Raises:
        IntegrityError: if it is missing or is not a tuning file.
    """
    file = resources.files("sdpo_ref.study") / FILE_NAME
    try:
        return Tuning.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise IntegrityError(
            f"{FILE_NAME} cannot be read ({error}); reinstall, or run `sdpo-ref study tune`"
        ) from error


LEARNING_RATES = (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Tried for every method."""

SEEDS = 3
"""Repeats of each point of the grid."""

_WITH_FEATURES = ("sdpo", "rloo", "grpo", "span_rloo")
"""Methods that are tuned with the reader's features in the student as well."""

RULE = (
    "highest mean of the normalised reward after the last step over the tuning seeds; "
    "among equals the smallest learning rate"
)


def grid() -> Mapping[str, tuple[MethodSettings, ...]]:
    """Arm to the settings that are tried."""
    arms: dict[str, tuple[MethodSettings, ...]] = {}
    with_table, with_features = _trials("table"), _trials("features")
    for regime in REGIMES:
        for name, trials in with_table.items():
            if regime == "critique" or not trials[0].reads_spans:
                arms[arm_name(name, regime)] = trials
        for name in _WITH_FEATURES:
            if regime == "critique" or not with_features[name][0].reads_spans:
                arms[arm_name(name, regime, "features")] = with_features[name]
    return arms


def new_arms() -> tuple[str, ...]:
    """Arms of the grid that the published file does not have."""
    return tuple(arm for arm in grid() if arm not in tuning().winners)


def tuning_experiment(arms: Collection[str] | None = None) -> Experiment:
    """The grid as an experiment; its labels are the arm and the number of the trial.

    Implements: SIM-137.

    Args:
        arms: of which; ``None`` for all.
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
            if arms is None or arm in arms
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
    """The best trial of each arm, by :data:`RULE`."""
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
    _refuse_gaps(observations, tuning_experiment())
    trials = trials_of(observations)
    return Tuning(
        command="sdpo-ref study tune",
        rule=RULE,
        seeds=tuning_seeds(SEEDS),
        origin=origin(),
        winners=winners_of(trials),
        trials=trials,
    )


def extended(published: Tuning, observations: Sequence[Observation]) -> Tuning:
    """The file with the arms that it does not have; what it has stays as it is.

    Args:
        published: of an earlier grid.
        observations: of every other arm of today's grid, with every one of :data:`SEEDS`.

    Raises:
        UsageError: if some of them are missing.
    """
    arms = tuple(arm for arm in grid() if arm not in published.winners)
    _refuse_gaps(observations, tuning_experiment(arms))
    of_arms: dict[str, list[Trial]] = {arm: [] for arm in grid()}
    for trial in (*published.trials, *trials_of(observations)):
        of_arms[trial.arm].append(trial)
    trials = tuple(trial for arm in of_arms.values() for trial in arm)
    joined = {**published.joined, **dict.fromkeys(arms, origin())}
    return published.model_copy(update={"joined": joined, "winners": winners_of(trials), "trials": trials})


def _refuse_gaps(observations: Sequence[Observation], grid: Experiment) -> None:
    expected, found = len(grid.cells) * SEEDS, len(observations)
    if found != expected:
        raise UsageError(f"received {found} of the grid's {expected} runs; run `sdpo-ref study tune` again, it goes on")


def _regime(arm: str) -> RegimeName:
    return next(regime for regime in REGIMES if regime == arm.split("/")[1])


def _trials(student: StudentName) -> Mapping[str, tuple[MethodSettings, ...]]:
    return {
        arm.name: tuple(
            method.settings.model_validate({"learning_rate": rate, "student": student, **arm.fixed, **settings})
            for rate, settings in itertools.product(LEARNING_RATES, arm.tried)
        )
        for method in METHODS.values()
        for arm in method.arms
        if arm.tried
    }
