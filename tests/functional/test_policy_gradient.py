"""What the parts of policy gradients treat as constants, and where they end."""

import math

import pytest
import torch

from sdpo_ref.functional.importance import importance_ratio
from sdpo_ref.functional.penalty import kl_penalty
from sdpo_ref.functional.policy_gradient import (
    clipped_surrogate,
    completion_log_probs,
    generalized_advantages,
    leave_one_out_advantages,
)


def test_only_the_student_is_pulled() -> None:
    """Behaviour, advantages and values that ask for a gradient get none."""
    student, behaviour, advantages = (torch.full((1, 2), -0.5, requires_grad=True) for _ in range(3))
    loss = clipped_surrogate(student, behaviour, advantages, clip=0.2).sum()
    found = torch.autograd.grad(loss, (student, behaviour, advantages), allow_unused=True)
    assert [pull is None for pull in found] == [False, True, True]
    values = torch.full((1, 2), 0.5, requires_grad=True)
    assert not generalized_advantages(torch.ones(1), values, torch.ones(1, 2).bool(), trace=0.5).requires_grad


@pytest.mark.parametrize("log_ratio", [25.0, 1e4])
def test_log_ratios_end_at_twenty(log_ratio: float) -> None:
    """On both sides: e^20 and e^-20 are the outermost ratios, in the loss and in the clipped surrogate."""
    here, far = torch.zeros(1, 1, dtype=torch.float64), torch.full((1, 1), log_ratio, dtype=torch.float64)
    assert float(importance_ratio(far, here, ratio_cap=1e12)) == pytest.approx(math.exp(20))
    assert float(importance_ratio(here, far, ratio_cap=1e12)) == pytest.approx(math.exp(-20))
    blamed = -torch.ones(1, 1, dtype=torch.float64)
    assert float(clipped_surrogate(far, here, blamed, clip=0.2)) == pytest.approx(math.exp(20))


def test_one_token_and_one_rollout() -> None:
    """The shortest completion, the smallest vocabulary and a group without siblings."""
    mask = torch.tensor([[True]])
    found = generalized_advantages(torch.tensor([1.0]), torch.tensor([[0.25]]), mask, trace=0.5)
    assert found.tolist() == [[0.75]]
    assert leave_one_out_advantages(torch.tensor([3.0, 1.0, 2.0]), torch.tensor([0, 1, 1])).tolist() == [0.0, -1.0, 1.0]
    ids, mask = torch.tensor([[0, 9]]), torch.tensor([[True, False]])
    assert completion_log_probs(torch.zeros(1, 2, 1), ids, mask).tolist() == [[0.0, 0.0]]


def test_rewards_have_the_precision_of_the_values() -> None:
    """A reward of one and a billionth is one beside values in float32."""
    rewards = torch.tensor([1 + 1e-9], dtype=torch.float64)
    assert not generalized_advantages(rewards, torch.ones(1, 1), torch.tensor([[True]]), trace=1.0).any()


def test_penalty_belongs_to_the_student() -> None:
    """It has the student's dtype and pulls on nothing else."""
    student, reference = torch.zeros(1, 1, 2), torch.ones(1, 1, 2, dtype=torch.float64).requires_grad_()
    student.requires_grad_()
    penalty = kl_penalty(student, reference, torch.tensor([[True]]))
    assert penalty.dtype is torch.float32
    found = torch.autograd.grad(penalty, (student, reference), allow_unused=True)
    assert found[0] is not None
    assert found[1] is None
