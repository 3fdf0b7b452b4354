"""sdpo-rl's EMA teacher of a LoRA student."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from sdpo_ref.adapters.toys.lora import delta, lora_student, set_factors
from sdpo_ref.protocols.parts import LowRankFactors


def low_rank_average(student: Sequence[LowRankFactors], *, update_rate: float) -> tuple[Float[Tensor, "out in"], ...]:
    """``init_lora_ema_teacher`` and ``ema_update_lora_adapters`` on one LoRA layer."""
    from sdpo_rl import teacher

    model = lora_student(student[0])
    teacher.init_lora_ema_teacher(model)
    changes = [delta(model, teacher.LORA_EMA_TEACHER_ADAPTER)]
    for factors in student[1:]:
        set_factors(model, factors)
        teacher.ema_update_lora_adapters(model, rate=update_rate)
        changes.append(delta(model, teacher.LORA_EMA_TEACHER_ADAPTER))
    return tuple(changes)
