"""The tuning grid and its published winners."""

import pytest

from sdpo_ref import SPEC_VERSION
from sdpo_ref.errors import UsageError
from sdpo_ref.simulation.methods import Rloo, Sdpo
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.study.experiment import Observation, tuning_seeds
from sdpo_ref.study.experiments import EXPERIMENTS
from sdpo_ref.study.outcome import Outcome
from sdpo_ref.study.tuning import (
    LEARNING_RATES,
    RULE,
    Trial,
    extended,
    grid,
    new_arms,
    tuned,
    tuning,
    tuning_experiment,
    winners_of,
)


def test_every_arm_has_the_same_learning_rates() -> None:
    """No method is tuned more finely than another (SIM-137)."""
    for trials in grid().values():
        assert sorted({trial.learning_rate for trial in trials}) == list(LEARNING_RATES)


def test_sdpo_has_nothing_else_to_turn() -> None:
    """Only baselines and hybrids have a second setting."""
    assert {len(trials) for arm, trials in grid().items() if arm.startswith("sdpo/")} == {len(LEARNING_RATES)}
    assert {len(trials) for arm, trials in grid().items() if arm.startswith("grpo/")} == {2 * len(LEARNING_RATES)}


def test_the_winner_has_the_highest_mean_and_among_equals_the_smallest_rate() -> None:
    """By the rule that is published with the file."""
    trials = [
        Trial(arm="rloo/scalar", method=Rloo(learning_rate=rate), mean=mean, deviation=0.0)
        for rate, mean in ((0.1, 0.5), (0.4, 0.7), (0.2, 0.7))
    ]
    assert winners_of(trials) == {"rloo/scalar": Rloo(learning_rate=0.2)}


def test_the_published_winners_are_those_of_the_published_grid() -> None:
    """The file was made by the rule that it states, from the grid as it is now, and nothing in it was edited."""
    published = tuning()
    assert published.rule == RULE
    assert winners_of(published.trials) == published.winners
    assert [(trial.arm, trial.method) for trial in published.trials] == [
        (arm, trial) for arm, trials in grid().items() for trial in trials
    ]


def test_the_published_grid_was_run_by_code_that_can_be_found() -> None:
    """Of this specification, from a checkout without changes; `sdpo-ref study tune` compares it with today's code."""
    for of in (tuning().origin, *tuning().joined.values()):
        assert (of.specification, of.git_dirty) == (SPEC_VERSION, False)


def test_arms_that_join_leave_the_others_as_they_were() -> None:
    """Two arms are taken out of the file and tuned again; the larger the rate, the better they are said to be."""
    whole, arms = tuning(), ("sdpo/scalar", "dpo/rubric")
    before = whole.model_copy(
        update={
            "winners": {arm: winner for arm, winner in whole.winners.items() if arm not in arms},
            "trials": tuple(trial for trial in whole.trials if trial.arm not in arms),
        }
    )
    found = [
        Observation(cell.labels, seed, Outcome(metrics={"final_reward": cell.settings.method.learning_rate}))
        for cell in tuning_experiment(arms).cells
        for seed in tuning_seeds(3)
        if isinstance(cell.settings, RunSettings)
    ]
    after = extended(before, found)
    assert list(after.winners) == list(grid())
    assert [trial.arm for trial in after.trials] == [trial.arm for trial in whole.trials]
    assert {arm: winner for arm, winner in after.winners.items() if arm not in arms} == dict(before.winners)
    assert [after.winners[arm].learning_rate for arm in arms] == [0.8, 0.8]
    assert set(after.joined) - set(before.joined) == set(arms) - set(before.joined)
    assert after.origin == before.origin
    with pytest.raises(UsageError, match="received 62 of the grid's 63 runs"):
        extended(before, found[1:])


def test_nothing_is_left_to_join() -> None:
    """Every arm of the grid is in the file: 72."""
    assert new_arms() == ()
    assert len(tuning().winners) == 72


def test_no_claim_uses_a_tuning_seed() -> None:
    """Claim seeds count from 0, tuning seeds lie far beyond."""
    assert min(tuning().seeds) >= 1_000_000


def test_experiments_take_the_winners() -> None:
    """The settings of F01's cells are those of the file."""
    for cell in EXPERIMENTS["F01"]().cells:
        arm = f"{cell.labels['method']}/{cell.labels['regime']}"
        assert cell.settings.kind == "run"
        assert cell.settings.method == tuning().winners[arm]


def test_an_arm_that_nobody_tuned_is_refused() -> None:
    """Instead of running at some default."""
    with pytest.raises(UsageError, match="not tuned"):
        tuned("dpo", "scalar", "features")


def test_a_sweep_changes_only_what_it_names() -> None:
    """All else stays the winner's."""
    before, after = tuned("sdpo", "scalar"), tuned("sdpo", "scalar", kl_weight=0.3)
    assert isinstance(after, Sdpo)
    assert after == before.model_copy(update={"kl_weight": 0.3})


def test_the_grid_is_an_experiment() -> None:
    """It runs, resumes and is kept like any other."""
    made = tuning_experiment()
    assert len(made.cells) == sum(len(trials) for trials in grid().values())
    assert set(EXPERIMENTS).isdisjoint({made.name})
