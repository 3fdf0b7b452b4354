"""The loss as a whole: every aggregation against the vectors, bad batches, and the hybrid's cross-check."""

from dataclasses import replace
from typing import Literal, get_args

import pytest
import torch
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.advantages import group_advantages
from sdpo_ref.losses.reference import hybrid_loss, sdpo_loss
from sdpo_ref.types import FULL, SAMPLED_TOKEN, Aggregation, DistillationBatch, Support
from sdpo_ref.vectors.store import Vector, load
from sdpo_ref.verification.checks.inputs import on_policy, random_batch


@pytest.mark.parametrize("aggregation", get_args(Aggregation))
@pytest.mark.parametrize("vector", load("loss"), ids=lambda vector: vector.id)
def test_vectors(vector: Vector, aggregation: Aggregation) -> None:
    """Value and gradient of every vector under every aggregation."""
    inputs = vector.inputs
    student = inputs["student_logits"].clone().requires_grad_()
    batch = DistillationBatch(
        student,
        inputs["teacher_logits"],
        inputs["completions"],
        inputs["completion_mask"],
        inputs["self_distillation_mask"],
        inputs.get("behaviour_log_probs"),
    )
    options = vector.options
    loss = sdpo_loss(
        batch,
        alpha=options["alpha"],  # type: ignore[arg-type]
        support=Support(options["support"], options["k"]),  # type: ignore[arg-type]
        temperature=options["temperature"],  # type: ignore[arg-type]
        ratio_cap=options["ratio_cap"],  # type: ignore[arg-type]
        aggregation=aggregation,
        top_k_from=options["top_k_from"],  # type: ignore[arg-type]
    )
    (gradient,) = torch.autograd.grad(loss, student)
    for found, name in ((loss, "value"), (gradient, "gradient")):
        expected = vector.expected[f"{name}/{aggregation}"]
        within = vector.tolerance.absolute + vector.tolerance.relative * expected.abs()
        assert bool(((found.double() - expected).abs() <= within).all()), name


BROKEN = {
    "teacher of another vocabulary": {"teacher_logits": torch.zeros(4, 6, 12)},
    "mask of floats": {"completion_mask": torch.ones(4, 6)},
    "mask of another shape": {"completion_mask": torch.ones(4, 5, dtype=torch.bool)},
    "row mask per token": {"self_distillation_mask": torch.ones(4, 6, dtype=torch.bool)},
    "ids as floats": {"completions": torch.zeros(4, 6)},
    "ids out of range": {"completions": torch.full((4, 6), 99)},
    "negative ids": {"completions": torch.full((4, 6), -1)},
    "integer logits": {"student_logits": torch.zeros(4, 6, 11, dtype=torch.long)},
    "logits without rows": {"student_logits": torch.zeros(6, 11)},
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.filterwarnings("ignore")
def test_broken_batches_are_refused(case: str) -> None:
    """Wrong shapes, kinds and ids raise before anything is computed."""
    batch = on_policy(random_batch(1))
    with pytest.raises(Exception, match=r"shape|dtype|ids|type-check|Type-check|violates"):
        sdpo_loss(replace(batch, **BROKEN[case]), alpha=0.5)


def test_cap_without_behaviour_raises() -> None:
    """Who is on-policy says so."""
    with pytest.raises(InvalidInputError, match="ratio_cap=None"):
        sdpo_loss(on_policy(random_batch(2)), alpha=0.5, ratio_cap=2.0)


def test_mixing_advantages_and_losses_agree_where_they_should() -> None:
    """On sampled tokens, with every row usable, token means and centred rewards, both hybrids have one gradient."""
    batch = replace(on_policy(random_batch(3)), self_distillation_mask=torch.ones(4, dtype=torch.bool))
    gradients: list[Tensor] = []
    mixings: tuple[Literal["advantage", "loss"], ...] = ("advantage", "loss")
    for mixing in mixings:
        student = batch.student_logits.clone().requires_grad_()
        loss = hybrid_loss(
            replace(batch, student_logits=student),
            torch.tensor([1.0, 0.0, 0.5, 0.2]),
            torch.tensor([0, 0, 1, 1]),
            reward_weight=0.9,
            mixing=mixing,
        )
        gradients += torch.autograd.grad(loss, student)
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-12, atol=1e-14)


