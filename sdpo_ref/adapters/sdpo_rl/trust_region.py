"""sdpo-rl's trust-region teacher, which its configuration accepts."""

from jaxtyping import Float
from torch import Tensor, nn

from sdpo_ref.adapters.sdpo_rl.trainer import constructed
from sdpo_ref.errors import UnsupportedError


def trust_region(
    reference_logits: Float[Tensor, "*batch vocab"],
    student_logits: Float[Tensor, "*batch vocab"],
    *,
    mix: float,
) -> Float[Tensor, "*batch vocab"]:
    """The constructor of a trainer with ``teacher_mode="trust_region"``.

    Raises:
        NotImplementedError: from that constructor, in release 0.0.3.
        UnsupportedError: if the constructor should not raise, since no function computes such a teacher.
    """
    constructed(nn.Identity(), {"teacher_mode": "trust_region", "teacher_update_rate": mix})
    raise UnsupportedError("sdpo-rl accepts teacher_mode='trust_region' and computes no such teacher; use 'ema'")
