"""What is averaged or credited as a constant, whatever dtype and graph it comes with."""

from dataclasses import replace

import pytest
import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.advantages import group_advantages, self_distillation_advantages
from sdpo_ref.functional.averaging import exponential_moving_average_
from sdpo_ref.functional.support import renormalized
from sdpo_ref.losses.reference import hybrid_loss
from sdpo_ref.verification.checks.inputs import on_policy, random_batch


def test_advantages_of_the_teacher_are_constants() -> None:
    """The opinion of a self-teacher carries no gradient to either side."""
    student, teacher = (torch.zeros(3, requires_grad=True) for _ in range(2))
    assert not self_distillation_advantages(student, teacher).requires_grad


def test_a_coarse_student_is_raised_to_the_precision_of_the_average() -> None:
    """Bfloat16 weights move a float32 teacher."""
    teacher = {"w": torch.zeros(2)}
    exponential_moving_average_(teacher, {"w": torch.ones(2, dtype=torch.bfloat16)}, update_rate=0.25)
    assert teacher["w"].tolist() == [0.25, 0.25]


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64])
def test_flags_and_counters_of_any_size_are_copied(dtype: torch.dtype) -> None:
    """One byte is half precision for a weight, and enough for a flag."""
    teacher = {"flag": torch.zeros(1, dtype=dtype)}
    exponential_moving_average_(teacher, {"flag": torch.ones(1, dtype=dtype)}, update_rate=0.25)
    assert teacher["flag"].tolist() == [1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_average_may_be_in_single_or_double_precision(dtype: torch.dtype) -> None:
    """Float32 is enough for a teacher."""
    teacher = {"w": torch.zeros(1, dtype=dtype)}
    exponential_moving_average_(teacher, {"w": torch.ones(1, dtype=dtype)}, update_rate=0.5)
    assert teacher["w"].tolist() == [0.5]


def test_coarse_rewards_are_centred_in_the_precision_of_the_logits() -> None:
    """A third has no short bfloat16: the gradient is that of the same rewards in float64."""
    batch, groups = on_policy(random_batch(76)), torch.tensor([0, 0, 0, 1])
    rewards = torch.tensor([1.0, 0.0, 0.0, 0.5])
    gradients: list[torch.Tensor] = []
    for given in (rewards.bfloat16(), rewards.double()):
        student = batch.student_logits.clone().requires_grad_()
        loss = hybrid_loss(replace(batch, student_logits=student), given, groups, reward_weight=1.0)
        gradients += torch.autograd.grad(loss, student)
    assert torch.equal(*gradients)


@pytest.mark.parametrize("kind", ["centered", "standardized"])
@pytest.mark.parametrize("alone", [0, 2])
def test_a_group_of_one_beside_others(kind: str, alone: int) -> None:
    """It has advantage zero and leaves the others theirs."""
    groups = torch.tensor([1, 1, 1])
    groups[alone] = 0
    found = group_advantages(torch.tensor([1.0, 0.0, 1.0]), groups, kind=kind)  # type: ignore[arg-type]
    assert float(found[alone]) == 0.0
    assert int((found > 0).sum()) == 1


@pytest.mark.parametrize("rows", [1, 2])
def test_nothing_to_renormalise_in_any_row(rows: int) -> None:
    """One row without mass on its head is enough; one token without mass in every row is not."""
    some = torch.tensor([[0.5, 0.0, 0.5], [0.25, 0.0, 0.75]]).log()[:rows]
    assert renormalized(some, torch.tensor([[0, 1], [0, 1]])[:rows]).exp().tolist() == [[1.0, 0.0]] * rows
    none = torch.tensor([[0.0, 0.0, 1.0], [0.25, 0.0, 0.75]]).log()[:rows]
    with pytest.raises(InvalidInputError, match="top_k_tail"):
        renormalized(none, torch.tensor([[0, 1], [0, 1]])[:rows])
