"""The reference's pure functions against the golden vectors, teacher-chosen heads included."""

import pytest
import torch
from torch import Tensor

from sdpo_ref.functional.averaging import exponential_moving_average_, trust_region_log_probs
from sdpo_ref.functional.divergence import generalized_jsd
from sdpo_ref.functional.support import on_support
from sdpo_ref.types import Support
from sdpo_ref.vectors.store import Vector, load


def cells(vector: Vector, student: Tensor) -> tuple[Tensor, Tensor]:
    """Student and teacher of a vector on its support."""
    return on_support(
        student,
        vector.inputs["teacher_log_probs"].double(),
        support=Support(vector.options["support"], vector.options["k"]),  # type: ignore[arg-type]
        top_k_from=vector.options["top_k_from"],  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("vector", load("divergence"), ids=lambda vector: vector.id)
def test_divergence(vector: Vector) -> None:
    """Against 50 digits: relative error at most 1e-12; 1e-9 below 1e-8 nats, where the inputs have no more digits."""
    student = vector.inputs["student_log_probs"].double()
    found = generalized_jsd(*cells(vector, student), alpha=vector.options["alpha"])  # type: ignore[arg-type]
    expected = vector.expected["value"]
    if vector.dtype == "float32":
        relative = torch.full_like(expected, 1e-5)
    else:
        relative = torch.where(expected > 1e-8, 1e-12, 1e-9)
    same = found == expected
    assert bool((same | (torch.isfinite(expected) & ((found - expected).abs() <= relative * expected))).all())
    assert bool((found >= 0).all())


@pytest.mark.parametrize("vector", load("trust_region"), ids=lambda vector: vector.id)
def test_trust_region(vector: Vector) -> None:
    """The geometric mixture, to 1e-12."""
    found = trust_region_log_probs(
        vector.inputs["reference_logits"],
        vector.inputs["student_logits"],
        mix=vector.options["mix"],  # type: ignore[arg-type]
    )
    assert torch.allclose(found, vector.expected["log_probs"], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("vector", load("average"), ids=lambda vector: vector.id)
def test_average(vector: Vector) -> None:
    """The recursion, update by update."""
    teacher = {"w": vector.inputs["teacher"].clone()}
    for student, expected in zip(vector.inputs["students"], vector.expected["teachers"], strict=True):
        exponential_moving_average_(teacher, {"w": student}, update_rate=vector.options["update_rate"])  # type: ignore[arg-type]
        assert torch.allclose(teacher["w"], expected, rtol=1e-12, atol=1e-14)
