"""SDPO against the best baseline."""

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.outcome import Outcome
from sdpo_ref.study.report.figures.comparisons import advantage

REWARD = st.floats(-1.0, 1.0)


def setting(rewards: Mapping[str, Sequence[float]]) -> list[Observation]:
    """Method to its reward on seed 0, 1 and so on."""
    return [
        Observation({"method": method}, seed, Outcome(metrics={"final_reward": reward}))
        for method, values in rewards.items()
        for seed, reward in enumerate(values)
    ]


def test_the_baseline_with_the_highest_mean_is_compared_seed_by_seed() -> None:
    """Not the one that is best on a single seed, and no method with a self-teacher however good."""
    found = advantage(
        setting({"sdpo": [0.8, 0.6], "rloo": [0.5, 0.7], "grpo": [0.9, 0.1], "hybrid": [0.99, 0.99]}), "final_reward"
    )
    assert found is not None
    assert found.baseline == "rloo"
    assert [round(value, 9) for value in found.by_seed.values()] == [0.3, -0.1]
    assert found.wins == 1


def test_a_third_partys_trainer_is_no_baseline() -> None:
    """What it learns from is unknown; it can be compared with the baselines itself."""
    rewards = {"sdpo": [0.5], "rloo": [0.4], "mine:make": [0.9]}
    found, others = (advantage(setting(rewards), "final_reward", method=name) for name in ("sdpo", "mine:make"))
    assert found is not None
    assert others is not None
    assert (found.baseline, others.baseline) == ("rloo", "rloo")
    assert others.difference.mean == 0.5


def test_nothing_to_compare_is_no_advantage() -> None:
    """Without SDPO, without a baseline, or without a seed in common."""
    assert advantage(setting({"rloo": [0.5]}), "final_reward") is None
    assert advantage(setting({"sdpo": [0.5], "hybrid": [0.1]}), "final_reward") is None
    apart = [*setting({"sdpo": [0.5]}), Observation({"method": "rloo"}, 1, Outcome(metrics={"final_reward": 0.1}))]
    assert advantage(apart, "final_reward") is None


@given(st.lists(st.tuples(REWARD, REWARD, REWARD), min_size=1, max_size=5))
def test_the_advantage_is_the_smallest_over_the_baselines(rewards: list[tuple[float, float, float]]) -> None:
    """So it is conservative: whichever baseline had been named beforehand, SDPO would have looked no worse."""
    own, first, second = (list(column) for column in zip(*rewards, strict=True))
    both = advantage(setting({"sdpo": own, "rloo": first, "grpo": second}), "final_reward")
    each = [
        advantage(setting({"sdpo": own, name: values}), "final_reward")
        for name, values in (("rloo", first), ("grpo", second))
    ]
    assert both is not None
    assert both.difference.mean <= min(one.difference.mean for one in each if one is not None) + 1e-12
