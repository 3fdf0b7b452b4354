"""How a teacher follows the student: in weights (EMA) or in distributions (trust region) (spec/03-teacher, B)."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError


def exponential_moving_average_(
    teacher: Mapping[str, Tensor], student: Mapping[str, Tensor], *, update_rate: float
) -> None:
    r"""Move the teacher's weights towards the student's, in place, name by name.

    .. math::
        \theta_T \leftarrow (1 - \rho)\, \theta_T + \rho\, \theta

    Buffers that are not floating point (counters) are copied. Weights are matched by name and shape, never by
    position. The teacher's weights must be at least float32: in bfloat16 a twentieth of a small difference is
    rounded away, and the average never moves. The student's may be coarser.
    Implements: TEACH-020, TEACH-023.

    Args:
        teacher: the live tensors to move.
        student: where to; unchanged. No gradient flows.
        update_rate: ρ in ``[0, 1]``; 0 leaves the teacher, 1 copies the student.

    Raises:
        InvalidInputError: if the rate is out of range, names or shapes differ, or the teacher is in half precision.

    Example:
        >>> teacher = {"w": torch.tensor([0.0])}
        >>> exponential_moving_average_(teacher, {"w": torch.tensor([1.0])}, update_rate=0.05)
        >>> teacher["w"]
        tensor([0.0500])
    """
    if not 0.0 <= update_rate <= 1.0:
        raise InvalidInputError(f"update_rate must lie in [0, 1], received {update_rate}; the paper uses 0.05 and 0.01")
    teacher_shapes = {name: tuple(tensor.shape) for name, tensor in teacher.items()}
    student_shapes = {name: tuple(tensor.shape) for name, tensor in student.items()}
    if teacher_shapes != student_shapes:
        differing = sorted(set(teacher_shapes.items()) ^ set(student_shapes.items()))
        raise InvalidInputError(
            f"teacher and student weights differ in name or shape: {differing[:4]}; gather sharded weights first"
        )
    coarse = [name for name, weight in teacher.items() if weight.is_floating_point() and weight.itemsize < 4]
    if coarse:
        raise InvalidInputError(
            f"the teacher's weights {coarse[:4]} are in half precision, in which an average stops moving; "
            "keep the teacher in float32, and cast a copy of it for the forward pass"
        )
    with torch.no_grad():
        for name, weight in teacher.items():
            if weight.is_floating_point():
                weight.lerp_(student[name].to(weight), update_rate)
            else:
                weight.copy_(student[name])


def trust_region_log_probs(
    reference_logits: Float[Tensor, "*batch vocab"],
    student_logits: Float[Tensor, "*batch vocab"],
    *,
    mix: float,
) -> Float[Tensor, "*batch vocab"]:
    r"""The trust-region teacher: the geometric mixture of reference and student, both conditioned on the feedback.

    .. math::
        \log p_T = (1 - \alpha) \log p_R + \alpha \log p_S - \log Z

    A mixture of logarithms, so a shift of either side's logits changes nothing; the arithmetic mixture is a different
    teacher.
    Implements: TEACH-026.

    Args:
        reference_logits: of the initial policy under the teacher's context.
        student_logits: of the current policy under the teacher's context.
        mix: α in ``[0, 1]``: 0 is the reference, 1 the live student.

    Returns:
        Nats; each row's exponentials sum to one.

    Raises:
        InvalidInputError: if ``mix`` is outside ``[0, 1]``.

    References:
        arXiv:2601.20802, trust-region teacher.

    Example:
        >>> trust_region_log_probs(torch.tensor([0.8, 0.2]).log(), torch.tensor([0.2, 0.8]).log(), mix=0.5).exp()
        tensor([0.5000, 0.5000])
    """
    if not 0.0 <= mix <= 1.0:
        raise InvalidInputError(f"mix must lie in [0, 1], received {mix}; 0 is the reference, 1 the live student")
    reference = torch.log_softmax(reference_logits, dim=-1)
    student = torch.log_softmax(student_logits, dim=-1)
    if mix in (0.0, 1.0):
        return student if mix == 1.0 else reference
    return torch.log_softmax((1 - mix) * reference + mix * student, dim=-1)
