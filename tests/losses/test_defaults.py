"""What a loss does without options, and on the smallest possible vocabulary."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.divergence import generalized_jsd
from sdpo_ref.functional.implicit_reward import implicit_reward
from sdpo_ref.losses.reference import hybrid_loss, policy_gradient_loss, sdpo_loss, sdpo_token_losses
from sdpo_ref.losses.sdft import sdft_loss
from sdpo_ref.types import FULL, SAMPLED_TOKEN, DistillationBatch
from sdpo_ref.verification.checks.inputs import every_row, on_policy, random_batch


def test_without_options_nothing_is_tempered_or_weighted() -> None:
    """The full vocabulary at temperature one, over all counted tokens."""
    batch = on_policy(random_batch(71))
    explicit = {"alpha": 0.25, "support": FULL, "temperature": 1.0, "ratio_cap": None}
    assert torch.equal(sdpo_token_losses(batch, alpha=0.25), sdpo_token_losses(batch, **explicit))  # type: ignore[arg-type]
    assert torch.equal(sdpo_loss(batch, alpha=0.25), sdpo_loss(batch, aggregation="token_mean", **explicit))  # type: ignore[arg-type]


def test_sdft_is_the_forward_kl_of_every_token() -> None:
    """By default."""
    batch = every_row(random_batch(72))
    assert torch.equal(sdft_loss(batch), sdpo_loss(batch, alpha=0.0))


def test_sdft_names_the_rows_without_a_demonstration() -> None:
    """They and no others are to be dropped."""
    batch = replace(on_policy(random_batch(73)), self_distillation_mask=torch.tensor([True, False, True, False]))
    with pytest.raises(InvalidInputError, match=r"rows \[1, 3\] have none"):
        sdft_loss(batch)


def test_advantages_are_constants() -> None:
    """Of a policy gradient: nothing flows into advantages that ask for a gradient."""
    batch = on_policy(random_batch(74))
    advantages = torch.ones(4, 6, dtype=torch.float64, requires_grad=True)
    student = batch.student_logits.clone().requires_grad_()
    loss = policy_gradient_loss(replace(batch, student_logits=student), advantages)
    (gradient,) = torch.autograd.grad(loss, advantages, allow_unused=True)
    assert gradient is None


@pytest.mark.parametrize("wide", ["student", "teacher"])
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_sides_of_two_precisions_are_compared_in_the_higher(wide: str, alpha: float) -> None:
    """Each side is normalised in its own dtype, and raised before anything else is computed."""
    batch = on_policy(random_batch(75))
    wanted = {"student": torch.float32, "teacher": torch.float32, wide: torch.float64}
    student, teacher = batch.student_logits.to(wanted["student"]), batch.teacher_logits.to(wanted["teacher"])
    found = sdpo_token_losses(replace(batch, student_logits=student, teacher_logits=teacher), alpha=alpha)
    expected = generalized_jsd(student.log_softmax(-1).double(), teacher.log_softmax(-1).double(), alpha=alpha)
    torch.testing.assert_close(found[batch.loss_mask], expected[batch.loss_mask], rtol=1e-13, atol=1e-15)


def test_vocabulary_of_one_token() -> None:
    """Its token is certain on both sides; any id may be at a masked position."""
    logits, mask = torch.ones(1, 2, 1), torch.tensor([[True, False]])
    student = logits.clone().requires_grad_()
    batch = DistillationBatch(student, 2 * logits, torch.tensor([[0, 5]]), mask, mask[:, 0], torch.zeros(1, 2))
    found: list[Tensor] = [
        sdpo_loss(batch, alpha=0.25, ratio_cap=2.0),
        sdpo_loss(batch, alpha=1.0, support=SAMPLED_TOKEN),
        policy_gradient_loss(batch, torch.ones(1, 2)),
        hybrid_loss(batch, torch.ones(1), torch.zeros(1).long(), reward_weight=0.5),
        implicit_reward(batch.teacher_logits, student, batch.completions, mask).sum(),
    ]
    for value in found:
        assert float(value.detach()) == 0.0
