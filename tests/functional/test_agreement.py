"""The gate of the hybrid: open where following the teacher raises the reward, by however little."""

import pytest
import torch

from sdpo_ref.functional.agreement import groups_that_agree

GROUPS = torch.tensor([4, 4, 4])
ALL = torch.ones(3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("scores", "rewards", "is_open"),
    [
        ([0.2, 0.1, 0.0], [0.02, 0.01, 0.0], True),
        ([0.2, 0.1, 0.0], [0.0, 0.01, 0.02], False),
        ([0.2, 0.1, 0.0], [0.5, 0.5, 0.5], False),
        ([0.3, 0.3, 0.3], [0.1, 0.7, 0.2], False),
        ([1.0, 0.0, 0.5], [1.0, 0.0, 1.0], True),
    ],
)
def test_sign_of_the_covariance(scores: list[float], rewards: list[float], *, is_open: bool) -> None:
    """Positive opens, also where it is small; zero, from ties on either side, is no agreement (SIM-105)."""
    found = groups_that_agree(torch.tensor(scores).double(), torch.tensor(rewards).double(), GROUPS, ALL)
    assert found.tolist() == [is_open] * 3


def test_only_usable_rows_are_compared() -> None:
    """A row without an opinion does not close its group, and shares its verdict."""
    scores, rewards = torch.tensor([1.0, 0.0, -99.0]), torch.tensor([1.0, 0.0, 99.0])
    usable = torch.tensor([True, True, False])
    assert groups_that_agree(scores, rewards, GROUPS, usable).tolist() == [True, True, True]
    assert not groups_that_agree(scores, rewards, GROUPS, ALL).any()


def test_coarse_rewards_are_subtracted_in_the_precision_of_the_scores() -> None:
    """256 - 0.5 is 256 in bfloat16, which would open a gate that is closed."""
    rewards = torch.tensor([256.0, 0.5, 0.0], dtype=torch.bfloat16)
    scores = torch.tensor([0.0, -256.5, -256.5 + 511.75], dtype=torch.float64)
    assert not groups_that_agree(scores, rewards, GROUPS, ALL).any()
