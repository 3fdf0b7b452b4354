"""TRL's EMA teacher of a LoRA student."""

from collections.abc import Sequence
from types import SimpleNamespace

from jaxtyping import Float
from torch import Tensor

from sdpo_ref.adapters.toys.lora import delta, lora_student, set_factors
from sdpo_ref.protocols.parts import LowRankFactors

_TEACHER = "teacher"


def low_rank_average(student: Sequence[LowRankFactors], *, update_rate: float) -> tuple[Float[Tensor, "out in"], ...]:
    """``PEFTAdapterEMACallback`` on one LoRA layer: the teacher adapter's weight change, as PEFT computes it."""
    from trl.experimental.sdpo.teacher_sync import PEFTAdapterEMACallback

    model = lora_student(student[0])
    callback = PEFTAdapterEMACallback(model, teacher_adapter_name=_TEACHER, update_rate=update_rate)
    callback.on_train_begin(None, None, None)
    teacher = [delta(model, _TEACHER)]
    for global_step, factors in enumerate(student[1:], start=1):
        set_factors(model, factors)
        callback.on_step_end(None, SimpleNamespace(global_step=global_step), None)
        teacher.append(delta(model, _TEACHER))
    return tuple(teacher)