def test_mixing_advantages_on_the_full_vocabulary_raises() -> None:
    """The advantage of the paper's hybrid is that of the sampled token."""
    with pytest.raises(InvalidInputError, match="mixing='loss'"):
        hybrid_loss(on_policy(random_batch(4)), torch.ones(4), torch.zeros(4).long(), reward_weight=0.5, support=FULL)


def test_standardized_group_of_equal_rewards_is_silent() -> None:
    """Equal rewards have no advantage, also after division."""
    student = torch.zeros(4, 6, 11, dtype=torch.float64, requires_grad=True)
    batch = replace(on_policy(random_batch(5)), student_logits=student)
    loss = hybrid_loss(
        batch,
        torch.ones(4),
        torch.zeros(4).long(),
        reward_weight=1.0,
        support=SAMPLED_TOKEN,
        group_advantage="standardized",
    )
    (gradient,) = torch.autograd.grad(loss, student)
    assert not gradient.any()


@pytest.mark.parametrize(("k", "message"), [(None, "k >= 1"), (0, "k >= 1")])
def test_top_k_needs_k(k: int | None, message: str) -> None:
    """A top-k support without tokens is refused."""
    with pytest.raises(InvalidInputError, match=message):
        Support("top_k_tail", k)


def test_full_takes_no_k() -> None:
    """A k that would be ignored is refused: no dead knobs."""
    with pytest.raises(InvalidInputError, match="takes no k"):
        Support("full", 5)


@pytest.mark.parametrize("mixing", ["advantage", "loss"])
@pytest.mark.parametrize("logits", [torch.bfloat16, torch.float16, torch.float32])
def test_rewards_keep_their_precision(logits: torch.dtype, mixing: Literal["advantage", "loss"]) -> None:
    """Rewards that half precision cannot tell apart, in a group that it cannot count, still have advantages."""
    rewards = 1000 + torch.arange(300, dtype=torch.float64) / 1024
    mask = torch.ones(300, 1, dtype=torch.bool)
    student = torch.zeros(300, 1, 2, dtype=logits, requires_grad=True)
    batch = DistillationBatch(student, student.detach(), torch.zeros(300, 1).long(), mask, mask[:, 0])
    loss = hybrid_loss(batch, rewards, torch.zeros(300).long(), reward_weight=1.0, support=SAMPLED_TOKEN, mixing=mixing)
    assert loss.dtype == torch.float32
    (gradient,) = torch.autograd.grad(loss, student)
    # at even odds the score of the sampled token is one half
    expected = -(rewards - rewards.mean()) / 300 / 2
    torch.testing.assert_close(gradient[:, 0, 0].double(), expected, rtol=2**-7, atol=1e-7)


def test_advantages_of_half_precision_rewards() -> None:
    """They are raised to float32 first: eight bits count to 256."""
    rewards = torch.zeros(600, dtype=torch.bfloat16)
    rewards[0] = 1
    found = group_advantages(rewards, torch.zeros(600).long())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[:2], torch.tensor([599 / 600, -1 / 600]))


def test_token_weights_of_another_shape() -> None:
    """One weight a row would broadcast in silence."""
    even, mask = torch.zeros(3, 5, 2), torch.ones(3, 5, dtype=torch.bool)
    batch = DistillationBatch(even, even, torch.zeros(3, 5).long(), mask, mask[:, 0])
    with pytest.raises(Exception, match=r"token_weights has shape \(3, 1\).*\(3, 5\)|Type-check"):
        sdpo_loss(batch, alpha=1.0, token_weights=torch.ones(3, 1))
