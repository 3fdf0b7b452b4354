"""The EMA teacher of a student that trains low-rank factors (TEACH-027, TEACH-028)."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from sdpo_ref.functional.averaging import exponential_moving_average_
from sdpo_ref.protocols.parts import LowRankFactors


def low_rank_average(student: Sequence[LowRankFactors], *, update_rate: float) -> list[Float[Tensor, "out in"]]:
    """The average of the weight changes, which is not the product of averaged factors.

    The teacher starts as the student, not at zero. The average of products has a higher rank than the student's
    factors; a variant that averages the factors is another teacher and must be declared.
    Implements: TEACH-027, TEACH-028.

    Args:
        student: factors (B, A) at the start and after each update.
        update_rate: share of the student in each update, in ``[0, 1]``.

    Returns:
        The teacher's weight change at the same moments.

    Example:
        >>> import torch
        >>> one, two = torch.eye(1), 2 * torch.eye(1)
        >>> [round(float(change), 4) for change in low_rank_average([(one, one), (two, two)], update_rate=0.5)]
        [1.0, 2.5]
    """
    changes = [b @ a for b, a in student]
    teacher = changes[0].clone()
    averages = [teacher.clone()]
    for change in changes[1:]:
        exponential_moving_average_({"change": teacher}, {"change": change}, update_rate=update_rate)
        averages.append(teacher.clone())
    return averages
